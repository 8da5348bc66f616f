"""What a call has used of models: counted where they are asked, told with the call's answer."""

from __future__ import annotations

from contextvars import Context, ContextVar

from dormouse.embed.v1 import embed_pb2


class Uses:
    """Tokens by model. Tasks that a call starts count for it too."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[int, int]] = {}

    def add(self, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        """One more request."""
        prompt, completion = self._tokens.get(model, (0, 0))
        self._tokens[model] = (prompt + prompt_tokens, completion + completion_tokens)

    def to_protos(self) -> list[embed_pb2.ModelUse]:
        """As the answer tells it."""
        return [
            embed_pb2.ModelUse(model=model, prompt_tokens=prompt, completion_tokens=completion)
            for model, (prompt, completion) in self._tokens.items()
        ]


_present: ContextVar[Uses | None] = ContextVar("embed_fn_uses", default=None)


def begin_counting() -> Uses:
    """From here on what the present call uses is counted; each call has a context of its own."""
    uses = Uses()
    _present.set(uses)
    return uses


def only_counting() -> Context:
    """For work that outlives the call and is shared with others: nothing is as in the call but who counts."""
    context = Context()
    context.run(_present.set, _present.get())
    return context


def count(model: str, prompt_tokens: int, completion_tokens: int = 0) -> None:
    """A model has answered on behalf of the present call."""
    if (uses := _present.get()) is not None:
        uses.add(model, prompt_tokens, completion_tokens)
