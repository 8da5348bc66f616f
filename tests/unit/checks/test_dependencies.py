"""The look at what is locked: unpinned, unhashed, different from list to list, not installed, of an unknown licence."""

from pathlib import Path

import pytest

from checks.dependencies import Pin, conflicts, examine, is_free, missing, not_installed, parse, unlicensed

HASH = "--hash=sha256:" + "0" * 64


def test_a_pin_has_a_version_and_hashes() -> None:
    pins, strange = parse(
        f"# made by\nidna==3.20 \\\n    {HASH} \\\n    {HASH}\n"
        f"uvicorn[standard]==1.0 ; sys_platform != 'win32' \\\n    {HASH}\nclick==8.0\n"
    )
    assert pins == [
        Pin("idna", "3.20", "", 2),
        Pin("uvicorn", "1.0", "sys_platform != 'win32'", 1),
        Pin("click", "8.0", "", 0),
    ]
    assert strange == []


@pytest.mark.parametrize(
    "line",
    [
        "idna>=3",
        "idna",
        "idna @ https://example.org/idna.whl",
        "git+https://example.org/idna",
        "-e ../idna",
        "--extra-index-url https://example.org/simple",
        "--trusted-host example.org",
    ],
)
def test_what_is_not_pinned_is_strange(line: str) -> None:
    assert parse(f"{line} \\\n  {HASH}\n") == ([], [line])


def test_lists_agree() -> None:
    old, new = Pin("idna", "3.19", "", 1), Pin("idna", "3.20", "", 1)
    assert list(conflicts({"dev": [new], "edge": [new]})) == []
    assert list(conflicts({"dev": [new], "edge": [old]})) == ["idna: dev.txt pins 3.20, edge.txt 3.19"]


def test_what_is_asked_for_is_locked(tmp_path: Path) -> None:
    (tmp_path / "dev.in").write_text("# tools\nidna>=4\nmoto[s3]\nmypy  # types\n")
    pins = [Pin("idna", "3.20", "", 1), Pin("mypy", "1", "", 1)]
    assert [problem.split(" is not")[0] for problem in missing(tmp_path, {"dev": pins})] == [
        "dev.in: idna>=4",
        "dev.in: moto[s3]",
    ]


def test_what_is_installed_is_what_is_locked() -> None:
    wrong = [
        Pin("pytest", "0.1", "", 1),
        Pin("no-such-package", "1", "", 1),
        Pin("gone", "1", "python_version < '3'", 1),
    ]
    assert [problem.partition(":")[0] for problem in not_installed(wrong)] == ["pytest", "no-such-package"]


@pytest.mark.parametrize(
    ("terms", "free"),
    [
        ("MIT", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT AND BSD-3-Clause", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only OR MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-3.0-only)", True),
        ("(GPL-3.0-only OR MIT) AND SSPL-1.0", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_is_free_when_its_expression_can_be_met(terms: str, free: bool) -> None:
    assert is_free(terms) is free


def test_a_package_of_an_unknown_licence_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.dependencies.FREE", frozenset())
    assert [problem.partition(",")[0] for problem in unlicensed(["idna", "psycopg"])] == ["idna: its licence"]


def test_our_own_lists_are_in_order() -> None:
    problems = [problem for problem in examine(Path("requirements")) if "is installed" not in problem]
    assert problems == []
