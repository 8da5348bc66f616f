"""Random people of three tenants do random things on every surface: nobody is shown, or changes, a thing of another.

DORMOUSE_SEPARATION_STEPS=50000 DORMOUSE_SEPARATION_SEED=7 pytest tests/integration/separation
"""

import asyncio
import itertools
import os
import random
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql

from tests.integration.separation import deeds, probes
from tests.integration.separation.world import Person, World, open_world
from tests.stack import Stack

STEPS = int(os.environ.get("DORMOUSE_SEPARATION_STEPS", "5000"))
SEED = int(os.environ.get("DORMOUSE_SEPARATION_SEED", "20261120"))
WORKERS = 12
STEP_S = 60
"""Also on a busy machine, or a stream does not end."""
PROBES = [(40, probes.on_a_thing), (12, probes.by_naming_it), (8, probes.over_grpc)]

NOT_VISITED = {
    *("GET /healthz", "GET /readyz", "GET /health/{component}", "GET /.well-known/jwks.json"),
    *("POST /auth/login", "POST /auth/refresh", "POST /auth/logout", "POST /auth/password"),
}
"""Tells nothing of tenants; or takes a secret that says whose it is, and 50 ms."""


@pytest.fixture(scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
    async with open_world(stack) as world:
        yield world


async def test_nobody_sees_changes_or_infers_anything_of_another_tenant(world: World) -> None:
    choices = [(weight, step) for weight, step in (*deeds.DEEDS, *PROBES)]
    # Two thirds are what people do with their own things.
    own = sum(weight for weight, _ in deeds.DEEDS)
    weights = [weight if index < len(deeds.DEEDS) else weight * own / 120 for index, (weight, _) in enumerate(choices)]
    numbers = itertools.count()

    async def work(worker: int) -> None:
        rng = random.Random(SEED * 1000 + worker)
        while (number := next(numbers)) < STEPS:
            (_, step) = rng.choices(choices, weights)[0]
            person = rng.choice(world.people)
            try:
                async with asyncio.timeout(STEP_S):
                    await step(world, rng, person)
            except (AssertionError, TimeoutError) as error:
                error.add_note(f"step {number} (seed {SEED}): {step.__name__} as {person.name} of {person.tenant.id}")
                for line in [line for edge in world.edges for line in edge.log_lines if '"level":"error"' in line][-3:]:
                    error.add_note(line)
                raise

    async with asyncio.TaskGroup() as workers:
        for person in world.people:
            if person.name == "admin":
                workers.create_task(begin(world, person))
    async with asyncio.TaskGroup() as workers:
        for worker in range(WORKERS):
            workers.create_task(work(worker))
    await everything_is_as_its_owner_left_it(world)
    await no_row_of_a_tenant_holds_a_mark_of_another(world)
    documented = {f"{method.upper()} {path}" for path, item in world.document["paths"].items() for method in item}
    assert documented - set(world.visited) == NOT_VISITED, "a new operation: let people do it, in deeds.py"


async def begin(world: World, person: Person) -> None:
    """So that there is something of everything to be found from the first step on."""
    rng = random.Random(SEED)
    for step in (deeds.make_thread, deeds.upload, deeds.make_a_key, deeds.write_on_the_canvas, deeds.run_on_a_thread):
        await step(world, rng, person)
    own = world.own(person)
    assert own.threads
    assert own.files
    assert own.keys
    assert own.artifacts
    assert own.runs


async def everything_is_as_its_owner_left_it(world: World) -> None:
    rng = random.Random(SEED)
    for person in world.people:
        if person.name != "admin":
            continue
        own = world.own(person)
        for name, number in own.threads.items():
            found = await world.ask(rng, person, "GET", f"/v1/threads/{name}")
            assert found.status_code == 200
            metadata = found.json()["metadata"]
            assert metadata.keys() == {"about", "number"}
            assert number < 0 or metadata["number"] == str(number)
        for path, names in (("/v1/files", own.files), ("/v1/keys", own.keys), ("/v1/artifacts", own.artifacts)):
            for name in names:
                found = await world.ask(rng, person, "GET", f"{path}/{name}")
                assert found.status_code == 200, found.text


async def no_row_of_a_tenant_holds_a_mark_of_another(world: World) -> None:
    """As the services' role, table by table."""
    async with await psycopg.AsyncConnection.connect(world.stack.database.url) as connection:
        cursor = await connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
            " and relrowsecurity and has_table_privilege(oid, 'select')"
        )
        tables = [row[0] for row in await cursor.fetchall()]
        for tenant, canary in world.marks.canaries.items():
            others = [mark for other in world.marks.canaries.items() if other[0] != tenant for mark in other]
            await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant])
            seen = 0
            for table in tables:
                cursor = await connection.execute(sql.SQL("select {0}::text from {0}").format(sql.Identifier(table)))
                async for (row,) in cursor:
                    assert not any(mark in row for mark in others), (table, row)
                    seen += canary in row
            assert seen > 20
