"""What people do with their own things. Every text they write holds their tenant's canary.

A deed never minds what becomes of it (a thread may be busy, another person may have deleted it, a viewer may not): what
counts is what the answer shows, and that is looked at wherever an answer comes in.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.integration.separation.world import Person, World, letters

Deed = Callable[[World, random.Random, Person], Awaitable[None]]
DEEDS: Final[list[tuple[int, Deed]]] = []
SHARED: Final = "the same words for everybody"


def deed(weight: int) -> Callable[[Deed], Deed]:
    """Among what people do, as often as `weight` says."""

    def register(run: Deed) -> Deed:
        DEEDS.append((weight, run))
        return run

    return register


def _question(world: World, person: Person) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What about {world.canary(person)}?"}]


@deed(8)
async def chat(world: World, rng: random.Random, person: Person) -> None:
    body = {"model": rng.choice(["chat", "react"]), "messages": _question(world, person), "stream": rng.random() < 0.5}
    headers = {"idempotency-key": f"retry-{rng.randrange(5)}"} if rng.random() < 0.4 else {}
    response = await world.ask(rng, person, "POST", "/v1/chat/completions", json=body, headers=headers)
    if response.status_code == 200:
        assert world.canary(person) in response.text, "the model repeats the question: else the test sees nothing"


@deed(30)
async def make_thread(world: World, rng: random.Random, person: Person) -> None:
    headers = {"idempotency-key": f"thread-{rng.randrange(20)}"} if rng.random() < 0.4 else {}
    body = {"metadata": {"about": world.canary(person), "number": "0"}}
    response = await world.ask(rng, person, "POST", "/v1/threads", json=body, headers=headers)
    if response.status_code == 201:
        assert world.canary(person) in response.text
        own = world.own(person)
        if response.json()["id"] not in own.deleted:  # a repeated request gets the old answer
            own.threads.setdefault(response.json()["id"], 0)


@deed(60)
async def look_around(world: World, rng: random.Random, person: Person) -> None:
    path = rng.choice(
        [
            *(
                "/v1/threads",
                "/v1/runs",
                "/v1/artifacts",
                "/v1/files",
                "/v1/keys",
                "/v1/users",
                "/v1/audit",
                "/v1/usage",
            ),
            *("/v1/models", "/v1/agents", "/v1/tools", "/v1/budgets", "/auth/me", "/auth/sessions"),
        ]
    )
    await world.ask(rng, person, "GET", path)


@deed(60)
async def look_at_a_thread(world: World, rng: random.Random, person: Person) -> None:
    if threads := list(world.own(person).threads):
        part = rng.choice(["", "/state", "/runs"])
        path = f"/v1/threads/{rng.choice(threads)}{part}"
        await world.ask(rng, person, "GET", path, template=f"/v1/threads/{{thread_id}}{part}")


@deed(30)
async def change_a_thread(world: World, rng: random.Random, person: Person) -> None:
    threads = world.own(person).threads
    if not threads:
        return
    name, number = rng.choice(list(threads)), rng.randrange(1, 1_000_000)
    body = {"metadata": {"about": world.canary(person), "number": str(number)}}
    path = f"/v1/threads/{name}"
    response = await world.ask(rng, person, "PATCH", path, template="/v1/threads/{thread_id}", json=body)
    if response.status_code == 200:
        threads[name] = -1  # two at once: the last one to be stored is not the last one to be answered


@deed(6)
async def delete_a_thread(world: World, rng: random.Random, person: Person) -> None:
    threads = world.own(person).threads
    if len(threads) > 5 and person.name == "admin":
        name = rng.choice(list(threads))
        del threads[name]
        world.own(person).deleted.add(name)
        await world.ask(rng, person, "DELETE", f"/v1/threads/{name}", template="/v1/threads/{thread_id}")


@deed(5)
async def run_on_a_thread(world: World, rng: random.Random, person: Person) -> None:
    if not (threads := list(world.own(person).threads)):
        return
    body = {"agent": "chat", "background": rng.random() < 0.5, "input": {"messages": _question(world, person)}}
    path = f"/v1/threads/{rng.choice(threads)}/runs"
    response = await world.ask(rng, person, "POST", path, template="/v1/threads/{thread_id}/runs", json=body)
    if run_id := response.headers.get("x-dormouse-run-id"):
        world.own(person).runs.append(run_id)


@deed(5)
async def run_without_a_thread(world: World, rng: random.Random, person: Person) -> None:
    body = {
        "agent": rng.choice(["chat", "plan-execute"]),
        "background": True,
        "input": {"messages": _question(world, person)},
    }
    response = await world.ask(rng, person, "POST", "/v1/runs", json=body)
    if response.status_code == 202:
        world.own(person).runs.append(response.json()["id"])


@deed(5)
async def talk_as_a_front_end(world: World, rng: random.Random, person: Person) -> None:
    """All tenants' front ends call their threads by the same names."""
    body = {
        "threadId": f"chat-{rng.randrange(3)}",
        "runId": f"turn-{letters(rng, 8)}",
        "messages": [{"id": letters(rng, 8), "role": "user", "content": f"What about {world.canary(person)}?"}],
        "state": {},
        "tools": [],
        "context": [],
        "forwardedProps": {},
    }
    template = "/v1/agents/{agent_id}/ag-ui"
    response = await world.ask(rng, person, "POST", "/v1/agents/chat/ag-ui", template=template, json=body)
    if response.status_code == 200 and "RUN_FINISHED" in response.text:
        assert world.canary(person) in response.text


