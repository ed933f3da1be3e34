from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.limits.v1 import limits_pb2
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import FakeAdmin

LIMITS = [policy.Limit(metric=policy.METRIC_COST_USD, per_seconds=2_592_000, amount=500_250_000)]
ANSWERS: dict[type, Any] = {
    admin.ListProvidersRequest: admin.ListProvidersResponse(
        providers=[
            admin.Provider(
                name="openai",
                dialect="openai",
                base_url="https://a/v1",
                credential_count=2,
                quota=[admin.Quota(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=30)],
                credential_quotas=[
                    admin.CredentialQuota(
                        credential=2,
                        quota=[admin.Quota(metric=policy.METRIC_TOKENS, per_seconds=86_400, amount=5)],
                    )
                ],
                health_path="/models",
            )
        ]
    ),
    admin.ListRoutesRequest: admin.ListRoutesResponse(
        routes=[
            admin.Route(
                model="gpt-4.1",
                strategy=admin.STRATEGY_WEIGHTED,
                targets=[
                    admin.RouteTarget(provider="openai", model="gpt-4.1", weight=80),
                    admin.RouteTarget(nodes="llama3:70b", tier=1),
                ],
            )
        ]
    ),
    admin.ListOrganisationsRequest: admin.ListOrganisationsResponse(
        organisations=[admin.Organisation(name="acme", limits=LIMITS)]
    ),
    admin.ListKeysRequest: admin.ListKeysResponse(
        keys=[
            admin.Key(
                id="k1", organisation="acme", name="ci", models=["*"], limits=LIMITS, created_at=1_700_000_000
            )
        ]
    ),
    admin.ListQuotasRequest: admin.ListQuotasResponse(
        credentials=[
            admin.CredentialHeadroom(
                provider="openai",
                credential=2,
                digest="0f1e2d3c4b5a6978",
                source="quota",
                metric="requests",
                per_seconds=3_600,
                limit=30,
                share=20,
                used=12,
                rests_until=1_700_000_000,
                reason="its quota is used up",
                translator="edge",
            )
        ]
    ),
    admin.ListAuditEventsRequest: admin.ListAuditEventsResponse(
        events=[
            admin.AuditEvent(
                id=3,
                at_us=1_700_000_000_000_000,
                actor="admin",
                action="create",
                object_type="route",
                object_name="gpt-4.1",
                after="{}",
                revision=9,
            )
        ]
    ),
    admin.GetStatusRequest: admin.GetStatusResponse(
        revision=9,
        clients=[
            admin.ClientStatus(
                client_id="envoy-local",
                kind="envoy",
                connected=True,
                since=1_700_000_000,
                types=[
                    admin.TypeStatus(
                        type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster",
                        accepted_revision=8,
                        acks=4,
                        nacks=1,
                        rejection=admin.Rejection(client_id="envoy-local", reason="no"),
                    )
                ],
            ),
            admin.ClientStatus(client_id="translator-local", kind="translator", problem="did not read a response"),
        ],
        refused_peers=[
            admin.RefusedPeer(peer="ipv4:10.0.0.9", reason="no valid token", count=3, at=1_700_000_000)
        ],
        rests=[
            admin.RestAlert(
                kind=admin.REST_ALERT_KIND_CREDENTIAL_REFUSED,
                subject="openai#2",
                reason="the provider refuses the credential (401)",
                since=1_700_000_000,
                translator="edge",
            )
        ],
        recent_rejections=[
            admin.Rejection(
                client_id="envoy-local",
                type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster",
                resource_names=["c"],
                reason="no such thing",
                at=1_700_000_000,
            )
        ],
        alerts=[
            admin.LimitAlert(
                holder="key:acme/ci",
                alert=limits_pb2.Alert(
                    holder=limits_pb2.HOLDER_KEY,
                    limit=policy.Limit(
                        metric=policy.METRIC_COST_USD,
                        calendar=policy.CALENDAR_DAY,
                        amount=2_000_000,
                        each=policy.EACH_USER,
                    ),
                    value="a%20b",
                    share_permille=800,
                    taken=1_610_000,
                    reached_at=1_700_000_000,
                    until=1_700_086_400,
                ),
                delivery=admin.ALERT_DELIVERY_WAITING,
                error="the webhook answered 500",
            )
        ],
    ),
}


