"""What people try with things of others: whatever they ask for, the answer is that for a thing that nobody has."""

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import grpc.aio
import httpx
from dormouse.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from dormouse.embed.v1 import embed_service_pb2, embed_service_pb2_grpc
from dormouse.tool.v1 import tool_service_pb2, tool_service_pb2_grpc
from dormouse_runtime.client import Metadata, call_metadata

from tests.integration.separation.deeds import SHARED
from tests.integration.separation.marks import ID, unknown_like
from tests.integration.separation.world import Person, World, letters

KINDS: Final = {
    "thread_id": "thread_",
    "run_id": "run_",
    "artifact_id": "art_",
    "file_id": "file-",
    "key_id": "key_",
    "user_id": "user_",
    "session_id": "sess_",
    "budget_id": "budget_",
}
OTHERS: Final = {"version": "1", "chunk_id": "0-0", "agent_id": "chat", "model": "chat", "component": "redis"}
VOLATILE: Final = ("date", "x-request-id", "content-length", "x-ratelimit", "ratelimit")
MESSAGES: Final = [{"role": "user", "content": "What was said here before?"}]
BODIES: Final[Mapping[str, Any]] = {
    "PATCH /v1/threads/{thread_id}": {"metadata": {"mine": "yes"}},
    "POST /v1/threads/{thread_id}/runs": {"agent": "chat", "input": {"messages": MESSAGES}},
    "POST /v1/runs/{run_id}/resume": {"answers": {"x": {"action": "approve"}}},
    "POST /v1/artifacts/{artifact_id}/restore": {"version": 1},
    "PATCH /v1/keys/{key_id}": {"name": "mine"},
    "POST /v1/keys/{key_id}/rotate": {"overlap_seconds": 0},
    "PATCH /v1/users/{user_id}": {"role": "viewer"},
}
"""Of operations on a thing that want a body. A new one belongs here."""


NAMED: Final[list[tuple[str, str, str, dict[str, Any]]]] = [
    ("thread_", "GET", "/v1/threads", {"params": {"after": "ID"}}),
    ("run_", "GET", "/v1/runs", {"params": {"after": "ID"}}),
    ("art_", "GET", "/v1/artifacts", {"params": {"after": "ID"}}),
    ("file-", "GET", "/v1/files", {"params": {"after": "ID"}}),
    ("key_", "GET", "/v1/keys", {"params": {"after": "ID"}}),
    ("user_", "GET", "/v1/users", {"params": {"after": "ID"}}),
    ("thread_", "GET", "/v1/artifacts", {"params": {"thread_id": "ID"}}),
    ("user_", "GET", "/v1/keys", {"params": {"user": "ID"}}),
    ("key_", "GET", "/v1/usage", {"params": {"key": "ID"}}),
    ("user_", "GET", "/v1/usage", {"params": {"user": "ID"}}),
    ("user_", "GET", "/v1/audit", {"params": {"actor": "ID"}}),
    ("key_", "GET", "/v1/audit", {"params": {"target": "ID"}}),
    ("user_", "POST", "/v1/keys", {"json": {"name": "theirs", "user": "ID"}}),
    ("file-", "POST", "/v1/search", {"json": {"query": SHARED, "mode": "fast", "file_ids": ["ID"]}}),
]
"""Kind of thing, request, and where in it the thing is named."""


def operations(world: World) -> list[tuple[str, str, str]]:
    """Method, path and parameter of every documented operation on a thing that somebody owns."""
    found = []
    for path, item in world.document["paths"].items():
        for parameter in re.findall(r"{(\w+)}", path):
            if parameter in KINDS:
                found += [(method.upper(), path, parameter) for method in item]
            else:
                assert parameter in OTHERS, f"{path}: say in KINDS or OTHERS what {parameter} is"
    return found


async def on_a_thing(world: World, rng: random.Random, person: Person) -> None:
    """Any operation on a thing of another, and the same on one that nobody has."""
    method, template, parameter = rng.choice(operations(world))
    if not (candidates := world.foreign(person, KINDS[parameter])):
        return
    wanted = f"{method} {template}"
    options: dict[str, Any] = {"json": BODIES[wanted]} if wanted in BODIES else {}
    parameters = world.document["paths"][template][method.lower()].get("parameters", [])
    if required := [each["name"] for each in parameters if each["in"] == "query" and each.get("required")]:
        options["params"] = dict.fromkeys(required, 1)
    assert method in ("GET", "DELETE") or options or template.endswith(("/cancel", "/invitation")), wanted
    theirs = rng.choice(candidates)
    paths = []
    for name in (theirs, unknown_like(theirs, letters(rng))):
        path = template.replace(f"{{{parameter}}}", name)
        paths.append(re.sub(r"{(\w+)}", lambda match: OTHERS[match[1]], path))
    await _same(world, rng, person, method, paths, template, options)


async def by_naming_it(world: World, rng: random.Random, person: Person) -> None:
    """In parameters and bodies instead of paths."""
    kind, method, path, options = rng.choice(NAMED)
    if not (candidates := world.foreign(person, kind)):
        return
    theirs = rng.choice(candidates)
    answers = []
    for name in (theirs, unknown_like(theirs, letters(rng))):
        answers.append(await world.ask(rng, person, method, path, **_fill(options, name)))
    if answers[0].status_code < 400:
        # Meanwhile others of the same tenant do things: only what would be another's is compared.
        assert answers[0].status_code == answers[1].status_code
    else:
        _compare(answers, f"{method} {path}")


