"""Texts out of OpenAI's tokens: clients that count tokens before they ask for embeddings send those, not the text.

OpenAI's embedding models all have the vocabulary cl100k_base. It lies beside this module as tiktoken reads it: a line
for each token, its bytes in base64 and its number.
"""

import asyncio
import base64
import hashlib
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Final

VOCABULARY: Final = Path(__file__).with_name("cl100k_base.tiktoken.xz")
# As tiktoken expects it of the file that OpenAI publishes.
SHA256: Final = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"


class TokenTexts:
    """Reads the vocabulary when the first tokens come: 0.1 s, and 8 MB from then on."""

    def __init__(self) -> None:
        self._words: asyncio.Task[list[bytes]] | None = None

    async def text(self, tokens: Sequence[int]) -> str:
        """What the tokens stand for. A character of which they hold only a part is left out.

        Raises ValueError, which says which token there is not.
        """
        if self._words is None:
            self._words = asyncio.create_task(asyncio.to_thread(read_vocabulary))
        words = await asyncio.shield(self._words)
        unknown = next((token for token in tokens if not 0 <= token < len(words)), None)
        if unknown is not None:
            raise ValueError(f"there is no token {unknown} in cl100k_base")
        return b"".join([words[token] for token in tokens]).decode("utf-8", "ignore")


def read_vocabulary() -> list[bytes]:
    """The bytes of each token, by its number."""
    content = lzma.decompress(VOCABULARY.read_bytes())
    assert hashlib.sha256(content).hexdigest() == SHA256, "the vocabulary is not the one that it should be"
    lines = content.splitlines()
    words = [b""] * len(lines)
    for line in lines:
        encoded, _, number = line.partition(b" ")
        words[int(number)] = base64.b64decode(encoded)
    return words
