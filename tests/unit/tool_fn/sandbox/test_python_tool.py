"""The python tool: what a model reads of a program that ran, failed, or was stopped."""

import asyncio
import logging
from pathlib import Path

import pytest
from tool_fn.sandbox.component import Component
from tool_fn.tool import Call, ToolError
from tool_fn.tools.python import PythonArguments
from tool_fn.tools.python import Sandbox as Tool

from tests.unit.tool_fn.sandbox.conftest import Sandbox


@pytest.fixture
def tool(sandbox: Sandbox) -> Tool:
    return Tool(sandbox.workers)


async def ask(tool: Tool, code: str, limit_s: float = 10.0) -> str:
    deadline = asyncio.get_running_loop().time() + limit_s
    return await tool.run(PythonArguments(code=code), Call("acme", "ann", "run_1", "", deadline))


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("2 ** 100", "1267650600228229401496703205376"),
        ("print('a'); print('b')", "a\nb\n"),
        ("print('a')\n1 + 1", "a\nValue of the last line: 2"),
        ("print('a', end='')\n1 + 1", "a\nValue of the last line: 2"),
        ("import sys; sys.stderr.write('warned')\nNone", "warned"),
        ("x = [n ** 2 for n in range(5)]\nx", "[0, 1, 4, 9, 16]"),
        ("def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nf(15)", "610"),
        ("if __name__ == '__main__': print('main')", "main\n"),
        ("import sys\nsys.exit(0)", None),
        ("x = 1", None),
        ("'café ☕'", "'café ☕'"),
        ("```python\nx = 1\nx + 1\n```", "2"),
        ("```\n1 + 1```\n", "2"),
    ],
)
async def test_a_program_answers(tool: Tool, code: str, answer: str | None) -> None:
    if answer is None:
        answer = "The code ran and printed nothing. End it with an expression or print what you want to see."
    assert await ask(tool, code) == answer


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("import math; math.comb(50, 25)", "126410606437752"),
        ("import statistics; statistics.median([3, 1, 2])", "2"),
        ("from fractions import Fraction; Fraction(1, 3) + Fraction(1, 6)", "Fraction(1, 2)"),
        ("from decimal import Decimal; Decimal('0.1') + Decimal('0.2')", "Decimal('0.3')"),
        ("import datetime; datetime.date(2024, 2, 28) + datetime.timedelta(2)", "datetime.date(2024, 3, 1)"),
        ("import datetime; datetime.datetime.strptime('3 Mar 2025', '%d %b %Y').weekday()", "0"),
        ("import json; json.loads('{\"a\": [1, null]}')", "{'a': [1, None]}"),
        ("import csv, io; list(csv.reader(io.StringIO('a,b\\n1,2')))", "[['a', 'b'], ['1', '2']]"),
        ("import re; re.findall(r'\\d+', 'a1b22')", "['1', '22']"),
        ("import collections; collections.Counter('aab').most_common(1)", "[('a', 2)]"),
        ("import sqlite3; sqlite3.connect(':memory:').execute('select 1 + 1').fetchone()", "(2,)"),
        ("import hashlib; hashlib.sha256(b'').hexdigest()[:8]", "'e3b0c442'"),
        ("import xml.etree.ElementTree as t; t.fromstring('<a><b/></a>')[0].tag", "'b'"),
        ("import math; len(str(math.factorial(5000)))", "16326"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nP(1)", "P(x=1)"),
        ("b'\\xe9'.decode('latin-1') + 'ü'.encode('utf-16').decode('utf-16')", "'éü'"),
        ("import pickle\nclass A: pass\npickle.loads(pickle.dumps(A())).__class__ is A", "True"),
        ("import time; now = time.time(); time.sleep(1); 0.9 < time.time() - now < 2", "True"),
    ],
)
async def test_the_standard_library_works(tool: Tool, code: str, value: str) -> None:
    assert await ask(tool, code) == value


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "def f(x):\n    return 1 / x\nf(0)",
            "Traceback (most recent call last):\n  line 3, in <module>: f(0)\n  line 2, in f: return 1 / x\n"
            "ZeroDivisionError: division by zero",
        ),
        ("x = = 1", '  File "<code>", line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax'),
        ("import sys\nsys.exit('no data')", "SystemExit: no data"),
        (
            "print('so far')\n[][0]",
            "Traceback (most recent call last):\n  line 2, in <module>: [][0]\nIndexError: list index out of range\n\n"
            "Printed before that:\nso far\n",
        ),
    ],
)
async def test_an_error_shows_its_lines_and_not_the_sandbox(tool: Tool, code: str, error: str) -> None:
    with pytest.raises(ToolError) as raised:
        await ask(tool, code)
    assert str(raised.value) == error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import numpy", "'numpy' is not in the sandbox. There is Python's standard library alone"),
        (
            "import time; time.sleep(99)",
            "did not end within 1 s, in which sleeping counts. It wanted to sleep for 99 s.",
        ),
        (
            "print('so far')\nwhile True: pass",
            "did not end within 1 s, in which sleeping counts.\n\nPrinted before that:\nso",
        ),
        ("x = []\nwhile True: x.append(bytes(1 << 20))", "MemoryError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("open('data.csv')", "FileNotFoundError"),
        ("input()", "EOFError"),
        ("import os; os._exit(1)", "There are no files, no network, no processes."),
        ("{'a': 1}['b']", "KeyError: 'b'"),
        ("try: 1 / 0\nexcept ZeroDivisionError: raise ValueError('worse')", "division by zero"),
    ],
)
async def test_a_model_can_act_on_what_went_wrong(tool: Tool, code: str, words: str) -> None:
    with pytest.raises(ToolError) as raised:
        await ask(tool, code, limit_s=3.0)  # of which two are for what is around the program
    assert words in str(raised.value)


