"""A result's text can always be sent and stored, and never exceeds its limit."""

import pytest
from tool_fn.fitting import cut, fit

ODD = "a\x00b\ud800c\udfffd"
FIT = "a\ufffdb\ufffdc\ufffdd"


def test_text_that_is_fine_stays_as_it_is() -> None:
    for text in ("", "plain", "é€😀", "\t\r\n\x1b"):
        assert fit(text) is text
        assert cut(text, 256) == (text, False)


def test_what_cannot_be_sent_or_stored_is_replaced() -> None:
    assert fit(ODD) == FIT
    assert cut(ODD, 256) == (FIT, False)


@pytest.mark.parametrize("character", ["x", "é", "€", "😀", "\x00", "\ud800"])
@pytest.mark.parametrize("length", range(60, 300, 7))
def test_no_text_exceeds_the_limit_and_a_cut_one_says_so(character: str, length: int) -> None:
    text = character * length
    content, is_truncated = cut(text, 256)
    whole = fit(text)
    assert len(content.encode()) <= 256
    assert is_truncated == (len(whole.encode()) > 256)
    if not is_truncated:
        assert content == whole
        return
    start, _, note = content.partition("\n")
    assert note == f"[Cut here: the whole result has {length:,} characters.]"
    assert whole.startswith(start)
    assert len(content.encode()) > 256 - len(fit(character).encode()), "no more is left out than must be"
