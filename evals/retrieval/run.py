"""One run of the evaluation: each model on a tenant of its own."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
from devstack.postgres import APPLICATION, OWNER, Postgres

from evals.retrieval import embedders, report
from evals.retrieval.embedders import LocalEmbedder
from evals.retrieval.evaluation import Evaluation, evaluate
from evals.retrieval.labelled_set import corpus_files, read_questions
from evals.retrieval.library import open_library
from evals.retrieval.minilm import MiniLm
from loadtest.platform_stack import postgres_only

_KNOWN: Final = (
    ("That is a happy person", "That is a very happy person", "Today is a sunny day"),
    ("A man is eating a piece of bread.", "Someone has a slice of a loaf for lunch.", "A plane lands at the airport."),
    ("How do I reset my password?", "I forgot my login and need a new one.", "The cat sleeps on the warm stove."),
    ("The battery is empty.", "The accumulator has run out of charge.", "The minister opened the new bridge."),
)
_MARGIN: Final = 0.2


async def run(weights: Path | None, output: Path) -> int:
    """weights: None: only the development embedder. Returns the exit code."""
    models = {"dormouse-dev-embed": embedders.development()}
    if weights is not None:
        model = await asyncio.to_thread(MiniLm, weights)
        check(model)
        models = {"all-MiniLM-L6-v2": embedders.minilm(model), **models}
    found: list[Evaluation] = []
    async with postgres_only() as postgres:
        for name, embedder in models.items():
            found.append(await _evaluate(postgres, name, embedder))
            print(report.markdown(found[-1]), end="\n\n", flush=True)
    await asyncio.to_thread(_write, output, found)
    return 0


def _write(output: Path, found: Sequence[Evaluation]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([report.as_json(each) for each in found], indent=1), encoding="utf-8")


def check(model: MiniLm) -> None:
    """Errors: ValueError where a paraphrase is not far nearer than a stranger: the model is not what it should be."""
    for sentence, paraphrase, stranger in _KNOWN:
        one, near, far = model.embed([sentence, paraphrase, stranger])
        if not one @ near > one @ far + _MARGIN:
            raise ValueError(f"{paraphrase!r} should be nearer to {sentence!r} than {stranger!r}")


async def _evaluate(postgres: Postgres, name: str, embedder: LocalEmbedder) -> Evaluation:
    tenant = f"t-{secrets.token_hex(8)}"
    async with await psycopg.AsyncConnection.connect(postgres.url(OWNER)) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant])
        await connection.execute("insert into tenants (id, name) values (%s, 'Evaluation')", [tenant])
    began = time.monotonic()
    async with open_library(postgres.url(APPLICATION), tenant, embedder) as library:
        stored = await library.add(corpus_files())
        print(f"{name}: {len(stored)} passages stored after {time.monotonic() - began:.0f} s", file=sys.stderr)
        return await evaluate(name, library, stored, read_questions())
