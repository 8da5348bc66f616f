"""Ids of things: how they are made, and which texts can be one at all."""

import hashlib
import re
import secrets
import string
from typing import Final

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LENGTH: Final = 24
_FORM: Final = re.compile(r"(thread_|run_|art_|file-|user_|sess_|key_|budget_)[0-9A-Za-z]{24}")

THREAD_PATTERN: Final = r"^thread_[0-9A-Za-z]{24}$"
RUN_PATTERN: Final = r"^run_[0-9A-Za-z]{24}$"
ARTIFACT_PATTERN: Final = r"^art_[0-9A-Za-z]{24}$"
FILE_PATTERN: Final = r"^file-[0-9A-Za-z]{24}$"
USER_PATTERN: Final = r"^user_[0-9A-Za-z]{24}$"
SESSION_PATTERN: Final = r"^sess_[0-9A-Za-z]{24}$"
KEY_PATTERN: Final = r"^key_[0-9A-Za-z]{24}$"
BUDGET_PATTERN: Final = r"^budget_[0-9A-Za-z]{24}$"


def new_thread_id() -> str:
    """A fresh id; 142 bits of randomness."""
    return "thread_" + _random()


def new_run_id() -> str:
    """A fresh id; 142 bits of randomness."""
    return "run_" + _random()


def new_file_id() -> str:
    """A fresh id in OpenAI's form; 142 bits of randomness."""
    return "file-" + _random()


def new_user_id() -> str:
    """A fresh id; 142 bits of randomness."""
    return "user_" + _random()


def new_session_id() -> str:
    """A fresh id; 142 bits of randomness."""
    return "sess_" + _random()


def new_job_id() -> str:
    """A fresh id of a piece of work that is no run."""
    return "job_" + _random()


def new_budget_id() -> str:
    """A fresh id; 142 bits of randomness."""
    return "budget_" + _random()


def new_key_id() -> str:
    """A fresh id; 142 bits of randomness."""
    return "key_" + _random()


def derived_thread_id(tenant: str, client_id: str) -> str:
    """The id of the thread that a client of this tenant calls `client_id`: always the same, and nobody else's."""
    return "thread_" + _spell(hashlib.sha256(f"{tenant}\0{client_id}".encode()).digest())


def _random() -> str:
    # One read for all letters: each lets the interpreter lock go, and gets it back late on a busy machine.
    return _spell(secrets.token_bytes(24))


def _spell(data: bytes) -> str:
    number, letters = int.from_bytes(data), []
    for _ in range(_LENGTH):
        number, letter = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[letter])
    return "".join(letters)


def is_thread_id(text: str) -> bool:
    """Whether a thread could have this id. What could not is not looked up."""
    return text.startswith("thread_") and _FORM.fullmatch(text) is not None


def is_run_id(text: str) -> bool:
    """Whether a run could have this id."""
    return text.startswith("run_") and _FORM.fullmatch(text) is not None


def is_artifact_id(text: str) -> bool:
    """Whether an artifact could have this id."""
    return text.startswith("art_") and _FORM.fullmatch(text) is not None


def is_file_id(text: str) -> bool:
    """Whether a file could have this id."""
    return text.startswith("file-") and _FORM.fullmatch(text) is not None


def is_user_id(text: str) -> bool:
    """Whether a user who was made here could have this id."""
    return text.startswith("user_") and _FORM.fullmatch(text) is not None


def is_session_id(text: str) -> bool:
    """Whether a session could have this id."""
    return text.startswith("sess_") and _FORM.fullmatch(text) is not None


def is_key_id(text: str) -> bool:
    """Whether an API key could have this id."""
    return text.startswith("key_") and _FORM.fullmatch(text) is not None


def is_budget_id(text: str) -> bool:
    """Whether a budget could have this id."""
    return text.startswith("budget_") and _FORM.fullmatch(text) is not None
