"""What a run may use up, guessed before it starts."""

from collections.abc import Sequence
from typing import Final

from edge.runs.model import RunSpec
from edge.runs.prompt_size import CHARACTERS_PER_TOKEN, prompt_tokens_of

from .model import Estimate

OUTPUT_TOKENS: Final = 1024
"""Where a request does not say how long the answer may be."""

SEARCH_PROMPT_TOKENS: Final = 6000
"""About what a deep search shows to a model."""

MOST_TOKENS: Final = 32_768
"""More is never held back for one run: one with many turns is charged what it takes, whatever was held back."""


def of_run(spec: RunSpec, model: str) -> Estimate:
    """One turn, within the limits that the request has set."""
    most = MOST_TOKENS
    if spec.limits is not None and spec.limits.tokens:
        most = min(most, spec.limits.tokens)
    asked = spec.options.max_tokens if spec.options is not None and spec.options.HasField("max_tokens") else 0
    prompt = min(prompt_tokens_of(spec.input), most)
    return Estimate(model, prompt, min(asked or OUTPUT_TOKENS, most - prompt))


def of_texts(texts: Sequence[str], model: str) -> Estimate:
    """Texts that are to be embedded."""
    return Estimate(model, min(sum(len(text) // CHARACTERS_PER_TOKEN + 1 for text in texts), MOST_TOKENS), 0)


def of_search(query: str, *, may_ask_model: bool) -> Estimate:
    """may_ask_model: to rewrite the question and to grade passages."""
    prompt = len(query) // CHARACTERS_PER_TOKEN + 1
    return Estimate("", prompt + SEARCH_PROMPT_TOKENS, OUTPUT_TOKENS) if may_ask_model else Estimate("", prompt, 0)