@deed(40)
async def follow_a_run(world: World, rng: random.Random, person: Person) -> None:
    if not (runs := world.own(person).runs):
        return
    part = rng.choice(["", "/events", "/events", "/trace"])
    options: dict[str, Any] = {}
    if part == "/events" and rng.random() < 0.6:
        options = {"headers": {"last-event-id": str(rng.randrange(12))}}
    if part == "/trace":
        options = {"params": {"format": rng.choice(["json", "text"])}}
    path = f"/v1/runs/{rng.choice(runs)}{part}"
    await world.ask(rng, person, "GET", path, template=f"/v1/runs/{{run_id}}{part}", **options)


@deed(6)
async def cancel_a_run(world: World, rng: random.Random, person: Person) -> None:
    if runs := world.own(person).runs:
        path = f"/v1/runs/{rng.choice(runs)}/cancel"
        await world.ask(rng, person, "POST", path, template="/v1/runs/{run_id}/cancel")


@deed(3)
async def resume_a_run(world: World, rng: random.Random, person: Person) -> None:
    if runs := world.own(person).runs:
        run_id = rng.choice(runs)
        body = {"answers": {f"{run_id}.m1.c1.approval": {"action": "approve"}}, "background": True}
        path = f"/v1/runs/{run_id}/resume"
        await world.ask(rng, person, "POST", path, template="/v1/runs/{run_id}/resume", json=body)


@deed(1)
async def write_on_the_canvas(world: World, rng: random.Random, person: Person) -> None:
    if len(world.own(person).artifacts) >= 6:
        return
    content = f"Write a note about {world.canary(person)} in Markdown."
    body = {"agent": "canvas", "input": {"messages": [{"role": "user", "content": content}]}}
    response = await world.ask(rng, person, "POST", "/v1/runs", json=body)
    if response.status_code == 200:
        for found in (await world.ask(rng, person, "GET", "/v1/artifacts")).json().get("data", []):
            if found["id"] not in world.own(person).artifacts:
                world.own(person).artifacts.append(found["id"])


@deed(20)
async def look_at_an_artifact(world: World, rng: random.Random, person: Person) -> None:
    if not (artifacts := world.own(person).artifacts):
        return
    part, template, params = rng.choice(
        [
            ("", "", {}),
            ("/versions", "/versions", {}),
            ("/versions/1", "/versions/{version}", {}),
            ("/content", "/content", {}),
            ("/compare", "/compare", {"from": 1, "to": 1}),
        ]
    )
    path = f"/v1/artifacts/{rng.choice(artifacts)}{part}"
    await world.ask(rng, person, "GET", path, template=f"/v1/artifacts/{{artifact_id}}{template}", params=params)


@deed(3)
async def restore_an_artifact(world: World, rng: random.Random, person: Person) -> None:
    if artifacts := world.own(person).artifacts:
        path = f"/v1/artifacts/{rng.choice(artifacts)}/restore"
        await world.ask(rng, person, "POST", path, template="/v1/artifacts/{artifact_id}/restore", json={"version": 1})


@deed(2)
async def upload(world: World, rng: random.Random, person: Person) -> None:
    """Some of it is word for word what others upload."""
    if len(world.own(person).files) >= 8:
        return
    canary = world.canary(person)
    is_shared = rng.random() < 0.5
    number = rng.randrange(4)
    text = (
        f"# Notes {number}\n\n{SHARED}.\n" if is_shared else f"# {canary} {letters(rng)}\n\n{SHARED}, and {canary}.\n"
    )
    name = "notes.md" if is_shared else f"{canary}.md"
    response = await world.ask(rng, person, "POST", "/v1/files", files={"file": (name, text.encode())})
    if response.status_code in (200, 201, 202):
        world.own(person).files.add(response.json()["id"])


