"""The worker of the python tool: it loads the sandbox once and runs a program for each request."""

import msgspec

from tool_fn.sandbox.component import Component
from tool_fn.sandbox.instance import Interpreter
from tool_fn.sandbox.report import Program

_interpreter: list[Interpreter] = []
_decoder = msgspec.json.Decoder(Program)


def prepare() -> None:
    """Loads the sandbox while files can still be read."""
    interpreter = Interpreter(Component().code)
    interpreter.rehearse()
    _interpreter.append(interpreter)


def handle(request: bytes) -> bytes:
    """A Program in, a Report out."""
    return msgspec.json.encode(_interpreter[0].run(_decoder.decode(request)))
