"""What the signals make of requests, and how often they are right."""

import time

import pytest
from agent_fn.agents.auto.signals import CHAT, PLAN, REACT, judge
from agent_fn.conversation import Message, ToolCall

TOOLS = ("data_analysis", "http_get", "http_post", "math", "python", "rag_search", "sql_query", "weather", "web_search")

REQUESTS = [
    (CHAT, "Hello!"),
    (CHAT, "Thanks, that was helpful."),
    (CHAT, "Who are you?"),
    (CHAT, "Write me a short poem about a dormouse in winter."),
    (CHAT, "Tell me a joke about programmers."),
    (CHAT, "Explain how photosynthesis works to a child."),
    (CHAT, "Why is the sky blue?"),
    (CHAT, "Translate 'good night, little mouse' into French."),
    (CHAT, "Rewrite this sentence so that it sounds friendlier: Send the file at once."),
    (CHAT, "Summarize the following text: Dormice sleep for seven months and wake in spring."),
    (CHAT, "What is the difference between a list and a tuple in Python?"),
    (CHAT, "Draft an e-mail to my landlord about the broken heating."),
    (CHAT, "What do you think makes a good story?"),
    (CHAT, "Give me ideas for a birthday party with ten children."),
    (CHAT, "Write a function that reverses a linked list."),
    (CHAT, "Should I learn Go or Rust first?"),
    (CHAT, "Review this code:\n```python\ndef add(a, b):\n    return a - b\n```"),
    (CHAT, "Fix the grammar: He don't like no cheese."),
    (CHAT, "Describe the taste of a hazelnut."),
    (CHAT, "Invent a name for a café on the moon."),
    (REACT, "What's the weather in Lisbon?"),
    (REACT, "Will it rain in Oslo tomorrow?"),
    (REACT, "What is 17 * 23?"),
    (REACT, "Calculate the integral of x^2 from 0 to 3."),
    (REACT, "Solve x^2 - 5x + 6 = 0."),
    (REACT, "Convert 12 miles into kilometres."),
    (REACT, "How much is 15% of 240?"),
    (REACT, "Search the web for the opening hours of the Louvre."),
    (REACT, "Look up who wrote 'The Master and Margarita'."),
    (REACT, "What does https://example.com/status say?"),
    (REACT, "Who won the match last weekend?"),
    (REACT, "What is the latest version of Kubernetes?"),
    (REACT, "Find the user with the e-mail address ada@example.com in our database."),
    (REACT, "How many orders are in the table orders? Use a SQL query."),
    (REACT, "Run this in Python: print(sum(range(100)))"),
    (REACT, "What is the population of Uruguay?"),
    (REACT, "What do our documents say about the notice period? Search them."),
    (REACT, "Check whether https://example.org is up."),
    (REACT, "What's the current exchange rate of the euro to the yen?"),
    (REACT, "What is the mean of 3, 5, 8 and 13?"),
    (PLAN, "Find out the population of France and of Spain, then calculate the ratio of the two."),
    (PLAN, "Compare the weather in Berlin and Madrid this week and tell me where to go for a picnic."),
    (PLAN, "Research the three largest solar parks in Europe and give me an overview with sources."),
    (PLAN, "Plan a weekend trip to Prague: check the weather, find a museum, and work out the budget."),
    (PLAN, "Look up the release dates of Python 3.10, 3.11 and 3.12, then compute the average of the gaps in days."),
    (PLAN, "First search for the tallest building in Dubai, then convert its height to feet."),
    (PLAN, "For each of Paris, Rome and Athens look up the population and the weather today, and make a table."),
    (
        PLAN,
        "Please do the following:\n1. Look up the GDP of Japan\n2. Look up the GDP of Italy\n3. Calculate the quotient",
    ),
    (PLAN, "Fetch https://example.com/data.csv, analyse it, and then send the result to https://example.com/report."),
    (PLAN, "What is the weather in Rome? What time does the sun set there? And how many days are left until Easter?"),
    (PLAN, "Investigate why sales fell last month: query our database, check the news, and prepare a report."),
    (PLAN, "Find the customer with the most orders in our database, then look up the company on the web."),
    (PLAN, "Prepare a comparison of the latest electric cars by range and price, using several sources."),
    (PLAN, "Get the current temperature in Oslo, and then use the result to compute the heat loss of my house."),
    (PLAN, "Search for recent papers on hibernation, cross-check their findings, and write a briefing."),
    # What no list of phrases can tell: the model has to decide these.
    (REACT, "Population Uruguay vs Paraguay"),
    (CHAT, "Wie geht es dir?"),
    (REACT, "Is the museum open?"),
    (CHAT, "I feel a bit sad."),
    (PLAN, "I need everything about the two hotels before Friday."),
]