@pytest.fixture(autouse=True)
def _answers(control: FakeAdmin) -> None:
    control.answers = dict(ANSWERS)


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        (
            ("providers", "list"),
            {
                "name": "openai",
                "credentials": 2,
                "stream_usage": True,
                "quota": ["requests/1m=30", "2:tokens/1d=5"],
                "health": "/models",
            },
        ),
        (
            ("providers", "quota"),
            {"credential": 2, "quota": "requests/1h", "remaining": 0, "share": 20, "used": 12},
        ),
        (("routes", "list"), {"model": "gpt-4.1", "targets": ["openai/gpt-4.1*80", "nodes/llama3:70b (tier 1)"]}),
        (("orgs", "list"), {"name": "acme", "limits": ["cost_usd/30d=500.25"]}),
        (("keys", "list"), {"id": "k1", "created": "2023-11-14T22:13:20Z", "expires": None}),
        (("audit",), None),
        (("audit", "list"), {"id": 3, "object": "route", "at": "2023-11-14T22:13:20Z", "after": "{}"}),
    ],
)
def test_every_listing_in_every_form(
    trunkline: Trunkline, verb: tuple[str, ...], expected: dict[str, Any]
) -> None:
    table = trunkline(*verb)
    assert table.exit_code == 0, table.output
    if expected is None:
        assert "gpt-4.1" in table.stdout
        return

    from_json = json.loads(trunkline(*verb, "--output", "json").stdout)
    from_csv = list(csv.DictReader(trunkline(*verb, "--output", "csv").stdout.splitlines()))

    assert len(from_json) == len(from_csv) == 1
    assert from_json[0].keys() == from_csv[0].keys()
    for name, value in expected.items():
        assert from_json[0][name] == value
        assert from_csv[0][name] == _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return {"True": "yes", "None": ""}.get(str(value), str(value))


def test_audit_alone_takes_the_options_of_its_list(control: FakeAdmin, trunkline: Trunkline) -> None:
    assert json.loads(trunkline("audit", "--type", "route", "-o", "json").stdout)[0]["id"] == 3
    assert control.last(admin.ListAuditEventsRequest).object_type == "route"
    assert "list" in trunkline("audit", "--help").stdout


def test_status_shows_who_refused_what(trunkline: Trunkline) -> None:
    table = trunkline("status").stdout
    assert "control plane: revision 9" in table
    assert "REFUSED by envoy-local: Cluster c: no such thing" in table
    found = json.loads(trunkline("status", "--output", "json").stdout)
    assert [(each["client"], each["state"]) for each in found["clients"]] == [
        ("envoy-local", "refused"),
        ("translator-local", None),
    ]
    assert found["rejections"][0]["reason"] == "no such thing"
    assert "translator-local: did not read a response" in table
    assert "refused ipv4:10.0.0.9, 3 times: no valid token" in table
    assert found["clients"][1]["problem"] == "did not read a response"
    assert found["refused_peers"][0]["peer"] == "ipv4:10.0.0.9"
    assert found["rests"] == [
        {
            "kind": "credential_refused",
            "subject": "openai#2",
            "reason": "the provider refuses the credential (401)",
            "since": "2023-11-14T22:13:20Z",
            "until": None,
            "translator": "edge",
        }
    ]
    assert (
        "alert: key:acme/ci cost_usd/day:user for 'a b' has reached 80 %: 1.61 of 2, not sent yet: the webhook "
        "answered 500" in table
    )
    (alert,) = found["alerts"]
    assert (alert["value"], alert["share"], alert["taken"], alert["delivery"]) == ("a b", 0.8, "1.61", "waiting")


def test_routes_show_is_yaml(trunkline: Trunkline) -> None:
    shown = trunkline("routes", "show", "gpt-4.1").stdout
    assert shown.startswith("routes:\n  - model: gpt-4.1\n")
    missing = trunkline("routes", "show", "other")
    assert missing.exit_code == 1
    assert "there is no route other" in missing.output


VERBS = """
up, apply, export, status, audit list, providers list, providers add, providers update, providers remove,
providers discover, routes list, routes show, routes set, routes remove, orgs list, orgs add, orgs remove,
keys create, keys list, keys revoke, limits list, limits set, limits remove, nodes invite, nodes list,
nodes describe, nodes drain, nodes resume, nodes approve, nodes update, nodes remove, nodes contributions
"""


@pytest.mark.parametrize("verb", [each.strip() for each in VERBS.split(",")])
def test_every_verb_has_examples(trunkline: Trunkline, verb: str) -> None:
    _, found, examples = trunkline(*verb.split(), "--help").stdout.partition("Examples:")
    assert found
    assert f"trunkline {verb}" in examples
