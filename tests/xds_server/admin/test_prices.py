"""Limits and prices over the wire: applied once, listed with their history, audited, exported."""

from __future__ import annotations

import json
import time
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.admin.documents import document
from xds_server.store import AuditQuery

LATER = int(time.time()) + 86_400


async def apply(admin: Admin, wanted: pb.Document, **options: Any) -> pb.ApplyResponse:
    response: pb.ApplyResponse = await admin.stub.Apply(pb.ApplyRequest(document=wanted, **options))
    return response


def with_price(**price: Any) -> pb.Document:
    """Returns the document with another price for the first target of its first route."""
    wanted = document()
    wanted.routes[0].targets[0].price.CopyFrom(policy_pb2.Price(**price))
    return wanted


async def history(admin: Admin) -> list[tuple[int, int]]:
    """Returns (input, version) of that target's prices, as listed."""
    for route in (await admin.stub.ListRoutes(pb.ListRoutesRequest())).routes:
        for target in route.targets:
            if (route.organisation, target.provider) == ("", "openai"):
                return [(price.input, price.version) for price in target.price_history]
    raise AssertionError("no such target")


async def test_a_price_changes_once_and_its_history_is_listed(admin: Admin) -> None:
    await apply(admin, document())
    assert await history(admin) == [(2, 1)]
    dearer = with_price(input=3, output=8, cached_input=1, request=4)
    assert [change.object_name for change in (await apply(admin, dearer, dry_run=True)).changes] == ["gpt-4.1"]
    assert await history(admin) == [(2, 1)]
    (change,) = (await apply(admin, dearer)).changes
    (field,) = change.fields
    before, after = (json.loads(text)[0]["price"] for text in (field.before, field.after))
    assert (before["version"], before["input"], after["version"]) == (1, 2, 2)
    assert {"input": 3, "output": 8, "cached_input": 1, "request": 4}.items() <= after.items()
    assert not (await apply(admin, dearer)).changes
    assert await history(admin) == [(2, 1), (3, 2)]
    (event, *_) = admin.store.audit_events(AuditQuery(object_type="route", object_name="gpt-4.1"))
    assert json.loads(event.after)["targets"][0]["price"] == after


async def test_a_price_to_come_is_exported_and_applied_back(admin: Admin) -> None:
    await apply(admin, document())
    coming = with_price(input=3, output=0, valid_from=LATER)
    (change,) = (await apply(admin, coming)).changes
    assert json.loads(change.fields[0].after)[0]["price"]["valid_from"] == LATER
    exported = (await admin.stub.Export(pb.ExportRequest())).document
    target = exported.routes[0].targets[0]
    assert (target.price.input, target.price.valid_from, len(target.price_history)) == (3, LATER, 0)
    for again in (exported, coming, document()):
        assert not (await apply(admin, again)).changes
    await apply(admin, with_price(input=4, output=0, valid_from=LATER))
    assert await history(admin) == [(2, 1), (4, 3)]


async def test_a_price_in_the_past_is_refused_by_its_path(admin: Admin) -> None:
    await apply(admin, document())
    before = admin.store.load()
    wanted = with_price(input=3, output=8, valid_from=1_700_000_000)
    put = pb.PutRouteRequest(route=replacing(wanted.routes[0], before.revision))
    for path, call in (("routes[0]", apply(admin, wanted)), ("route", admin.stub.taking_over().PutRoute(put))):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(caught.value.details()).startswith(
            f"{path}.targets[0].price.valid_from: 2023-11-14T22:13:20+00:00"
        )
    assert admin.store.load() is before


def replacing(route: pb.Route, version: int) -> pb.Route:
    route.version = version
    return route


