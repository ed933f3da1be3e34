"""The places where a request may carry its key, and the error if it has none."""

from __future__ import annotations

import hashlib

import pytest

from tests.translator.policies import VALUE
from translator.credentials import key_hash
from translator.errors import Refusal

HASH = hashlib.sha256(VALUE.encode()).digest()


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer " + VALUE.encode()},
        {b"authorization": b"bearer  " + VALUE.encode()},
        {b"x-api-key": VALUE.encode()},
        {b"api-key": VALUE.encode()},
    ],
)
def test_a_key_is_found(headers: dict[bytes, bytes]) -> None:
    assert key_hash(headers) == HASH


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Basic c2VjcmV0LXNlY3JldC1zZWNyZXQ="},
        {b"authorization": VALUE.encode()},
        {b"authorization": b"Bearer short-secret"},
        {b"x-api-key": b"s" * 16_385},
    ],
)
def test_anything_else_is_refused_without_an_echo(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Refusal) as caught:
        key_hash(headers)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    for value in headers.values():
        secret = value.rpartition(b" ")[2].decode()
        assert not secret or secret not in caught.value.message