def _fill(value: Any, name: str) -> Any:
    """With the name wherever a thing is to be named."""
    if isinstance(value, dict):
        return {key: _fill(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, name) for item in value]
    return name if value == "ID" else value


async def _same(
    world: World,
    rng: random.Random,
    person: Person,
    method: str,
    paths: list[str],
    template: str,
    options: Mapping[str, Any],
) -> None:
    answers = [await world.ask(rng, person, method, path, template=template, **options) for path in paths]
    assert answers[0].status_code in (403, 404), f"{method} {paths[0]}: {answers[0].status_code} {answers[0].text}"
    _compare(answers, f"{method} {template}")


def _compare(answers: list[httpx.Response], what: str) -> None:
    known, unknown = (_without_ids(answer) for answer in answers)
    assert known == unknown, f"{what} tells things of others from things that are not: {known} {unknown}"


def _without_ids(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if not name.startswith(VOLATILE)}
    return answer.status_code, ID.sub("ID", answer.text), headers


async def over_grpc(world: World, rng: random.Random, person: Person) -> None:
    """With a good service token of one's own tenant, past the edge."""
    kind, call = rng.choice(CALLS)
    if not kind:
        world.marks.check(person.tenant.id, "", await _told(call, world, person, ""))
        return
    if not (candidates := world.foreign(person, kind)):
        return
    theirs = rng.choice(candidates)
    known = await _told(call, world, person, theirs)
    unknown = await _told(call, world, person, unknown_like(theirs, letters(rng)))
    world.marks.check(person.tenant.id, theirs, known)
    assert ID.sub("ID", known) == ID.sub("ID", unknown), f"{call.__name__} tells things of others from none"


async def _get_thread_state(world: World, person: Person, name: str) -> Any:
    request = agent_service_pb2.GetThreadStateRequest(thread_id=name)
    return await _agent(world).GetThreadState(request, timeout=20, metadata=_metadata(world, person, "agent_fn"))


async def _prune_threads(world: World, person: Person, name: str) -> Any:
    request = agent_service_pb2.PruneThreadsRequest(thread_ids=[name], mode=agent_service_pb2.PRUNE_MODE_DELETE)
    return await _agent(world).PruneThreads(request, timeout=20, metadata=_metadata(world, person, "agent_fn"))


async def _get_document(world: World, person: Person, name: str) -> Any:
    request = embed_service_pb2.GetDocumentRequest(document_id=name)
    return await _embed(world).GetDocument(request, timeout=20, metadata=_documents(world, person))


async def _delete_document(world: World, person: Person, name: str) -> Any:
    request = embed_service_pb2.DeleteDocumentRequest(document_id=name)
    return await _embed(world).DeleteDocument(request, timeout=20, metadata=_documents(world, person))


async def _search_in(world: World, person: Person, name: str) -> Any:
    request = embed_service_pb2.SearchRequest(query=SHARED, document_ids=[name])
    return await _embed(world).Search(request, timeout=20, metadata=_documents(world, person))


async def _search(world: World, person: Person, name: str) -> Any:
    request = embed_service_pb2.SearchRequest(query=SHARED)
    return await _embed(world).Search(request, timeout=20, metadata=_documents(world, person))


async def _get_any_passage(world: World, person: Person, name: str) -> Any:
    """Of whichever tenant."""
    chunks = [chunk for own in world.belongings.values() for chunk in own.chunks]
    request = embed_service_pb2.GetPassageRequest(chunk_id=random.choice(chunks or ["c1"]))
    return await _embed(world).GetPassage(request, timeout=20, metadata=_documents(world, person))


async def _list_documents(world: World, person: Person, name: str) -> Any:
    request = embed_service_pb2.ListDocumentsRequest()
    return await _embed(world).ListDocuments(request, timeout=20, metadata=_documents(world, person))


async def _invoke_rag_search(world: World, person: Person, name: str) -> Any:
    """Everybody with the same idempotency key."""
    tools: Any = tool_service_pb2_grpc.ToolServiceStub(world.channels["tool_fn"])
    request = tool_service_pb2.InvokeRequest(
        name="rag_search", arguments_json=f'{{"query": "{SHARED}"}}', idempotency_key="the-same-for-all"
    )
    read = world.stack.token(person.tenant, audience="embed_fn", scopes=("documents:read",))
    metadata = (*_metadata(world, person, "tool_fn", "tools"), ("x-dormouse-documents", read))
    return [event async for event in tools.Invoke(request, timeout=20, metadata=metadata)]


Call = Callable[[World, Person, str], Awaitable[Any]]
CALLS: Final[list[tuple[str, Call]]] = [
    *(("thread_", _get_thread_state), ("thread_", _prune_threads)),
    *(("file-", _get_document), ("file-", _delete_document), ("file-", _search_in)),
    *(("", _search), ("", _get_any_passage), ("", _list_documents), ("", _invoke_rag_search)),
]
"""With the kind of thing that is asked for; "" where it is whatever there is."""


def _agent(world: World) -> Any:
    return agent_service_pb2_grpc.AgentServiceStub(world.channels["agent_fn"])


def _embed(world: World) -> Any:
    return embed_service_pb2_grpc.EmbedServiceStub(world.channels["embed_fn"])


def _documents(world: World, person: Person) -> Metadata:
    return _metadata(world, person, "embed_fn", "documents")


def _metadata(world: World, person: Person, audience: str, *scopes: str) -> Metadata:
    return call_metadata(world.stack.token(person.tenant, audience=audience, scopes=scopes))


async def _told(call: Call, world: World, person: Person, name: str) -> str:
    try:
        return str(await call(world, person, name))
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
            raise
        return f"{error.code()} {error.details()}"
