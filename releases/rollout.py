"""The order of a release: stage everything, let the gate look, move traffic in steps, go back on the first doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from releases.kubectl import ClusterError
from releases.targets import Target

STEPS: Final = (5, 25, 50, 100)
Gate = Callable[[], str]
"""Looks at the candidate under load; returns why it may not be released, or nothing."""
CheckStep = Callable[[int], str]
"""Looks at the platform after a step; the same."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What came of a release."""

    released: bool = False
    reason: str = ""
    """Why it was not released."""
    left: list[str] = field(default_factory=list)
    """What could not be taken back, in words."""


class RefusedError(Exception):
    """A check failed; the message says which."""


class Interrupted(BaseException):
    """Ctrl-C, or a signal that ends processes; the message names it."""


class TakenOverError(Exception):
    """Another release has taken this one for dead and goes on in its place: nothing here may be touched any more."""


def release(
    targets: Sequence[Target], *, gate: Gate, check: CheckStep, say: Say, steps: Sequence[int] = STEPS
) -> Outcome:
    """Roll all targets together, functions first. Whatever happens, also Ctrl-C, they are released or as they were.

    Raises TakenOverError.
    """
    begun: list[Target] = []
    try:
        for target in targets:
            say(f"staging {target.name}")
            begun.append(target)
            target.stage()
        say("the gate looks at the candidate")
        if reason := gate():
            raise RefusedError(reason)
        for percent in steps:
            say(f"{percent} % of the traffic")
            for target in targets:
                target.shift(percent)
            if reason := check(percent):
                raise RefusedError(f"at {percent} %: {reason}")
        # The edge first: its candidate calls the functions' tags, which go when those have finished.
        for target in reversed(targets):
            say(f"finishing {target.name}")
            target.finish()
        if reason := check(100):
            raise RefusedError(f"when it had finished: {reason}")
    except (RefusedError, ClusterError, Interrupted) as error:
        say(f"not released: {error}")
        return Outcome(False, str(error), take_back(begun, say))
    except TakenOverError:
        raise
    except BaseException:
        take_back(begun, say)
        raise
    return Outcome(True)


def take_back(begun: Sequence[Target], say: Say) -> list[str]:
    """Everything as it was: first the traffic, which takes seconds. What fails does not keep the rest from going back.

    Returns what could not be taken back, in words.
    """
    left = []
    for target in reversed(begun):
        say(f"no traffic for the new {target.name}")
        try:
            target.unload()
        except ClusterError as error:
            left.append(f"{target.name}: {error}")
    for target in reversed(begun):
        say(f"taking back {target.name}")
        try:
            target.back()
        except ClusterError as error:
            left.append(f"{target.name}: {error}")
    return left
