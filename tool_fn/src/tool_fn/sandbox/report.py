"""What goes between the tool and the worker that runs its programs, as JSON."""

from typing import Literal

import msgspec

# Why a program was stopped from outside. time: its limit. stack: nested too deeply. reach: for something that the
# sandbox does not have. fault: its interpreter broke down.
Stop = Literal["", "time", "stack", "reach", "fault"]


class Program(msgspec.Struct, frozen=True):
    """source: the text. time_limit_s: of running and sleeping together. printed_bytes: more is left out."""

    source: str
    time_limit_s: float
    printed_bytes: int


class Report(msgspec.Struct, frozen=True):
    """printed: what it wrote to stdout and stderr. is_cut: it wrote more. value: what its last line gave. error: its
    traceback. stop: then there is neither value nor error. detail: of the stop."""

    printed: str = ""
    is_cut: bool = False
    value: str | None = None
    error: str | None = None
    stop: Stop = ""
    detail: str = ""
