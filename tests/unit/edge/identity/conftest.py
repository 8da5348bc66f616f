"""What verifies tokens, each with a token that it takes."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from edge.auth.peppers import Peppers
from edge.database import Database

from tests.stack import Stack
from tests.unit.edge.identity.issuer import Issuer


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[Database]:
    database = Database(stack.database.url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def peppers(stack: Stack) -> Peppers:
    return Peppers.read(stack.credentials.pepper)


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
async def issuer(rsa_key: rsa.RSAPrivateKey) -> AsyncIterator[Issuer]:
    """With an RSA key `first` and an EC key `second`."""
    issuer = await Issuer().start()
    issuer.add_key("first", rsa_key)
    issuer.add_key("second", ec.generate_private_key(ec.SECP256R1()))
    yield issuer
    await issuer.stop()


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=5) as http:
        yield http