async def test_long_output_is_cut_and_says_so(tool: Tool) -> None:
    answer = await ask(tool, "for n in range(20_000): print(n)")
    assert answer.startswith("0\n1\n2\n")
    assert answer.endswith("… (more was printed and left out)")
    assert len(answer) < 25_000


async def test_a_long_value_is_cut_in_its_middle(tool: Tool) -> None:
    answer = await ask(tool, "list(range(100_000))")
    assert answer.startswith("[0, 1, 2")
    assert answer.endswith("99998, 99999]")
    assert "more characters" in answer


async def test_nothing_is_left_of_a_program(tool: Tool) -> None:
    """Variables, modules, settings, patches, the clock: the next program finds everything as it was."""
    await ask(
        tool,
        """
import builtins, json, math, os, random, sys, time
leaked = 1
builtins.leaked = 1
math.pi = 3
os.environ['LEAKED'] = '1'
sys.path.append('/leaked')
json.dumps = None
random.seed(1)
time.sleep(5)
""",
    )
    clean = """
import builtins, json, math, os, sys
(hasattr(builtins, 'leaked'), 'leaked' in globals(), math.pi > 3, dict(os.environ), sys.path, json.dumps([]))
"""
    assert await ask(tool, clean) == "(False, False, True, {}, [], '[]')"


async def test_programs_get_randomness_of_their_own(tool: Tool) -> None:
    code = "import random, secrets, uuid; (random.random(), secrets.token_hex(8), uuid.uuid4().hex)"
    assert len({await ask(tool, code) for _ in range(3)}) == 3
    assert await ask(tool, "import random; random.seed(1); random.random()") == "0.13436424411240122"


async def test_programs_at_the_same_time_do_not_mix(tool: Tool) -> None:
    answers = await asyncio.gather(*(ask(tool, f"x = {n}\nprint(x)\nx * 2") for n in range(8)))
    assert answers == [f"{n}\nValue of the last line: {n * 2}" for n in range(8)]


async def test_a_sandbox_that_is_not_built_is_told_once_and_answers(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tool = Tool(sandbox.workers, Component(tmp_path))
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(ToolError, match="cannot be run here"):
                await ask(tool, "1 + 1")
    assert [record.__dict__["reason"] for record in caplog.records] == ["it is not built"]


def test_a_sandbox_of_another_version_says_what_differs(component: Component, tmp_path: Path) -> None:
    (tmp_path / "python.cwasm").write_bytes(b"")
    (tmp_path / "python.json").write_text(component.manifest.read_text().replace('"wasmtime": "', '"wasmtime": "0.'))
    assert Component(tmp_path).problem().startswith("built with wasmtime 0.")
    assert component.problem() == ""
