"""Idempotency keys: which are one, what makes two requests the same, and how answers are locked away."""

import pytest
from edge.auth.caller import Caller
from edge.errors import ApiError
from edge.idempotency.request_key import RequestKey, fingerprint, read_key

OLD, NEW = b"an old pepper of some length", b"a new pepper of some length"
CALLER = Caller("t", "ann", "key_1")


@pytest.mark.parametrize("values", [[], [b""], [b"a", b"b"], [b"a b"], [b"x" * 256], ["ü".encode()], [b"\x7f"]])
def test_what_is_no_key_is_refused(values: list[bytes]) -> None:
    with pytest.raises(ApiError) as refused:
        read_key(values)
    assert refused.value.status == 400


def test_a_key_belongs_to_the_credential() -> None:
    def digest(caller: Caller) -> bytes:
        return RequestKey.of(caller, "k", [NEW]).digests[0]

    others = [Caller("u", "ann", "key_1"), Caller("t", "ann", "key_2"), Caller("t", "ann", ""), Caller("t", "bob", "")]
    assert digest(Caller("t", "bob", "key_1")) == digest(CALLER)  # whoever the key speaks for
    assert len({digest(caller) for caller in (CALLER, *others)}) == 5


def test_json_counts_by_what_it_says_and_parameters_in_any_order() -> None:
    def of(body: bytes, query: str = "", path: str = "/a") -> bytes:
        return fingerprint("POST", path, query, "application/json", body)

    assert of(b'{"a":1,"b":[2]}') == of(b'{ "b": [2], "a": 1 }')
    assert of(b"", "x=1&y=2") == of(b"", "y=2&x=1")
    told = [of(b'{"a":1}'), of(b'{"a":2}'), of(b'{"a":1'), of(b'{"a":1}', "x=1"), of(b'{"a":1}', path="/b")]
    assert len(set(told)) == len(told)


def test_an_answer_opens_with_the_clients_key_only_also_while_the_pepper_changes() -> None:
    sealed = RequestKey.of(CALLER, "k", [OLD]).seal(b"dm_live_secret" * 10)
    assert b"dm_live" not in sealed
    assert RequestKey.of(CALLER, "k", [NEW, OLD]).open(sealed) == b"dm_live_secret" * 10
    assert RequestKey.of(CALLER, "k", [OLD]).digests[0] in RequestKey.of(CALLER, "k", [NEW, OLD]).digests
    for other in (RequestKey.of(CALLER, "l", [OLD]), RequestKey.of(Caller("u", "ann", "key_1"), "k", [OLD])):
        with pytest.raises(ValueError, match="cannot be read"):
            other.open(sealed)
