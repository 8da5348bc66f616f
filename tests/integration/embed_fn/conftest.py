"""A store on the session's Postgres."""

from collections.abc import AsyncIterator

import pytest
from embed_fn.postgres import Postgres
from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore

from tests.stack import Stack


@pytest.fixture
async def postgres(stack: Stack) -> AsyncIterator[Postgres]:
    postgres = Postgres(stack.database.url)
    yield postgres
    await postgres.aclose()


@pytest.fixture
def store(postgres: Postgres) -> DocumentStore:
    return DocumentStore(postgres)


@pytest.fixture
def models(postgres: Postgres) -> ModelStore:
    return ModelStore(postgres)
