// The unmodified @ag-ui/client against a running edge: prints one JSON object with what it saw.
// Usage: node run.mjs URL KEY
import { HttpAgent } from "@ag-ui/client";

const [url, key] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${key}` };
const agent = (name, options = {}) =>
  new HttpAgent({ url: `${url}/v1/agents/${name}/ag-ui`, headers, threadId: `thread of ${process.pid}`, ...options });

const seen = {};
const user = (content) => ({ id: crypto.randomUUID(), role: "user", content });

// Two turns of one conversation: the second goes on from what the first left.
const chat = agent("chat");
chat.addMessage(user("What is a dormouse?"));
const types = [];
const first = await chat.runAgent({}, { onEvent: ({ event }) => void types.push(event.type) });
seen.firstAnswer = first.newMessages;
seen.types = types;
chat.addMessage(user("What does it eat?"));
seen.secondAnswer = (await chat.runAgent()).newMessages;
seen.roles = chat.messages.map((message) => message.role);

// A tool of the front end: called, answered by the application, and its result taken up.
const tools = [
  {
    name: "get_weather",
    description: "Tells the weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];
const caller = agent("chat", { threadId: `tools of ${process.pid}` });
caller.addMessage(user("What is the weather in Bonn?"));
let pending = [];
await caller.runAgent({ tools }, { onRunFinishedEvent: (end) => void (pending = end.pendingToolCallIds) });
const asked = caller.messages.at(-1);
seen.toolCall = asked.toolCalls?.[0]?.function;
seen.pending = pending.length;
caller.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: pending[0], content: "It rains in Bonn." });
seen.afterTool = (await caller.runAgent({ tools })).newMessages;

// An agent that does not exist is refused before any stream.
try {
  const nobody = agent("nobody");
  nobody.addMessage(user("Hello?"));
  await nobody.runAgent();
} catch (error) {
  seen.refusal = { status: error.status, code: error.payload?.error?.code };
}

console.log(JSON.stringify(seen));