@deed(40)
async def look_at_a_file(world: World, rng: random.Random, person: Person) -> None:
    if files := sorted(world.own(person).files):
        part = rng.choice(["", "", "/content", "/events"])
        path = f"/v1/files/{rng.choice(files)}{part}"
        await world.ask(rng, person, "GET", path, template=f"/v1/files/{{file_id}}{part}")


@deed(1)
async def delete_a_file(world: World, rng: random.Random, person: Person) -> None:
    files = world.own(person).files
    if len(files) > 4 and person.name == "admin":
        name = rng.choice(sorted(files))
        files.discard(name)
        await world.ask(rng, person, "DELETE", f"/v1/files/{name}", template="/v1/files/{file_id}")


@deed(25)
async def search(world: World, rng: random.Random, person: Person) -> None:
    body = {"query": SHARED, "mode": "fast"}
    response = await world.ask(rng, person, "POST", "/v1/search", json=body)
    for hit in response.json().get("data", [])[:1]:
        world.own(person).chunks.add(hit["chunk_id"])
        path = f"/v1/files/{hit['file_id']}/chunks/{hit['chunk_id']}"
        await world.ask(rng, person, "GET", path, template="/v1/files/{file_id}/chunks/{chunk_id}")


@deed(2)
async def embed_all_files_anew(world: World, rng: random.Random, person: Person) -> None:
    await world.ask(rng, person, "POST", "/v1/search/reindex")


@deed(15)
async def embed(world: World, rng: random.Random, person: Person) -> None:
    body = {"model": "dormouse-dev-embed", "input": [SHARED, f"{rng.randrange(20)}"], "dimensions": 8}
    await world.ask(rng, person, "POST", "/v1/embeddings", json=body)


@deed(15)
async def make_a_key(world: World, rng: random.Random, person: Person) -> None:
    if len(world.own(person).keys) >= 40:
        return
    body = {"name": world.canary(person), "scopes": ["models:read"], "agents": [world.canary(person)]}
    response = await world.ask(rng, person, "POST", "/v1/keys", json=body)
    if response.status_code == 201:
        world.own(person).keys.add(response.json()["id"])


@deed(20)
async def use_a_key(world: World, rng: random.Random, person: Person) -> None:
    keys = world.own(person).keys
    if not keys:
        return
    name = rng.choice(sorted(keys))
    path = f"/v1/keys/{name}"
    action = rng.choice(["GET", "PATCH", "rotate", "DELETE"])
    if action == "GET":
        await world.ask(rng, person, "GET", path, template="/v1/keys/{key_id}")
    elif action == "PATCH":
        body = {"name": f"{world.canary(person)} {letters(rng, 4)}"}
        await world.ask(rng, person, "PATCH", path, template="/v1/keys/{key_id}", json=body)
    elif action == "rotate":
        await world.ask(rng, person, "POST", f"{path}/rotate", template="/v1/keys/{key_id}/rotate")
    elif rng.random() < 0.3 and person.name == "admin":
        keys.discard(name)
        await world.ask(rng, person, "DELETE", path, template="/v1/keys/{key_id}")


@deed(3)
async def make_a_user(world: World, rng: random.Random, person: Person) -> None:
    body = {"email": f"{letters(rng, 6)}.{world.canary(person)}@example.org", "name": world.canary(person)}
    response = await world.ask(rng, person, "POST", "/v1/users", json=body)
    if response.status_code == 201:
        name = response.json()["id"]
        path = f"/v1/users/{name}"
        await world.ask(rng, person, "GET", path, template="/v1/users/{user_id}")
        await world.ask(rng, person, "PATCH", path, template="/v1/users/{user_id}", json={"role": "viewer"})
        await world.ask(rng, person, "POST", f"{path}/invitation", template="/v1/users/{user_id}/invitation")


@deed(3)
async def set_a_budget(world: World, rng: random.Random, person: Person) -> None:
    body = {"kind": "user", "subject": world.canary(person), "period": "day", "tokens": 10**12}
    response = await world.ask(rng, person, "PUT", "/v1/budgets", json=body)
    if response.status_code in (200, 201) and rng.random() < 0.5:
        path = f"/v1/budgets/{response.json()['id']}"
        await world.ask(rng, person, "DELETE", path, template="/v1/budgets/{budget_id}")


@deed(4)
async def look_up_what_everybody_has(world: World, rng: random.Random, person: Person) -> None:
    for path, template in (("/v1/models/chat", "/v1/models/{model}"), ("/v1/agents/chat", "/v1/agents/{agent_id}")):
        await world.ask(rng, person, "GET", path, template=template)
