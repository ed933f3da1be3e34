from __future__ import annotations

import csv
import json

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import FakeAdmin
from trunkline.config import document, limit_text
from trunkline.parameters import LimitFlag

BUDGET = policy.Limit(
    metric=policy.METRIC_COST_USD,
    calendar=policy.CALENDAR_MONTH,
    time_zone="Europe/Berlin",
    amount=500_000_000,
    alerts_permille=[500, 1_000],
    soft=True,
)
RATE = policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=600)
OF_MODEL = policy.Limit(
    metric=policy.METRIC_TOKENS, per_seconds=3600, amount=9, model="vendor/a=b@c", each=policy.EACH_USER
)
IN_FLIGHT = policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=20)

ACME = admin.Organisation(name="acme", limits=[BUDGET, RATE], version=7)
KEY = admin.Key(id="k1", organisation="acme", name="ci", limits=[OF_MODEL], version=5)
ROUTES = [
    admin.Route(model="gpt-4.1", targets=[admin.RouteTarget(nodes="n")], limits=[IN_FLIGHT], version=3),
    admin.Route(model="own", organisation="acme", targets=[admin.RouteTarget(nodes="n")], version=4),
]


@pytest.fixture(autouse=True)
def _stored(control: FakeAdmin) -> None:
    control.answers = {
        admin.ListOrganisationsRequest: admin.ListOrganisationsResponse(organisations=[ACME]),
        admin.ListKeysRequest: admin.ListKeysResponse(keys=[KEY]),
        admin.ListRoutesRequest: admin.ListRoutesResponse(routes=ROUTES),
        admin.ListLimitUsesRequest: admin.ListLimitUsesResponse(
            uses=[
                admin.LimitUse(holder="org:acme", limit=BUDGET, taken=250_000_000),
                admin.LimitUse(holder="key:acme/ci", limit=OF_MODEL, taken=5, values=3),
            ]
        ),
    }


def test_all_holders_in_one_table(trunkline: Trunkline) -> None:
    expected = [
        ("org:acme", "cost_usd", "month", "Europe/Berlin", None, "500", "", None, "0.5/1", True, "250", None),
        ("org:acme", "requests", "1m", None, None, "600", "", None, None, None, None, None),
        ("key:acme/ci", "tokens", "1h", None, "vendor/a=b@c", "9", "", "user", None, None, "5", 3),
        ("route:gpt-4.1", "concurrency", None, None, None, "20", "", None, None, None, None, None),
    ]
    found = json.loads(trunkline("limits", "list", "--output", "json").stdout)
    assert [tuple(row.values()) for row in found] == expected
    from_csv = list(csv.reader(trunkline("limits", "list", "--output", "csv").stdout.splitlines()))
    assert (
        ",".join(from_csv[0]) == "holder,metric,per,time_zone,model,amount,managed_by,each,alerts,soft,used,values"
    )
    words: dict[object, object] = {None: "", True: "yes", 3: "3"}
    assert from_csv[1:] == [[words.get(value, value) for value in row] for row in expected]
    shown = trunkline("limits", "list").stdout
    assert "route:gpt-4.1" in shown
    assert "250 (50%)" in shown
    assert "5 (56%), of 3 users" in shown


def test_an_organisations_limit_is_replaced_and_another_added(control: FakeAdmin, trunkline: Trunkline) -> None:
    words = ("cost_usd/month/Europe/Berlin=0.5,alerts=0.5/1,soft", "cost_usd/month/UTC=2", "requests/60s=600")
    result = trunkline("limits", "set", "org:acme", *words)
    assert result.stdout.splitlines() == [
        f"~ org:acme cost_usd/month/Europe/Berlin=500,alerts=0.5/1,soft -> {words[0]}",
        "+ org:acme cost_usd/month=2",
        "= org:acme requests/1m=600",
    ], result.output
    sent = control.last(admin.PutOrganisationRequest).organisation
    changed = policy.Limit()
    changed.CopyFrom(BUDGET)
    changed.amount = 500_000
    added = policy.Limit(metric=policy.METRIC_COST_USD, calendar=policy.CALENDAR_MONTH, amount=2_000_000)
    assert (list(sent.limits), sent.version) == ([changed, RATE, added], 7)


