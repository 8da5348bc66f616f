"""Which citations a message has: their spans, what counts as support, and what a passage cannot bring about."""

import time

import pytest
from agent_fn.citing.citations import citations, unsupported_sentences
from agent_fn.citing.labels import renamed
from agent_fn.citing.sources import Sources, shown
from agent_fn.conversation import Message, ToolCall, tool_message
from agent_fn.sources import Source
from agent_fn.tools.port import ToolOutcome

HOLIDAYS = "Everyone has 30 days of holidays a year. Unused days expire on 31 March."
LAMP = "The warranty of the Lumo lamp does not cover water damage. It lasts 24 months and costs 1,250.50 euros."


def source(label: str, text: str, name: str = "handbook.md") -> Source:
    return Source(label, f"file-{name}", name, f"chunk-{text[:9]}", 100, 100 + len(text), 3, text)


def known() -> Sources:
    return Sources([ToolOutcome("…", sources=[source("1", HOLIDAYS), source("2", LAMP, "lumo.pdf")])])


def found(text: str, sources: Sources | None = None, *, is_answer: bool = True) -> list[tuple[str, str | None]]:
    """Spans and labels."""
    told = citations("m1", text, known() if sources is None else sources, is_answer=is_answer)
    return [(text[cited.start : cited.end], cited.source.label if cited.source else None) for cited in told]


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("You have 30 days of holidays [1].", [("You have 30 days of holidays", "1")]),
        ("You have thirty days of holidays. [1] Enjoy!", [("You have thirty days of holidays.", "1")]),
        ("- **Unused days** expire on 31 March.[1]", [("**Unused days** expire on 31 March.", "1")]),
        (
            "Days expire on 31 March [1], and the warranty lasts 24 months [2].",
            [("Days expire on 31 March", "1"), ("and the warranty lasts 24 months", "2")],
        ),
        ("[1] says that unused days expire.", [("says that unused days expire.", "1")]),
        ("According to [2], it lasts 24 months.", [("According to [2], it lasts 24 months.", "2")]),
        ("Unused days expire on 31 March [1, 2].", [("Unused days expire on 31 March", "1")]),
        ("30 days free, 24 months warranty [1][2].", [("30 days free, 24 months warranty", each) for each in "12"]),
        ("See e.g. p. 3: unused days expire [1].", [("See e.g. p. 3: unused days expire", "1")]),
        ("🐭🐭 The lamp costs 1250.5 euros [2]!", [("🐭🐭 The lamp costs 1250.5 euros", "2")]),
        ("Unused days expire [7]. They really do [0].", []),
        ("Nothing at all.", []),
        ("```\nUnused days expire on 31 March [1]\n```", []),
    ],
)  # fmt: skip
def test_a_label_cites_for_the_sentence_or_clause_before_it(text: str, cited: list[tuple[str, str | None]]) -> None:
    assert found(text) == cited


@pytest.mark.parametrize(
    "text",
    [
        "You have 40 days of holidays a year [1].",
        "Unused days expire on 30 April [1].",
        "Unused days expire on 31 March [2].",
        "The warranty covers water damage [2].",
        "Parental leave is paid by the insurance [1].",
        "The company was founded by Ada Lovelace in 1843.",
        "- Whoever is ill calls the office before noon, whatever the weather is like.",
    ],
)
def test_what_no_passage_supports_is_told_without_a_source(text: str) -> None:
    ((span, label),) = found(text)
    assert label is None
    assert span.split()[-1].strip(".") in text


@pytest.mark.parametrize(
    "text",
    [
        "The warranty does not cover water damage.",
        "Your lamp is 5 years old.",
        "It rains 12 mm in Rome.",
        "I have looked it up for you in all 3 documents, as you wanted.",
        "That is all I have to go on: nobody has told me more than that about it, in 2026 or before.",
        "The passages do not say who founded the company in 1843.",
        "Does it cost 99 euros?",
        "Your options in 2026:",
        "## The Lumo Lamp",
    ],
)
def test_what_is_supported_elsewhere_or_claims_nothing_is_not_told(text: str) -> None:
    sources = known()
    sources.learn([Message(id="u", role="user", content=[{"text": "My lamp is 5 years old."}])])
    sources.note(ToolOutcome("Rome: 12 mm rain"))
    assert found(text, sources) == []


def test_answers_without_documents_and_messages_before_calls_have_no_unsupported_claims() -> None:
    claim = "The company was founded by Ada Lovelace in 1843."
    assert found(claim, Sources()) == []
    assert found(claim, is_answer=False) == []
    assert unsupported_sentences(f"Unused days expire. {claim}", known()) == [claim]


def test_results_get_labels_of_the_run_and_keep_those_of_passages_that_are_known() -> None:
    sources = Sources()
    first = sources.relabelled(ToolOutcome("[1] a\n[2] b", sources=[source("1", HOLIDAYS), source("2", LAMP)]))
    assert first.content == "[1] a\n[2] b"
    second = sources.relabelled(
        ToolOutcome("[1] b [2] c, as in x[ 1 ]", sources=[source("1", LAMP), source("2", "New.")])
    )
    assert second.content == "[2] b [3] c, as in x[ 1 ]"
    assert [each.label for each in second.sources] == ["2", "3"]
    # An attempt that knows the results from the log goes on with the same numbers.
    later = Sources([first, second])
    assert later.relabelled(ToolOutcome("[1]", sources=[source("1", "Newer.")])).content == "[4]"


def test_labels_of_a_thread_s_earlier_runs_stay_theirs() -> None:
    call = ToolCall(id="c", name="rag_search", arguments_json="{}")
    sources = Sources()
    sources.learn([tool_message(call, "[1] …", [source("1", HOLIDAYS)])])
    assert sources.relabelled(ToolOutcome("[1]", sources=[source("1", LAMP)])).content == "[2]"
    assert found("Unused days expire [1].", sources) == [("Unused days expire", "1")]


def test_a_result_that_is_cut_quotes_what_is_left() -> None:
    outcome = ToolOutcome("[1] a\n[2] b", sources=[source("1", HOLIDAYS), source("2", LAMP)])
    assert [each.label for each in shown(outcome, "[1] a\n[cut]").sources] == ["1"]


def test_labels_are_renamed_in_one_go() -> None:
    assert renamed("[1] [2, 1] [12] a[1x] [ 1 ]", {"1": "2", "2": "1"}) == "[2] [1, 2] [12] a[1x] [ 1 ]"


@pytest.mark.parametrize("piece", [".", " ", "a.b ", "1,", "9", "[", "[1", "\n", "- ", "# > ", "!", "e.g. "])
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (40_000 // len(piece))
    sources = Sources([ToolOutcome("…", sources=[source("1", text + "x")])])
    began = time.perf_counter()
    citations("m1", f"{text} [1]", sources, is_answer=True)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "piece",
    ["a [1] ", "[1]", "It lasts 24 months [2], ", "It lasts 24 months [2]. ", "It is made of 7 parts. ", "[1, 2, "],
)
def test_many_labels_take_as_much_longer_as_there_are_more_of_them(piece: str) -> None:
    """By the processor's time, which a busy machine does not change as it does the clock's; 4 times is linear."""

    def cost(times: int) -> float:
        began = time.thread_time()
        citations("m1", piece * times, known(), is_answer=True)
        return time.thread_time() - began

    assert min(cost(4000) for _ in range(2)) < 9 * max(min(cost(1000) for _ in range(3)), 0.002)
