"""Passages behind labels are quoted with them, so that an answer can be followed."""

from devstack.model_server.reports import findings
from devstack.model_server.understanding.earlier import Result


def test_passages_behind_labels_are_quoted_with_their_labels() -> None:
    content = (
        "Between two lines …\n\n=== BEGIN QUOTED MATERIAL 1f ===\n\n[1] handbook.md, page 3\nThe office opens at 9. "
        "Everyone has 30 days of holidays.\n\n[2] notes.md\nHolidays\nHolidays [ 7 ] may expire.\n"
        "There is nothing else.\n\n=== END QUOTED MATERIAL 1f ===\n\nCite each passage."
    )
    told = findings([Result("rag_search", content, {"query": "holidays for everyone", "limit": 3})])
    assert told == ("rag_search found:\n\n- Everyone has 30 days of holidays. [1]\n- Holidays [ 7 ] may expire. [2]")
    first = "- The office opens at 9. [1]\n- Holidays [ 7 ] may expire. [2]"
    assert findings([Result("rag_search", content)]).endswith(first)
