"""The labelled set holds what the evaluation takes for granted."""

import json
from collections import Counter

import pytest

from evals.retrieval.labelled_set import FOLDER, Kind, corpus_files, holding, pages, read_questions, words

QUESTIONS = read_questions()
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in corpus_files()}


def test_there_are_sixty_pages_of_prose() -> None:
    found = [page for text in TEXTS.values() for page in pages(text)]
    assert len(found) >= 60
    assert sum(len(words(page).split()) for page in found) >= 26_000
    assert all(250 <= len(words(page).split()) <= 520 for page in found)


def test_there_are_two_hundred_questions_of_every_kind() -> None:
    kinds = Counter(question.kind for question in QUESTIONS)
    assert len(QUESTIONS) >= 200
    assert min(kinds[kind] for kind in Kind) >= 10
    assert kinds[Kind.UNANSWERABLE] <= len(QUESTIONS) // 10


def test_no_question_is_there_twice() -> None:
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    assert len({words(question.text) for question in QUESTIONS}) == len(QUESTIONS)


def test_every_quote_occurs_once_in_its_file() -> None:
    bare = {name: words(text) for name, text in TEXTS.items()}
    for question in QUESTIONS:
        for answer in question.answers:
            assert TEXTS[answer.file].count(answer.quote) == 1, (question.id, answer.quote)
            assert bare[answer.file].count(words(answer.quote)) == 1, (question.id, answer.quote)


def test_questions_have_as_many_answers_as_their_kind_says() -> None:
    for question in QUESTIONS:
        match question.kind:
            case Kind.UNANSWERABLE:
                assert not question.answers, question.id
            case Kind.MULTI_PASSAGE:
                assert len(question.answers) >= 2, question.id
            case _:
                assert len(question.answers) == 1, question.id


def test_every_file_is_asked_about() -> None:
    assert {answer.file for question in QUESTIONS for answer in question.answers} == set(TEXTS)


def test_lines_hold_nothing_that_is_not_read() -> None:
    for line in (FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        assert set(fields) == {"id", "kind", "question", "answers"}
        assert all(set(answer) == {"file", "quote"} for answer in fields["answers"])


def test_a_quote_is_found_by_its_words_whatever_marks_and_spaces_are_between() -> None:
    assert holding("| E33 | Sensor missing |", ["E33\tsensor  missing;", "E33 sensor", "E333 sensor missing"]) == {0}


@pytest.mark.parametrize("cut", [3, 4, 5])
def test_of_a_quote_that_was_cut_the_larger_part_counts(cut: int) -> None:
    parts = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    passages = ["nothing", " ".join(parts[:cut]), " ".join(parts[cut:])]
    assert holding(" ".join(parts), passages) == ({2} if cut < 4 else {1} if cut > 4 else set())
