"""What stands in front of the execution of runs, and hears when one is executed no more."""

from collections.abc import Callable
from typing import Protocol

from .model import Usage
from .ownership import Ownership


class Gate(Protocol):
    """Limits, as the run engine sees them. None of it raises because something is away."""

    def has_turn(self, own: Ownership) -> bool:
        """Whether a run that starts now need not wait. Asked once, before anybody knows of the run."""

    def put_off(self, own: Ownership) -> None:
        """A run that starts now waits for its thread first. Said in place of `has_turn`."""

    async def enter(self, own: Ownership, tell: Callable[[int], None]) -> None:
        """Returns once the run may be executed; meanwhile `tell` hears of its position, 1 for the next.

        Raises OVERLOADED when that takes too long.
        """

    def idled(self, own: Ownership, seconds: float) -> None:
        """The run, which has entered, did nothing for so long: its models were not there."""

    def adopted(self, own: Ownership) -> None:
        """The run was another replica's, which is gone."""

    async def left(self, own: Ownership, used: Usage) -> None:
        """The run has come to an end, which nobody can see yet; it has used so much since it entered."""

    def lost(self, own: Ownership) -> None:
        """The run is executed here no more, and goes on elsewhere."""


class OpenGate:
    """Everybody may pass."""

    def has_turn(self, own: Ownership) -> bool:
        return True

    def put_off(self, own: Ownership) -> None:
        return

    async def enter(self, own: Ownership, tell: Callable[[int], None]) -> None:
        return

    def idled(self, own: Ownership, seconds: float) -> None:
        return

    def adopted(self, own: Ownership) -> None:
        return

    async def left(self, own: Ownership, used: Usage) -> None:
        return

    def lost(self, own: Ownership) -> None:
        return
