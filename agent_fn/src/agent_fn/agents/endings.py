"""How a node ends its attempt before the graph has come to its end."""

from collections.abc import Sequence

from agent_fn.events import Interrupt


class Interrupted(Exception):  # noqa: N818 - it is no error
    """People have to answer these first. A later attempt goes on, with their answers."""

    def __init__(self, interrupts: Sequence[Interrupt]) -> None:
        super().__init__(f"{len(interrupts)} open questions")
        self.interrupts = interrupts


class HandingOff(Exception):  # noqa: N818 - it is no error
    """The attempt's time is used up in the middle of a step: another goes on with what is left of it."""
