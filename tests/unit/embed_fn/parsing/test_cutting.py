"""Passages cover a document, in order, within their limits, and their offsets are exact."""

import itertools
from typing import Any

import pytest
from embed_fn.chunking.chunk import CHUNK_LIMITS, Chunk, ChunkLimits
from embed_fn.chunking.cutter import chunk
from embed_fn.parsing.document import Block, BlockKind, ParsedDocument, Piece, separator
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = ChunkLimits(target=40, most=60, least=12, overlap=8)


def document(*pieces: Piece) -> ParsedDocument:
    text, blocks, before = "", [], None
    for piece in pieces:
        text += separator(before, piece)
        blocks.append(Block(piece.kind, len(text), len(text) + len(piece.text), piece.level, piece.page))
        text += piece.text
        before = piece
    return ParsedDocument("text/plain", "", text, blocks, [])


def heading(text: str, level: int = 1, page: int = 0) -> Piece:
    return Piece(BlockKind.HEADING, text, level, page)


def paragraph(text: str, page: int = 0) -> Piece:
    return Piece(BlockKind.PARAGRAPH, text, page=page)


def check(parsed: ParsedDocument, chunks: list[Chunk], limits: ChunkLimits) -> None:
    covered = [False] * len(parsed.text)
    for number, part in enumerate(chunks):
        assert part.number == number
        assert part.text == parsed.text[part.start : part.end]
        assert part.text == part.text.strip()
        assert 0 < len(part.text) <= limits.most
        assert number == 0 or chunks[number - 1].start < part.start
        covered[part.start : part.end] = [True] * len(part.text)
    assert all(seen or character.isspace() for seen, character in zip(covered, parsed.text, strict=True))
    overlapped = sum(max(0, one.end - other.start) for one, other in itertools.pairwise(chunks))
    assert overlapped <= len(chunks) * limits.overlap


texts = (
    st.text(st.sampled_from("ab .,\n\u0301\u200d\U0001f469字。"), min_size=1, max_size=200).map(str.strip).filter(bool)
)
pieces = st.builds(Piece, st.sampled_from(BlockKind), texts, st.integers(0, 11), st.integers(0, 5), st.booleans())


@given(st.lists(pieces, max_size=12))
@settings(max_examples=300, deadline=None)
def test_passages_cover_any_document(found: list[Piece]) -> None:
    parsed = document(*found)
    check(parsed, chunk(parsed, SMALL), SMALL)
    assert chunk(parsed, SMALL) == chunk(parsed, SMALL)


@given(st.lists(pieces, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_no_row_that_fits_is_cut(found: list[Piece]) -> None:
    for piece in found:
        piece.continues = False
    parsed = document(*found)
    chunks = chunk(parsed, SMALL)
    for block in parsed.blocks:
        if block.kind is BlockKind.ROW and block.end - block.start <= SMALL.most:
            assert any(part.start <= block.start and block.end <= part.end for part in chunks)


def test_a_passage_knows_the_headings_above_it_and_its_pages() -> None:
    parsed = document(
        heading("Manual"),
        heading("Returns", 2),
        paragraph("Within 30 days. " * 40, page=1),
        paragraph("With the receipt. " * 60, page=2),
        heading("Repairs", 2, page=2),
        paragraph("Ask the shop. " * 20, page=3),
    )
    chunks = chunk(parsed)
    check(parsed, chunks, CHUNK_LIMITS)
    assert chunks[0].text.startswith("Manual\n\nReturns\n\nWithin")
    assert chunks[0].headings == ()
    assert chunks[1].headings == ("Manual", "Returns")
    assert chunks[-1].text.startswith("Repairs\n\nAsk")
    assert chunks[-1].headings == ("Manual",)
    assert (chunks[-1].first_page, chunks[-1].last_page) == (2, 3)


def test_a_table_is_cut_between_rows_and_the_columns_are_repeated_as_context() -> None:
    rows = [
        Piece(BlockKind.ROW, f"part {number} | {number * 3} euros | in stock since spring") for number in range(100)
    ]
    parsed = document(heading("Prices"), Piece(BlockKind.HEADER, "Part | Price | Stock"), *rows, paragraph("The end."))
    chunks = chunk(parsed)
    check(parsed, chunks, CHUNK_LIMITS)
    assert len(chunks) > 3
    for part in chunks[1:]:
        if part.text.startswith("part"):
            assert part.headings == ("Prices", "Part | Price | Stock")
        assert all(line.endswith(("spring", "end.")) for line in part.text.split("\n") if line)


def test_a_long_paragraph_is_cut_at_sentences_and_overlaps() -> None:
    sentences = [f"Sentence number {number} says what there is to say." for number in range(200)]
    parsed = document(paragraph(" ".join(sentences)))
    chunks = chunk(parsed)
    check(parsed, chunks, CHUNK_LIMITS)
    assert all(part.text.endswith(".") and part.text.startswith("Sentence") for part in chunks)
    assert all(one.end > other.start for one, other in itertools.pairwise(chunks))


def test_short_sections_share_a_passage() -> None:
    questions = [piece for n in range(30) for piece in (heading(f"Question {n}?", 2), paragraph(f"Answer {n}."))]
    parsed = document(heading("Questions"), *questions)
    chunks = chunk(parsed)
    check(parsed, chunks, CHUNK_LIMITS)
    assert len(chunks) < 8


def test_one_word_without_end_takes_no_time() -> None:
    parsed = document(paragraph("x" * 2_000_000))
    check(parsed, chunk(parsed), CHUNK_LIMITS)


@pytest.mark.parametrize("values", [{"overlap": 400}, {"least": 600}, {"most": 900}, {"target": 4}])
def test_limits_that_cannot_be_kept_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at most|holds"):
        ChunkLimits(**values)


def test_a_heading_lets_go_of_a_row_that_would_not_fit_beside_it() -> None:
    parsed = document(heading("Prices"), Piece(BlockKind.ROW, "x " * 28 + "end"))
    assert [len(part.text) for part in chunk(parsed, SMALL)] == [6, 59]
