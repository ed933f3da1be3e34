"""Single requests over real gRPC: found in the ledger, and explained."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.ledger.v1 import ledger_pb2
from trunkline_proto.policy.v1 import policy_pb2

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.admin import requests
from xds_server.ledger import search as search_steps
from xds_server.ledger.ledger import Ledger
from xds_server.store import Store


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[Ledger]:
    opened = Ledger(store.url, store.write_lock)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives a search as long as it takes: on a busy machine, 0.4 s may be over before it has found everything."""
    monkeypatch.setattr(requests, "_PAGE_SECONDS", 60.0)


async def search(admin: Admin, **wanted: Any) -> pb.SearchRequestsResponse:
    return await admin.stub.SearchRequests(pb.SearchRequestsRequest(**wanted))  # type: ignore[no-any-return]


def ids(answer: pb.SearchRequestsResponse) -> list[str]:
    return [each.record.id for each in answer.requests]


async def test_an_empty_ledger(admin: Admin) -> None:
    assert await search(admin) == pb.SearchRequestsResponse()
    assert await admin.stub.ListRequests(pb.ListRequestsRequest()) == pb.ListRequestsResponse()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["six-6", "five-5", "four-4", "three-3", "two-2", "one-1"]),
        ({"id": "three"}, ["three-3"]),
        ({"id": "four-4"}, ["four-4"]),
        ({"id": "none"}, []),
        ({"status": "429"}, ["two-2"]),
        ({"status": "5xx"}, ["three-3"]),
        ({"status": "failed"}, ["three-3", "two-2"]),
        ({"status": "expired"}, ["six-6"]),
        ({"status": "cancelled"}, ["one-1"]),
        ({"filter": {"tag": "run-7"}}, ["four-4"]),
        ({"filter": {"end_user": "u1"}}, ["four-4", "one-1"]),
        ({"filter": {"model": "llama3"}}, ["five-5"]),
        ({"filter": {"key_id": "key2"}}, ["five-5"]),
        ({"filter": {"target_id": "azure/gpt"}}, ["two-2"]),
        ({"since": MONDAY_10 + 30 * HOUR}, ["six-6", "five-5"]),
        ({"until": MONDAY_10 + 2 * HOUR}, ["two-2", "one-1"]),
        ({"since": MONDAY_10 + HOUR, "until": MONDAY_10 + 2 * HOUR, "id": "two-"}, ["two-2"]),
    ],
)
async def test_a_search(admin: Admin, ledger: Ledger, wanted: dict[str, Any], found: list[str]) -> None:
    """The records span more hours than one step of a search by id covers."""
    await ledger.append(
        batch(
            usage(id="one-1", end_user="u1", cancelled=True),
            usage(MONDAY_10 + HOUR, id="two-2", status=429, target_id="azure/gpt"),
            usage(MONDAY_10 + 2 * HOUR, id="three-3", status=503),
            usage(MONDAY_10 + 20 * HOUR, id="four-4", tag="run-7", end_user="u1"),
            usage(MONDAY_10 + 40 * HOUR, id="five-5", model="llama3", key_id="key2"),
            usage(MONDAY_10 + 41 * HOUR, id="six-6", expired=True),
        )
    )
    assert ids(await search(admin, **wanted)) == found


async def test_pages(admin: Admin, ledger: Ledger) -> None:
    """Many requests begin in the same microsecond, across the ends of pages and of steps."""
    made = [usage(MONDAY_10 + number // 700, id=f"request-{number:04}") for number in range(2_500)]
    for start in range(0, len(made), 500):
        await ledger.append(batch(*made[start : start + 500]))
    found: list[str] = []
    token = ""
    while True:
        page = await search(admin, page_size=333, page_token=token)
        found += ids(page)
        token = page.next_page_token
        if not token:
            break
    assert found == [each.id for each in reversed(made)]


async def test_a_search_that_is_out_of_time_says_how_far_it_got(
    admin: Admin, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_PAGE_SECONDS", 0.0)
    monkeypatch.setattr(search_steps, "_STEP", 2)
    await ledger.append(batch(*(usage(MONDAY_10 + number, id=f"{number}-first") for number in range(3))))
    first = await search(admin, id="none")
    assert (ids(first), first.searched_since_us) == ([], 0)  # compares ids alone: one step
    first = await search(admin, status="200", filter={"end_user": "u"})
    assert (ids(first), first.searched_since_us) == ([], (MONDAY_10 + 1) * 1_000_000)
    last = await search(admin, status="200", filter={"end_user": "u"}, page_token=first.next_page_token)
    assert last == pb.SearchRequestsResponse()


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"status": "blue"}, 'status: "blue" is not known; accepted: failed, cancelled, expired'),
        ({"id": "abc"}, 'id: "abc" is not an id; accepted: 4 to 128'),
        ({"page_token": "x"}, "page_token: accepted: `next_page_token`"),
        ({"page_size": 1_001}, "page_size"),
        ({"filter": {"organisation": "nobody"}}, "no organisation"),
    ],
)
async def test_what_no_search_is_made_for(admin: Admin, wanted: dict[str, Any], told: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=told):
        await search(admin, **wanted)


