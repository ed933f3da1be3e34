"""Reading the keys of token issuers: when, from where, and with which result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.tokens.v1 import tokens_pb2 as pb, tokens_pb2_grpc

from tests.fakes.identity_provider import FakeProvider, identity_provider
from xds_server.accounts.settings import JwtIssuer
from xds_server.admin.apply import Mode, apply
from xds_server.model import Gateway
from xds_server.rpc.authorise import bearer_token
from xds_server.store import AsyncStore, AuditQuery, DatabaseUrl, Store
from xds_server.tokens import service
from xds_server.tokens.issuer_keys import IssuerKeys
from xds_server.troubles import Troubles


class Published:
    """Stands in for the rest of the control plane."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.revisions: list[int] = []

    def gateway(self) -> Gateway:
        return self._store.load().gateway

    async def state_changed(self, revision: int) -> None:
        self.revisions.append(revision)


class Setting:
    """One issuer's keys, read with a clock that stands still."""

    def __init__(self, store: Store, provider: FakeProvider) -> None:
        self.store = store
        self.provider = provider
        self.published = Published(store)
        self.troubles = Troubles()
        self.now = 100.0
        self.keys = IssuerKeys(AsyncStore(store), self.published, self.troubles, lambda: self.now)

    def configure(self, *names: str, **fields: Any) -> None:
        issuers = [
            admin.JwtIssuer(
                **{
                    "name": name,
                    "issuer": self.provider.issuer,
                    "audiences": ["api"],
                    "grants": [admin.JwtGrant(organisation="acme", key="all")],
                    **fields,
                }
            )
            for name in names
        ]
        document = admin.Document(gateway=admin.Gateway(jwt=issuers, cors=admin.Cors(origins=["*"])))
        self.store.write("test", lambda tx: apply(tx, document, Mode(sections=frozenset({"jwt"}))))

    @property
    def issuer(self) -> JwtIssuer:
        return self.store.load().gateway.jwt[0]

    @property
    def readings(self) -> int:
        return self.provider.calls.count("/keys")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(DatabaseUrl.of_file(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    yield opened
    opened.close()


@pytest.fixture
async def setting(store: Store) -> AsyncIterator[Setting]:
    async with identity_provider() as provider:
        yield Setting(store, provider)


async def test_keys_are_discovered_stored_and_published(setting: Setting) -> None:
    setting.configure("corp")
    await setting.keys.read_due()
    assert setting.issuer.key_ids == ("one",)
    assert json.loads(setting.issuer.keys)["keys"][0].keys() == {"kty", "n", "e", "kid"}
    assert setting.published.revisions == [setting.store.load().revision]
    assert not setting.troubles.reasons
    # The audit log shows who changed which keys are trusted; the file keeps managing the gateway.
    (event, *_) = setting.store.audit_events(AuditQuery(limit=1))
    assert (event.actor, event.object_name) == ("jwt:corp", "gateway")
    gateway = setting.store.load().gateway
    assert (gateway.manager_of("jwt"), gateway.cors.origins) == ("file:trunkline", ("*",))
    assert gateway.version < setting.store.load().revision


async def test_keys_of_a_given_url(setting: Setting) -> None:
    setting.configure("corp", issuer="https://nobody.example", jwks_url=f"{setting.provider.issuer}/keys")
    await setting.keys.read_due()
    assert setting.issuer.key_ids == ("one",)
    assert setting.provider.calls == ["/keys"]


async def test_they_are_read_again_from_time_to_time(setting: Setting) -> None:
    setting.configure("corp")
    for elapsed, readings in ((0, 1), (599, 1), (1, 2), (10, 2)):
        setting.now += elapsed
        await setting.keys.read_due()
        assert setting.readings == readings
    assert len(setting.published.revisions) == 1


async def test_a_translator_has_them_read_again_at_most_every_ten_seconds(setting: Setting) -> None:
    setting.configure("corp")
    await setting.keys.read_due()
    for _ in range(20):
        setting.keys.want(["corp", "nobody"])
        await setting.keys.read_due()
    assert setting.readings == 1
    setting.now += 10
    await setting.keys.read_due()
    assert setting.readings == 2
    setting.now += 10
    await setting.keys.read_due()
    assert setting.readings == 2


async def test_what_cannot_be_read_stays_as_it_was(setting: Setting) -> None:
    setting.configure("corp")
    await setting.keys.read_due()
    setting.provider.metadata["jwks_uri"] = f"{setting.provider.issuer}/nothing"
    setting.now += 600
    await setting.keys.read_due()
    assert setting.issuer.key_ids == ("one",)
    (trouble,) = setting.troubles.reasons
    assert "the keys of the token issuer corp cannot be read" in trouble
    del setting.provider.metadata["jwks_uri"]
    setting.now += 10
    await setting.keys.read_due()
    assert not setting.troubles.reasons


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://other.example"}, {"jwks_uri": None}, {"jwks_uri": "ftp://x/keys"}, {"jwks_uri": 5}],
    ids=str,
)
async def test_metadata_that_lead_elsewhere(setting: Setting, metadata: dict[str, Any]) -> None:
    setting.provider.metadata |= metadata
    setting.configure("corp")
    await setting.keys.read_due()
    assert setting.issuer.keys == ""
    assert len(setting.troubles.reasons) == 1
    # Removing the issuer removes its trouble.
    setting.configure()
    await setting.keys.read_due()
    assert not setting.troubles.reasons


async def test_another_source_begins_without_keys(setting: Setting) -> None:
    setting.configure("corp")
    await setting.keys.read_due()
    setting.configure("corp", audiences=["other"])
    assert setting.issuer.key_ids == ("one",)
    setting.configure("corp", jwks_url="https://nobody.example/keys")
    assert setting.issuer.keys == ""


async def test_only_translators_ask(setting: Setting) -> None:
    setting.configure("corp")
    await setting.keys.read_due()
    server = grpc.aio.server()
    service.serve(server, setting.keys, bearer_token("a-token"))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = tokens_pb2_grpc.TokensStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.RefreshKeys(pb.RefreshKeysRequest(issuers=["corp"]))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            metadata = (("authorization", "Bearer a-token"),)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.RefreshKeys(pb.RefreshKeysRequest(issuers=["x"] * 101), metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            await stub.RefreshKeys(pb.RefreshKeysRequest(issuers=["corp"]), metadata=metadata)
    finally:
        await server.stop(None)
    setting.now += 10
    await setting.keys.read_due()
    assert setting.readings == 2
