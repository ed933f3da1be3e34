"""Credentials at rest: sealed, bound to their provider, and useless without the right key."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.xds_server.store.databases import OpenStore
from xds_server.errors import SecretKeyError
from xds_server.model import Provider
from xds_server.store import DatabaseUrl, Store, api_keys, writing
from xds_server.store.crypto import Cipher
from xds_server.store.engine import make_engine

OPENAI = Provider("openai", "https://api.example.com", credentials=("credential-of-openai",))
GIVEN = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="


def put(store: Store, provider: Provider) -> None:
    store.write("admin", lambda tx: writing.providers.put(tx, provider, expected=None))


def execute(database: DatabaseUrl, statement: str) -> None:
    engine = make_engine(database)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_the_key_file_is_made_private(store: Store, key_file: Path) -> None:
    assert store.load().revision == 0
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [path.name for path in key_file.parent.iterdir() if "secret" in path.name] == ["secret.key"]


def test_the_wrong_key_is_refused_by_name(open_store: OpenStore, key_file: Path) -> None:
    put(open_store(), OPENAI)
    right = key_file.read_text()
    key_file.write_text(GIVEN)
    with pytest.raises(SecretKeyError, match=f"{key_file}: this is not the key"):
        open_store()
    key_file.write_text("not base64!")
    with pytest.raises(SecretKeyError, match=f"{key_file}: not base64"):
        open_store()
    key_file.write_text("c2hvcnQ=")
    with pytest.raises(SecretKeyError, match=f"{key_file}: a secret key has 32 bytes"):
        open_store()
    key_file.write_text(right)
    assert open_store().load().providers["openai"].credentials == OPENAI.credentials


def test_a_missing_key_file_is_not_replaced(open_store: OpenStore, key_file: Path) -> None:
    open_store()
    key_file.unlink()
    with pytest.raises(SecretKeyError, match=f"{key_file}: the key file is missing"):
        open_store()
    assert not key_file.exists()


def test_a_key_may_be_given_instead(database: DatabaseUrl) -> None:
    store = Store.open(database, key=GIVEN)
    put(store, OPENAI)
    store.close()
    again = Store.open(database, key=GIVEN)
    assert again.load().providers["openai"].credentials == OPENAI.credentials
    again.close()
    with pytest.raises(SecretKeyError, match="the secret key given: this is not the key"):
        Store.open(database, key=GIVEN.replace("Y", "Z"))


def test_credentials_moved_to_another_provider_do_not_open(open_store: OpenStore, database: DatabaseUrl) -> None:
    store = open_store()
    put(store, OPENAI)
    put(store, replace(OPENAI, name="attacker", base_url="https://attacker.example.com", credentials=("x",)))
    execute(
        database,
        "UPDATE provider SET credentials = (SELECT credentials FROM provider WHERE name = 'openai') "
        "WHERE name = 'attacker'",
    )
    with pytest.raises(SecretKeyError, match="credentials of provider attacker cannot be opened"):
        open_store().load()


def test_a_changed_ciphertext_does_not_open() -> None:
    cipher = Cipher.of_text(GIVEN, "test")
    sealed = cipher.seal(b"secret", b"provider a")
    assert cipher.open(sealed, b"provider a") == b"secret"
    assert sealed != cipher.seal(b"secret", b"provider a")
    for position in range(len(sealed)):
        spoilt = bytearray(sealed)
        spoilt[position] ^= 1
        with pytest.raises(SecretKeyError):
            cipher.open(bytes(spoilt), b"provider a")
    with pytest.raises(SecretKeyError):
        cipher.open(b"", b"provider a")


def test_generated_keys_have_a_readable_id_and_a_long_secret() -> None:
    values = {api_keys.new_value(api_keys.new_id()) for _ in range(1000)}
    assert len(values) == 1000
    for value in values:
        public_id = api_keys.public_id(value)
        assert public_id is not None
        assert value.startswith(f"sk-tl-{public_id}-")
        assert len(value) == len("sk-tl-") + 10 + 1 + 43
    assert api_keys.public_id("sk-another-key-format-0123456789") is None


def test_the_repr_of_a_provider_hides_its_credentials() -> None:
    assert "credential-of-openai" not in repr(OPENAI)
    assert "hidden" not in repr(DatabaseUrl.parse("postgresql://user:hidden@host/db"))