def test_a_keys_limit_changes_nothing_else_of_it(control: FakeAdmin, trunkline: Trunkline) -> None:
    assert trunkline("limits", "set", "key:acme/ci", "concurrency=20").exit_code == 0
    sent = control.last(admin.UpdateKeyRequest)
    assert sent == admin.UpdateKeyRequest(id="k1", version=5, limits=[OF_MODEL, IN_FLIGHT])


def test_a_routes_limit_changes_nothing_else_of_it(control: FakeAdmin, trunkline: Trunkline) -> None:
    assert trunkline("limits", "set", "route:acme/own", "requests/60s=600").exit_code == 0
    sent = control.last(admin.PutRouteRequest).route
    assert list(sent.limits) == [RATE]
    del sent.limits[:]
    assert sent == ROUTES[1]


def test_limits_are_removed_by_name_or_all(control: FakeAdmin, trunkline: Trunkline) -> None:
    result = trunkline("limits", "remove", "org:acme", "requests/60s")
    assert result.stdout == "- org:acme requests/1m=600\n", result.output
    assert list(control.last(admin.PutOrganisationRequest).organisation.limits) == [BUDGET]
    assert trunkline("limits", "remove", "key:acme/ci", "tokens/1h:user@vendor/a=b@c").exit_code == 0
    assert control.last(admin.UpdateKeyRequest) == admin.UpdateKeyRequest(id="k1", version=5, clear_limits=True)
    assert trunkline("limits", "remove", "route:gpt-4.1", "--all").exit_code == 0
    assert not control.last(admin.PutRouteRequest).route.limits


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "acme", "concurrency=1"), "expected org:acme, key:acme/ci or route:gpt-4.1"),
        (("set", "key:ci", "concurrency=1"), "expected org:acme, key:acme/ci or route:gpt-4.1"),
        (("set", "org:acme"), "Missing argument 'LIMIT...'"),
        (("set", "org:acme", "concurrency"), "expected METRIC/WINDOW=AMOUNT"),
        (("set", "org:acme", "requests/60s=1.5"), "requests are counted in whole numbers"),
        (
            ("set", "org:acme", "requests/60s/UTC=1"),
            "`time_zone` is accepted only with the windows day, week and month",
        ),
        (("set", "org:acme", "requests/fortnight=1"), "per: expected a duration"),
        (("set", "org:nobody", "concurrency=1"), "there is no org:nobody: see `trunkline orgs list`"),
        (("set", "key:acme/other", "concurrency=1"), "there is no key:acme/other: see `trunkline keys list`"),
        (("set", "route:own", "concurrency=1"), "there is no route:own: see `trunkline routes list`"),
        (("remove", "org:acme"), "name the limits to remove, such as requests/60s, or give --all"),
        (
            ("remove", "org:acme", "concurrency"),
            "org:acme has no limit concurrency; it has: cost_usd/month/Europe/Berlin, requests/1m",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(
    control: FakeAdmin, trunkline: Trunkline, arguments: tuple[str, ...], said: str
) -> None:
    result = trunkline("limits", *arguments)
    assert result.exit_code in {1, 2}
    assert said in result.output
    assert not any(
        isinstance(each, admin.PutOrganisationRequest | admin.PutRouteRequest | admin.ApplyRequest)
        for each in control.asked
    )


def test_two_routes_of_one_name_are_told_apart(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(
        routes=[*ROUTES, admin.Route(model="acme/own")]
    )
    result = trunkline("limits", "set", "route:acme/own", "concurrency=1")
    assert result.exit_code == 1
    assert "may be two routes: use `trunkline routes set MODEL --org ORG --limit" in result.output


@pytest.mark.parametrize("limit", [BUDGET, RATE, OF_MODEL, IN_FLIGHT])
def test_a_limit_is_written_as_the_flag_takes_it(limit: policy.Limit) -> None:
    assert document.limit(LimitFlag().convert(limit_text.text(limit), None, None)) == limit
