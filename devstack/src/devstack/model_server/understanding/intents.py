"""What requests ask for, by the words they use, and which tools by their names are for that."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devstack.model_server.understanding.tables import table_spans

URL = re.compile(r"https?://[^\s<>\"')\]}]+")
DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
FENCE = re.compile(r"```[\w+-]*\n?(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that can be asked for.

    `tools` are words in the names of tools that are for it, all of one alternative ("find user") being needed.
    An `exclusive` intent's tools are for nothing else: they are left alone unless it is asked for.
    """

    name: str
    tools: tuple[str, ...]
    asked: re.Pattern[str]
    weight: int
    exclusive: bool = False
    wants_url: bool = False

    def owns(self, tool_words: frozenset[str]) -> bool:
        """Whether a tool whose name has these words is for it."""
        return any(set(words.split()) <= tool_words for words in self.tools)


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


INTENTS = (
    Intent(
        "arithmetic",
        ("math", "maths", "calculator", "calculate", "arithmetic", "algebra", "sympy", "compute"),
        _words(
            r"[\d)]\s*[-+*/^\u00d7\u00f7]\s*[\d(a-z]\w?\b",
            r"\b(?:calculate|compute|evaluate|solve|simplify|factori[sz]e|differentiate|integrate)\b",
            r"\b(?:factor|expand) (?:out )?(?:the )?[(\dx]",
            r"\b(?:derivative|integral|antiderivative|square root|cube root|factorial|roots?|limit) of\b",
            r"\b(?:convert|is) \d+(?:\.\d+)?\s?\w+.* (?:to|into|in) \w|\b\d+ factorial\b|\bis \d+ (?:an? )?prime\b",
            r"\b(?:sum|product) of \w[\w^*/+ -]* (?:for|from|where|over)\b",
            r"\bhow much (?:is|are|do)\b.*\d",
            r"\d\s*(?:plus|minus|times|multiplied by|divided by|to the power of|percent of|% of)\s",
            r"\b(?:sum|product|difference|average|mean) of \d",
            r"\b(?:add|subtract|multiply|divide|double|halve|square|triple) (?:it|that|this|\d"
            r"|the (?:result|sum|product|answer))",
        ),
        8,
    ),
    Intent(
        "weather",
        ("weather", "forecast", "temperature", "meteo"),
        _words(
            r"\b(?:weather|forecast|temperature|sunny|windy|snowing|raining)\b",
            r"\b(?:will|is|does) it (?:\w+ ){0,3}(?:rain|snow)\b",
            r"\bneed an umbrella\b",
            r"\bhow (?:warm|cold|hot)\b",
        ),
        8,
    ),
    Intent(
        "encyclopedia",
        ("wikipedia", "encyclopedia", "encyclopaedia"),
        _words(
            r"\b(?:wikipedia|encyclop(?:a|ae)?edia)\b",
            r"\bwho (?:is|was|were|are)\b",
            r"\bwho (?:[\w.-]+ ){1,4}(?:is|was)\b",
            r"\bwhat (?:is|are|was|were) (?:an? |the )?[^\W\d]",
            r"\btell me (?:something |more )?about\b",
            r"\b(?:history|biography|capital|inventor) of\b",
            r"\bwhich \w+ (?:is|are|was|were|has|did)\b",
            r"\b(?:when|where) (?:was|were|did)\b",
        ),
        5,
    ),
    Intent(
        "web search",
        ("web", "internet", "news", "tavily", "searxng"),
        _words(
            r"\bsearch (?:the )?(?:web|internet|online)\b",
            r"\b(?:on|in|from) the (?:web|internet)\b",
            r"\b(?:latest|newest|recent|news|headlines|google|online|up to date)\b",
            r"\bsearch (?:for|about)\b",
        ),
        6,
    ),
    Intent(
        "general knowledge",
        ("web", "internet", "tavily", "searxng"),
        _words(
            r"\bwho (?:is|was|were|are)\b",
            r"\bwhat (?:is|are|was|were) (?:an? |the )?[^\W\d]",
            r"\b(?:when|where) (?:was|were|did)\b",
            r"\btell me (?:something |more )?about\b",
        ),
        3,
    ),
    Intent(
        "documents",
        ("rag", "documents", "document search", "knowledge", "retrieve passages", "search documents"),
        _words(
            r"\b(?:my|our|the|these|those|company|internal|uploaded) (?:own )?(?:\w+ )?"
            r"(?:documents?|files?|docs|notes|manuals?|handbooks?|knowledge base|policy|policies|contracts?)\b",
            r"\baccording to (?:the|our|my)\b",
        ),
        9,
    ),
    Intent(
        "fetch",
        ("http get", "fetch", "download", "url", "browse", "read page"),
        _words(r"\b(?:fetch|get|open|read|download|load|visit|check|retrieve|show|see|summari[sz]e|what)\b"),
        9,
        exclusive=True,
        wants_url=True,
    ),
    Intent(
        "send",
        ("http post", "post", "webhook"),
        _words(r"\b(?:post|send|submit|put|notify|push)\b"),
        12,
        exclusive=True,
        wants_url=True,
    ),
    Intent(
        "data",
        ("data", "csv", "dataframe", "pandas", "statistics", "analysis", "analyze", "analyse"),
        _words(
            r"\b(?:average|mean|sum|total|median|minimum|maximum|lowest|highest|count|how many|quantiles?|percentiles?"
            r"|group(?:ed)?|per|describe|summari[sz]e|statistics|missing|most|least)\b",
        ),
        9,
        exclusive=True,
    ),
    Intent(
        "code",
        ("python", "interpreter", "execute", "sandbox", "run code"),
        _words(
            r"\b(?:run|execute|evaluate)\b.*\b(?:code|script|program|python|snippet|this|following)\b",
            r"\b(?:with|in|using|use) python\b",
            r"\bwhat (?:does|will|would) (?:this|the following)\b.*\b(?:code|script|print|output|return)\b",
        ),
        10,
        exclusive=True,
    ),
    Intent(
        "sql",
        ("sql",),
        _words(r"\bselect\b.+\bfrom\b", r"\bsql\b", r"\b(?:database|table)s?\b"),
        9,
        exclusive=True,
    ),
    Intent(
        "artifact",
        ("create artifact", "write artifact", "new artifact", "create document"),
        _words(
            r"\b(?:write|create|draft|make|build|generate|compose|produce|design|prepare|implement|code)\b"
            r".*\b(?:code|function|script|program|class|module|page|website|document|markdown|html|csv|json|readme|report"
            r"|letter|essay|poem|article|table|list|plan|checklist|outline|file|note|notes|snippet|story|artifact|guide"
            r"|summary|e-?mail|python|javascript|component|changelog|config)\b",
        ),
        11,
        exclusive=True,
    ),
    Intent(
        "edit",
        ("edit artifact", "update artifact", "change artifact", "edit document"),
        _words(
            r"\b(?:change|replace|edit|rename|fix|update|modify|remove|delete|add|insert|append|correct|shorten"
            r"|turn|make)\b"
        ),
        10,
        exclusive=True,
    ),
    Intent(
        "rewrite",
        ("rewrite artifact", "replace artifact", "rewrite document"),
        _words(r"\b(?:rewrite|redo|write (?:it|that|this) (?:again|anew)|start (?:it )?over)\b"),
        11,
        exclusive=True,
    ),
)  # fmt: skip


def intents_of(text: str) -> frozenset[str]:
    """The names of what `text` asks for."""
    shown = DATE.sub(" ", URL.sub(" ", text))
    has_url = bool(URL.search(text))
    has_data = bool(table_spans(text)) or _has_rows(text)
    found = set()
    for intent in INTENTS:
        if intent.wants_url and not has_url:
            continue
        if intent.name == "data" and not has_data:
            continue
        if intent.asked.search(shown) or (intent.name == "code" and FENCE.search(text) and not has_data):
            found.add(intent.name)
    if "send" in found:
        found.discard("fetch")
    return frozenset(found)


def _has_rows(text: str) -> bool:
    """Whether it holds JSON that is more than a name: a list or an object in it."""
    return bool(re.search(r"\[\s*(?:\{|\[|-?\d)|\{\s*\"", text))
