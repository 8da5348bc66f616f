// Drives the unmodified @ag-ui/client: one command per line of stdin, one JSON answer per line of stdout.
//
// A command runs a turn of a conversation: {url, key, agent, thread, add: [messages], tools, resume, forwardedProps,
// abortAt, without}.
// `abortAt` leaves at the first event of that type; `without` hides that type from the client, which must object.
// The answer holds what the front end saw: {events, messages, added, pending, state, interrupts, raw, failure, warnings}.
import { createInterface } from "node:readline";
import { FilterToolCallsMiddleware, HttpAgent, verifyEvents } from "@ag-ui/client";
import { from, lastValueFrom } from "rxjs";
import { toArray } from "rxjs/operators";

let warnings = [];
console.warn = console.error = (...words) => void warnings.push(words.map(String).join(" "));

const front_ends = new Map();

async function turn(command) {
  const agent = frontEnd(command);
  agent.addMessages(command.add ?? []);
  warnings = [];
  const seen = { events: [], added: [], pending: null, failure: null, tools: [] };
  const watcher = {
    onEvent: ({ event }) => {
      seen.events.push(event);
      if (event.type === command.abortAt) agent.abortRun();
    },
    onRunFinishedEvent: ({ pendingToolCallIds }) => void (seen.pending = pendingToolCallIds ?? null),
    onToolCallEndEvent: ({ toolCallName, toolCallArgs }) => void seen.tools.push([toolCallName, toolCallArgs]),
    onRunFailed: ({ error }) => void (seen.failure = failure(error)),
  };
  try {
    const { tools, context, runId, resume, forwardedProps } = command;
    const parameters = { tools, context, runId, resume, forwardedProps };
    seen.added = (await agent.runAgent(parameters, watcher)).newMessages;
  } catch (error) {
    seen.failure = failure(error);
  }
  const raw = await agent.raw;
  const held = { messages: agent.messages, state: agent.state, interrupts: agent.pendingInterrupts };
  return { ...seen, ...held, raw, warnings, verdict: await verdict(seen.events) };
}

function frontEnd({ url, key, agent: name, thread, without }) {
  const id = `${name} ${thread}`;
  if (!front_ends.has(id)) {
    const headers = { Authorization: `Bearer ${key}` };
    const agent = new HttpAgent({ url: `${url}/v1/agents/${encodeURIComponent(name)}/ag-ui`, headers, threadId: thread });
    agent.use((input, next) => next.run(input), new FilterToolCallsMiddleware({ disallowedToolCalls: ["forbidden"] }));
    front_ends.set(id, agent);
  }
  const agent = front_ends.get(id);
  agent.raw = Promise.resolve("");
  agent.fetch = async (where, init) => {
    const response = await fetch(where, init);
    if (!response.ok) return response;
    const [forClient, forUs] = response.body.tee();
    agent.raw = new Response(forUs).text().catch(() => "");
    const body = without ? forClient.pipeThrough(hiding(without)) : forClient;
    return new Response(body, { status: response.status, headers: response.headers });
  };
  return agent;
}

// Blocks of the stream that hold an event of this type are dropped.
function hiding(type) {
  let rest = "";
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  return new TransformStream({
    transform(chunk, controller) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        if (!block.includes(`"type":"${type}"`)) controller.enqueue(encoder.encode(`${block}\n\n`));
      }
    },
  });
}

// The client's own verifier once more, over the events alone.
async function verdict(events) {
  try {
    await lastValueFrom(from(events).pipe(verifyEvents(), toArray()));
    return "content";
  } catch (error) {
    return error.message;
  }
}

function failure(error) {
  return { name: error.name, message: error.message, status: error.status ?? null, payload: error.payload ?? null };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await turn(JSON.parse(line))));
}