async def test_a_request_explained(admin: Admin, ledger: Ledger) -> None:
    failed = [
        ledger_pb2.FailedAttempt(target_id="azure/gpt", status=429, credential_index=1, duration_us=100_000),
        ledger_pb2.FailedAttempt(target_id="nodes/llama3", status=0, duration_us=2_000_000),
    ]
    await ledger.append(batch(usage(id="abcdef", attempts=3, failed_attempts=failed), usage(id="abcxyz")))
    found = await admin.stub.GetRequest(pb.GetRequestRequest(id="abcd"))
    assert found.finished.record.id == "abcdef"
    attempts = [
        (each.target_id, each.credential, each.status, each.outcome, each.duration_us) for each in found.attempts
    ]
    assert attempts == [
        ("azure/gpt", 2, 429, "limited: it takes no more requests for a while", 100_000),
        ("nodes/llama3", 0, 0, "no answer: not reached, reset, or silent for too long", 2_000_000),
        ("openai/gpt-4.1", 1, 200, "answered", 300_000),
    ]


async def explained(admin: Admin, ledger: Ledger, **record: Any) -> list[tuple[int, str, str]]:
    """Returns the status, code and sentence of each attempt at a request."""
    await ledger.append(batch(usage(id="abcdef", **record)))
    found = await admin.stub.GetRequest(pb.GetRequestRequest(id="abcdef"))
    return [(each.status, each.outcome_code.code, each.outcome) for each in found.attempts]


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, "attempt.credential", "refused the gateway's credential (401)"),
        (498, "attempt.credential", "refused the gateway's credential (498)"),
        (402, "attempt.unpaid", "unpaid (402)"),
        (403, "attempt.forbidden", "forbids this to the gateway's account (403)"),
        (404, "attempt.unknown_model", "does not know the model (404)"),
        (413, "attempt.too_long", "refused it as too long (413)"),
        (429, "attempt.limited", "limited"),
        (503, "attempt.broken", "reported an error of its own (503)"),
        (408, "attempt.broken", "reported an error of its own (408)"),
        (200, "attempt.improper", "an invalid answer"),
        (0, "attempt.no_answer", "no answer"),
    ],
)
async def test_why_an_attempt_moved_on(
    admin: Admin, ledger: Ledger, status: int, code: str, sentence: str
) -> None:
    """Says the same of the last attempt, whose client got another status than the target's."""
    failed = ledger_pb2.FailedAttempt(target_id="azure/gpt", status=status)
    first, last = await explained(
        admin, ledger, attempts=2, failed_attempts=[failed], status=502, target_status=status
    )
    assert first[:2] == (status, code)
    assert sentence in first[2]
    assert last == (first if status else (502, "attempt.broken", "reported an error of its own (502)"))


@pytest.mark.parametrize(
    ("status", "flags", "code"),
    [
        (404, "", "attempt.rejected"),
        (400, "", "attempt.rejected"),
        (401, "", "attempt.credential"),
        (429, "", "attempt.limited"),
        (500, "", "attempt.broken"),
        (504, "UT", "attempt.timeout"),
        (0, "", "attempt.failed"),
        (200, "", "attempt.answered"),
    ],
)
async def test_how_the_last_attempt_ended(
    admin: Admin, ledger: Ledger, status: int, flags: str, code: str
) -> None:
    ((shown, found, _),) = await explained(admin, ledger, status=status, response_flags=flags)
    assert (shown, found) == (status, code)


async def test_what_the_other_targets_would_have_cost(admin: Admin, ledger: Ledger) -> None:
    """The costs use the prices in force at that time. The record has the billed cost; a target without a price
    costs nothing.
    """

    def price(input_: int, output: int) -> policy_pb2.Price:
        return policy_pb2.Price(input=input_, output=output)

    await admin.stub.PutProvider(
        pb.PutProviderRequest(
            provider=pb.Provider(name="a", base_url="https://a.example/v1", credentials=["sk-1"])
        )
    )
    targets = [
        pb.RouteTarget(provider="a", model="one", price=price(1_000_000, 2_000_000)),
        pb.RouteTarget(provider="a", model="two", price=price(3_000_000, 4_000_000)),
        pb.RouteTarget(provider="a", model="free"),
    ]
    put = await admin.stub.PutRoute(pb.PutRouteRequest(route=pb.Route(model="gpt-4.1", targets=targets)))
    now = time.time()
    await ledger.append(
        batch(
            usage(now, id="abcdef", route_id=put.route.id, target_id="a/one", cost_nano_usd=77, price_version=1),
            usage(now, id="nothing", route_id=put.route.id, prompt_tokens=0, completion_tokens=0, cost_nano_usd=0),
            usage(now, id="removed", route_id="rt_gone"),
        )
    )
    found = await admin.stub.GetRequest(pb.GetRequestRequest(id="abcdef"))
    # 100 prompt tokens, 50 completion tokens.
    assert [(each.target_id, each.cost_nano_usd, each.price_version, each.served) for each in found.costs] == [
        ("a/one", 77, 1, True),
        ("a/two", 500_000, 1, False),
        ("a/free", 0, 0, False),
    ]
    assert not (await admin.stub.GetRequest(pb.GetRequestRequest(id="nothing"))).costs
    removed = (await admin.stub.GetRequest(pb.GetRequestRequest(id="removed"))).costs
    assert [each.target_id for each in removed] == ["openai/gpt-4.1"]


@pytest.mark.parametrize(
    ("id_", "told"),
    [("abc-", "several requests begin with"), ("absent", 'no request "absent" is running'), ("a", "is not an id")],
)
async def test_a_request_that_is_not_found(admin: Admin, ledger: Ledger, id_: str, told: str) -> None:
    await ledger.append(batch(usage(id="abc-1"), usage(id="abc-2")))
    with pytest.raises(grpc.aio.AioRpcError, match=told):
        await admin.stub.GetRequest(pb.GetRequestRequest(id=id_))


async def test_nothing_is_cancelled_where_nothing_runs(admin: Admin) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match='no request "absent" is running or waiting'):
        await admin.stub.CancelRequest(pb.CancelRequestRequest(id="absent"))
