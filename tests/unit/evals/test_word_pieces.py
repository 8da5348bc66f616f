"""BERT's tokens, on a small vocabulary, and the format of the weights."""

import json

import numpy as np
import pytest

from evals.retrieval.minilm import MiniLm, tensors
from evals.retrieval.word_pieces import WordPieces

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "heat", "##ed", "pump", ",", "8", "uber", "京", "°", "-"]
PIECES = WordPieces(VOCABULARY)


def pieces(text: str, most: int = 100) -> list[str]:
    return [VOCABULARY[number] for number in PIECES.numbers(text, most)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heat pump", ["heat", "pump"]),
        ("heated, HEATED", ["heat", "##ed", ",", "heat", "##ed"]),
        ("Über-pump", ["uber", "-", "pump"]),
        ("京京", ["京", "京"]),
        ("heatpump 8", ["[UNK]", "8"]),
        ("he\u200bat\t\npump\x00", ["heat", "pump"]),
        ("heat" * 26, ["[UNK]"]),
        ("", []),
    ],
)
def test_words_become_the_longest_pieces(text: str, expected: list[str]) -> None:
    assert pieces(text) == ["[CLS]", *expected, "[SEP]"]


def test_a_long_text_is_cut_and_still_ends() -> None:
    assert pieces("heat pump " * 50, 5) == ["[CLS]", "heat", "pump", "heat", "[SEP]"]


def test_weights_are_read_where_the_header_says() -> None:
    numbers = np.arange(6, dtype="<f4")
    header = {
        "__metadata__": {"format": "pt"},
        "ids": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "table": {"dtype": "F32", "shape": [2, 3], "data_offsets": [8, 32]},
    }
    encoded = json.dumps(header).encode()
    content = len(encoded).to_bytes(8, "little") + encoded + bytes(8) + numbers.tobytes()
    found = tensors(content)
    assert list(found) == ["table"]
    assert found["table"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_other_weights_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match="other weights"):
        MiniLm(folder)