async def test_limits_of_every_kind_come_back_and_apply_without_a_change(admin: Admin) -> None:
    wanted = document()
    budget = policy_pb2.Limit(
        metric=policy_pb2.METRIC_COST_USD,
        calendar=policy_pb2.CALENDAR_MONTH,
        time_zone="Europe/Berlin",
        model="gpt-4.1",
        amount=500_000_000,
    )
    wanted.organisations[0].organisation.limits.append(budget)
    wanted.organisations[0].keys[0].key.limits.append(budget)
    in_flight = policy_pb2.Limit(metric=policy_pb2.METRIC_CONCURRENCY, amount=20)
    wanted.routes[0].limits.append(in_flight)
    wanted.routes[0].reserved_output_tokens = 2_048
    assert not [each for each in (await apply(admin, wanted)).warnings if "limits" in each]
    exported = (await admin.stub.Export(pb.ExportRequest())).document
    for limits in (exported.organisations[0].organisation.limits, exported.organisations[0].keys[0].key.limits):
        assert limits[1].managed_by == "file:trunkline"
        limits[1].ClearField("managed_by")
        assert limits[1] == budget
    exported.routes[0].limits[0].ClearField("managed_by")
    assert (list(exported.routes[0].limits), exported.routes[0].reserved_output_tokens) == ([in_flight], 2_048)
    assert not (await apply(admin, exported)).changes
    exported.organisations[0].organisation.limits[1].amount = 1
    (change,) = (await apply(admin, exported)).changes
    assert json.loads(change.fields[0].after)[1] == {
        "metric": "cost_usd", "calendar": "month", "time_zone": "Europe/Berlin", "model": "gpt-4.1", "amount": 1,
        "managed_by": "file:trunkline",
    }  # fmt: skip


async def test_utc_has_one_name(admin: Admin) -> None:
    wanted = document()
    wanted.organisations[0].organisation.limits.add(
        metric=policy_pb2.METRIC_TOKENS, calendar=policy_pb2.CALENDAR_DAY, time_zone="UTC", amount=1
    )
    await apply(admin, wanted)
    assert not (await apply(admin, wanted)).changes


def rates(**given: int) -> policy_pb2.Rates:
    return policy_pb2.Rates(**given)


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (
            {"input": 2},
            "price.output: missing next to `input`; accepted: a price, or 0 where output tokens are free",
        ),
        ({"output": 2}, "price.input: missing next to `output`; accepted: a price, or 0"),
        (
            {"images": [policy_pb2.ImagePrice(name="1024x1024/high", price=1)]},
            "price.images: none is called `default`, so other images would be free",
        ),
        (
            {"images": [policy_pb2.ImagePrice(name="default", price=1)] * 2},
            'price.images[1].name: "default" is given twice',
        ),
        (
            {"images": [policy_pb2.ImagePrice(name="a b"), policy_pb2.ImagePrice(name="default")]},
            'price.images[0].name: "a b" is not accepted; accepted: SIZE/QUALITY',
        ),
        (
            {"tiers": [policy_pb2.ContextTier(above=5, rates=rates(input=1))]},
            "price.tiers[0].rates.output: missing; accepted: a price, or 0 where output tokens are free",
        ),
        (
            {"tiers": [policy_pb2.ContextTier(above=each, rates=rates(input=1, output=1)) for each in (5, 5)]},
            "price.tiers[1].above: not more than that of the tier before",
        ),
        (
            {"tiers": [policy_pb2.ContextTier(rates=rates(input=1, output=1))]},
            "price.tiers[0].above: 0 is out of range",
        ),
        (
            {"service_tiers": [policy_pb2.ServiceTier(name="Flex", rates=rates(input=1, output=1))]},
            'price.service_tiers[0].name: "Flex" is not accepted; accepted: 1 to 32 of a-z',
        ),
        (
            {"service_tiers": [policy_pb2.ServiceTier(name="flex", rates=rates(input=1, output=1))] * 2},
            'price.service_tiers[1].name: "flex" is given twice',
        ),
        (
            {"service_tiers": [policy_pb2.ServiceTier(name="flex")]},
            "price.service_tiers[0].rates.input: missing",
        ),
        ({"search_unit": 10**15 + 1}, "price.search_unit: 1000000000000001 is out of range"),
    ],
)
async def test_a_price_that_would_make_something_free_by_oversight(
    admin: Admin, price: dict[str, Any], said: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await apply(admin, with_price(**price))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"routes[0].targets[0].{said}" in str(caught.value.details())


async def test_a_price_of_tiers_and_units_has_a_history_too(admin: Admin) -> None:
    await apply(admin, document())
    tier = policy_pb2.ContextTier(above=200_000, rates=rates(input=4, output=12))
    changes: list[dict[str, Any]] = [{"tiers": [tier]}, {"tiers": [tier], "character": 15}, {"character": 15}]
    for version, more in enumerate(changes, start=2):
        wanted = with_price(input=2, output=8, **more)
        (change,) = (await apply(admin, wanted)).changes
        assert [field.field for field in change.fields] == ["targets"]
        assert not (await apply(admin, wanted)).changes
        assert len(await history(admin)) == version
