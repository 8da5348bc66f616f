"""What repeats what is known is held back."""

import pytest
from agent_fn.agents.echo import Echo
from agent_fn.conversation import Message, merge_messages


def fed(known: str, *pieces: str) -> list[str]:
    echo = Echo(known)
    return [echo.feed(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("known", "pieces", "new"),
    [
        ("", ["a", "b"], ["a", "b"]),
        ("abc", ["a", "b", "c", "d"], ["", "", "", "d"]),
        ("abc", ["ab", "cd", "e"], ["", "d", "e"]),
        ("abc", ["abc"], [""]),
        ("abc", ["x", "y"], ["\n\nx", "y"]),
        ("abc", ["a", "xy", "z"], ["", "\n\naxy", "z"]),
        ("abc", ["ab", "cx"], ["", "x"]),
        ("abc", ["ab", "x"], ["", "\n\nabx"]),
    ],
)
def test_an_echo_tells_only_what_is_new(known: str, pieces: list[str], new: list[str]) -> None:
    assert fed(known, *pieces) == new


def message(message_id: str, text: str) -> Message:
    return Message(id=message_id, role="user", content=[{"text": text}])


def test_messages_merge_by_id_and_keep_their_places() -> None:
    held = [message("a", "1"), message("b", "2")]
    merged = merge_messages(held, [message("c", "3"), message("a", "4")])
    assert merged == [message("a", "4"), message("b", "2"), message("c", "3")]
    assert held == [message("a", "1"), message("b", "2")]
