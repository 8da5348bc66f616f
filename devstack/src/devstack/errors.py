"""What can go wrong on one machine, in words for the person who starts it."""

from collections.abc import Sequence


class DevstackError(Exception):
    """A sentence that tells the person what to do; shown without a traceback."""


class StartError(DevstackError):
    """A process did not become ready. `log` is the end of what it printed."""

    def __init__(self, name: str, what: str, log: Sequence[str] = ()) -> None:
        super().__init__(f"{name} {what}")
        self.name = name
        self.log = list(log)