def asked(text: str) -> list[Message]:
    return [Message(id="u1", role="user", content=[{"text": text}])]


def test_the_signals_decide_most_requests_and_nearly_always_rightly() -> None:
    verdicts = [(wanted, text, judge(asked(text), TOOLS)) for wanted, text in REQUESTS]
    clear = [(wanted, text, verdict) for wanted, text, verdict in verdicts if verdict.is_clear]
    wrong = [(wanted, verdict.agent, text) for wanted, text, verdict in clear if verdict.agent != wanted]
    assert len(REQUESTS) >= 40
    assert len(clear) >= 0.7 * len(REQUESTS), [text for _, text, verdict in verdicts if not verdict.is_clear]
    assert len(wrong) <= 0.1 * len(clear), wrong


def test_where_the_signals_are_not_clear_their_best_guess_is_still_better_than_chance() -> None:
    verdicts = [(wanted, judge(asked(text), TOOLS)) for wanted, text in REQUESTS]
    unclear = [(wanted, verdict.agent) for wanted, verdict in verdicts if not verdict.is_clear]
    assert sum(wanted == guess for wanted, guess in unclear) >= len(unclear) / 3, unclear


def test_without_tools_there_is_nothing_to_route() -> None:
    verdict = judge(asked("Search the web for the weather in Lisbon, then calculate 2 + 2."), [])
    assert (verdict.agent, verdict.is_clear) == (CHAT, True)


@pytest.mark.parametrize("text", ["And in Porto?", "What about Madrid?"])
def test_a_short_question_after_a_tool_was_used_needs_it_again(text: str) -> None:
    call = ToolCall(id="c1", name="weather", arguments_json='{"place": "Lisbon"}')
    earlier = [
        *asked("What's the weather in Lisbon?"),
        Message(id="a1", role="assistant", content=[], tool_calls=[call]),
        Message(id="r1", role="tool", content=[{"text": "Sunny."}], tool_call_id="c1"),
        Message(id="a2", role="assistant", content=[{"text": "It is sunny."}]),
    ]
    assert not judge(asked(text), TOOLS).is_clear
    verdict = judge([*earlier, *asked(text)], TOOLS)
    assert (verdict.agent, verdict.is_clear) == (REACT, True)


def test_a_tool_that_is_named_is_wanted() -> None:
    assert judge(asked("Please use find_invoice for number 12."), ["find_invoice"]).agent == REACT
    assert judge(asked("Can the invoice finder help?"), ["find_invoice"]).scores[REACT] == 0


def test_the_same_request_always_gets_the_same_verdict_and_a_reason() -> None:
    for _, text in REQUESTS:
        verdict = judge(asked(text), TOOLS)
        assert verdict == judge(asked(text), TOOLS)
        assert verdict.why.endswith(".")


@pytest.mark.parametrize(
    "piece", ["a.a", " ", "\n", "first ", "write a-b ", "- x\n", "9 ", "compare a ", "https://", "@"]
)
def test_no_text_takes_long(piece: str) -> None:
    started = time.process_time()
    judge(asked(piece * 100_000), TOOLS)
    assert time.process_time() - started < 1
