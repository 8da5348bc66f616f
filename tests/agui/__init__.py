"""AG-UI 1.0 as a judge: every AG-UI stream of the test suite is read through it."""

from tests.agui.checker import AguiChecker, AguiViolationError, check_events
from tests.agui.wire import check_stream, parse_stream

__all__ = ["AguiChecker", "AguiViolationError", "check_events", "check_stream", "parse_stream"]
