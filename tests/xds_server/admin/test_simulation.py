"""SimulateRoutes over real gRPC, on both databases: the records that it reads, and that it changes nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.ledger.usage import batch, usage
from xds_server.ledger.ledger import Ledger
from xds_server.store import AuditQuery, Store

CHEAP, DEAR = {"input": 1_000_000, "output": 2_000_000}, {"input": 4_000_000, "output": 8_000_000}


def document(*routes: dict[str, Any], providers: tuple[str, ...] = ("a", "b")) -> pb.Document:
    named = [pb.Provider(name=name, base_url="https://x.example/v1") for name in providers]
    organisations = [
        pb.OrganisationDocument(organisation=pb.Organisation(name=name)) for name in ("acme", "other")
    ]
    return pb.Document(providers=named, routes=[pb.Route(**each) for each in routes], organisations=organisations)


def route(a: int, b: int, **fields: Any) -> dict[str, Any]:
    targets = [
        {"provider": name, "model": "m", "weight": weight, "price": price}
        for name, weight, price in (("a", a, DEAR), ("b", b, CHEAP))
    ]
    return {"model": "gpt", "targets": targets, **fields}


@pytest.fixture
async def ledger(store: Store, admin: Admin) -> AsyncIterator[Ledger]:
    """A ledger of a route with `a` as its only target: 20 requests of acme and 10 of others, at 800 micro-USD
    each.
    """
    await admin.stub.Apply(pb.ApplyRequest(document=document(route(1, 0))))
    ids = {each.name: each.id for each in store.load().organisations.values()}
    opened = Ledger(store.url, store.write_lock)
    given = {
        "model": "gpt", "target_id": "a/m", "stream": True, "prompt_tokens": 100, "cached_tokens": 0,
        "completion_tokens": 50, "cost_nano_usd": 800_000,
    }  # fmt: skip
    of = {"acme": 20, "other": 10}
    now = time.time()
    await opened.append(
        batch(*(usage(now - 60, organisation_id=ids[name], **given) for name in of for _ in range(of[name])))
    )
    yield opened
    opened.close()


async def simulate(admin: Admin, proposed: pb.Document, **fields: Any) -> pb.SimulateRoutesResponse:
    request = pb.SimulateRoutesRequest(document=proposed, **fields)
    return await admin.stub.SimulateRoutes(request)  # type: ignore[no-any-return]


def costs(found: pb.SimulatedRoute) -> tuple[int, ...]:
    return tuple(each.cost_nano_usd for each in (found.recorded, found.now, found.proposed))


async def test_now_and_proposed_stand_beside_each_other(admin: Admin, ledger: Ledger, store: Store) -> None:
    before = store.load(), store.audit_events(AuditQuery())
    answer = await simulate(admin, document(route(0, 1)))
    (found,) = answer.routes
    assert (answer.records, answer.sampled_permille, found.requests) == (30, 1_000, 30)
    assert costs(found) == (24_000_000, 24_000_000, 6_000_000)
    shares = {each.target_id: (each.now.share_permille, each.proposed.share_permille) for each in found.targets}
    assert shares == {"a/m": (1_000, 0), "b/m": (0, 1_000)}
    assert found.now.duration_us > 0
    assert found.now.first_byte_p50_us == pytest.approx(400_000, rel=0.05)
    assert found.proposed.unmeasured_permille == 1_000
    assert any(note.startswith("b/m: it has no measurements") for note in found.notes)
    # Nothing is changed, recorded or published.
    assert (store.load(), store.audit_events(AuditQuery())) == before


async def test_another_price_and_another_provider_need_not_be_applied(admin: Admin, ledger: Ledger) -> None:
    target = {"provider": "new", "model": "m", "price": {"input": 0, "output": 1_000_000}}
    (found,) = (await simulate(admin, document({"model": "gpt", "targets": [target]}, providers=("new",)))).routes
    assert costs(found)[1:] == (24_000_000, 30 * 50_000)
    assert [each.target_id for each in found.targets] == ["new/m", "a/m", "b/m"]
    assert not found.targets[0].HasField("now")


async def test_an_organisation_sees_its_own_route_and_its_own_requests(admin: Admin, ledger: Ledger) -> None:
    own = route(0, 1, organisation="acme")
    (of_acme,) = (await simulate(admin, document(own))).routes
    # Callers without a route of their own yet used everybody's.
    assert (of_acme.organisation, of_acme.requests, costs(of_acme)) == (
        "acme",
        20,
        (16_000_000, 16_000_000, 4_000_000),
    )
    both = document(route(1, 0), own)
    for asked, seen in (("acme", [("acme", 20)]), ("other", [("", 10)]), ("", [("", 10), ("acme", 20)])):
        routes = (await simulate(admin, both, organisation=asked)).routes
        assert [(each.organisation, each.requests) for each in routes] == seen


async def test_a_time_and_a_model_are_asked_for(admin: Admin, ledger: Ledger) -> None:
    now = int(time.time())
    two = document(route(1, 0), {**route(1, 0), "model": "another"})
    assert len((await simulate(admin, two)).routes) == 2
    (found,) = (await simulate(admin, two, model="gpt", since=now - 7_200, until=now - 3_600)).routes
    assert found.requests == 0
    (found,) = (await simulate(admin, two, model="another")).routes
    assert found.notes[0] == "there is no such route now: nothing to compare with"
    assert not found.HasField("now")


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"since": 5, "until": 5}, grpc.StatusCode.INVALID_ARGUMENT, "until: not after `since`"),
        ({"since": -1}, grpc.StatusCode.INVALID_ARGUMENT, "since: "),
        ({"model": "gtp"}, grpc.StatusCode.NOT_FOUND, 'document.routes: no route "gtp"; did you mean gpt?'),
        ({"organisation": "acne"}, grpc.StatusCode.NOT_FOUND, 'organisation: no organisation "acne"; known: acme'),
    ],
)
async def test_what_is_wrong_is_named(
    admin: Admin, ledger: Ledger, fields: dict[str, Any], code: grpc.StatusCode, said: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await simulate(admin, document(route(1, 0)), **fields)
    assert caught.value.code() is code
    assert (caught.value.details() or "").startswith(said)


async def test_a_document_is_needed_and_has_to_be_right(admin: Admin, ledger: Ledger) -> None:
    for request, said in (
        (pb.SimulateRoutesRequest(), "document: missing"),
        (pb.SimulateRoutesRequest(document=document({"model": "gpt"})), "document.routes[0].targets: "),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await admin.stub.SimulateRoutes(request)
        assert said.removeprefix("document.") in (caught.value.details() or "")
