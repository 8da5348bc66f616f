"""The examples of README and the guides, run as they stand against a real platform."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.stack import Platform, Tenant

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    pytest.param(language, code, id=f"{page}-{number}")
    for page in ("README.md", "docs/guides/api.md", "docs/guides/identity.md", "docs/guides/budgets.md")
    for number, (language, code) in enumerate(FENCE.findall((ROOT / page).read_text()), 1)
]


def test_the_pages_hold_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize(("language", "code"), EXAMPLES)
async def test_the_example_runs(language: str, code: str, tooled: Platform, tenant: Tenant) -> None:
    if language == "sh" and shutil.which("curl") is None:
        pytest.skip("the example was not tested: there is no curl here")
    environment = {**os.environ, "DORMOUSE_URL": tooled.edge.url, "DORMOUSE_API_KEY": tenant.api_key}
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    assert output.strip()
    assert b'"error":{' not in output
    if "curl -sN" in code:
        assert any(end in output for end in (b"run.finished", b"[DONE]", b"file.processed"))
