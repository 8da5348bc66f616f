"""Tells a thought once, though a new attempt thinks it again."""


class Echo:
    """Holds back what repeats `known` word for word from its beginning."""

    def __init__(self, known: str) -> None:
        self._known = known
        self._at = 0

    def feed(self, text: str) -> str:
        """What of `text` is new; where it departs from what is known: all that was held back too, set off by a line."""
        if self._at == len(self._known):
            return text
        left = self._known[self._at :]
        if left.startswith(text):
            self._at += len(text)
            return ""
        held, self._at = self._known[: self._at], len(self._known)
        return text[len(left) :] if text.startswith(left) else f"\n\n{held}{text}"
