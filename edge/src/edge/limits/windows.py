"""What a request takes from: windows, places for runs, and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .rates import Rate


@dataclass(frozen=True, slots=True)
class Window:
    """One rate of one subject."""

    key: str
    rate: Rate
    subject: str
    """`key`, `user`, `tenant` or `address`."""

    @property
    def capacity_us(self) -> int:
        """How far it may be ahead, in microseconds."""
        return self.rate.capacity_us

    def left(self, used_us: int) -> int:
        """How many can still be taken."""
        return max(0, self.rate.capacity_us - used_us) * self.rate.count // self.rate.capacity_us

    def wait_us(self, used_us: int, cost_us: int) -> int:
        """Microseconds until so much can be taken; 0: now."""
        return max(0, used_us + cost_us - self.rate.capacity_us)


@dataclass(frozen=True, slots=True)
class Places:
    """The places for runs of one subject."""

    key: str
    limit: int
    subject: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether everything was taken, or nothing."""

    admitted: bool
    used_us: Sequence[int]
    """How far each window is ahead: with what was taken, or without what was not."""
    waits_us: Sequence[int] = field(default=())
    """How long has to be waited for each window; 0 for those that were not in the way."""
    held: Sequence[int] = field(default=())
    """How many places of each kind other runs hold."""


def waits(windows: Sequence[Window], used_us: Sequence[int], costs_us: Sequence[int]) -> list[int]:
    """How long has to be waited for each window, in microseconds."""
    return [window.wait_us(used, cost) for window, used, cost in zip(windows, used_us, costs_us, strict=True)]
