from __future__ import annotations

import time

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import FakeAdmin

PROVIDER = admin.Provider(name="openai", dialect="openai", base_url="https://a/v1", credential_count=1, version=4)
ROUTE = admin.Route(
    model="gpt-4.1",
    strategy=admin.STRATEGY_WEIGHTED,
    targets=[admin.RouteTarget(provider="openai", model="gpt-4.1")],
    version=6,
)


@pytest.fixture(autouse=True)
def _stored(control: FakeAdmin) -> None:
    control.answers[admin.ListProvidersRequest] = admin.ListProvidersResponse(providers=[PROVIDER])
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(routes=[ROUTE])


def test_a_provider_is_added(control: FakeAdmin, trunkline: Trunkline) -> None:
    result = trunkline(
        *(
            "providers",
            "add",
            "new",
            "--base-url",
            "http://n/v1",
            "--credential",
            "env:NEW_KEY",
            "--no-stream-usage",
        ),
        NEW_KEY="sk-new",
    )
    assert result.stdout == "+ provider new\n"
    assert control.last(admin.PutProviderRequest).provider == admin.Provider(
        name="new", dialect="openai", base_url="http://n/v1", credentials=["sk-new"], stream_usage=False
    )


def test_a_credential_on_the_command_line_is_refused(control: FakeAdmin, trunkline: Trunkline) -> None:
    result = trunkline("providers", "add", "new", "--base-url", "http://n/v1", "--credential", "sk-secret")
    assert result.exit_code == 1
    assert "env:NAME or file:PATH" in result.output
    assert "sk-secret" not in result.output
    assert control.asked == []


def test_an_update_keeps_what_is_not_given(control: FakeAdmin, trunkline: Trunkline) -> None:
    assert trunkline("providers", "update", "openai", "--base-url", "https://b/v1").exit_code == 0
    sent = control.last(admin.PutProviderRequest).provider
    assert (sent.base_url, sent.dialect, sent.version, list(sent.credentials)) == ("https://b/v1", "openai", 4, [])


def test_a_change_meanwhile_says_to_repeat(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.refusal = (grpc.StatusCode.ABORTED, "provider openai is at version 5")
    result = trunkline("providers", "remove", "openai")
    assert result.output == "Error: provider openai is at version 5: repeat the command\n"


def test_a_route_is_created(control: FakeAdmin, trunkline: Trunkline) -> None:
    result = trunkline(
        *("routes", "set", "new", "--target", "openai/vendor/m,weight=80,price=2.00:0.15"),
        *("--target", "nodes/llama3:70b,tier=1", "--strategy", "priority", "--first-byte", "500ms"),
    )
    assert result.stdout == "+ route new\n"
    assert control.last(admin.PutRouteRequest).route == admin.Route(
        model="new",
        strategy=admin.STRATEGY_PRIORITY,
        targets=[
            admin.RouteTarget(
                provider="openai", model="vendor/m", weight=80, price=policy.Price(input=2_000_000, output=150_000)
            ),
            admin.RouteTarget(nodes="llama3:70b", tier=1),
        ],
        timeouts=admin.Timeouts(first_byte_ms=500),
    )


def test_a_route_is_changed(control: FakeAdmin, trunkline: Trunkline) -> None:
    changed = trunkline("routes", "set", "gpt-4.1", "--cache-ttl", "1h")
    assert changed.stdout == "~ route gpt-4.1\n    cache.ttl: (default) -> 1h\n"
    sent = control.last(admin.PutRouteRequest).route
    assert (sent.version, sent.cache_ttl_seconds, sent.targets) == (6, 3600, ROUTE.targets)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("openai", "expected PROVIDER/MODEL"),
        ("a/b,wieght=3", "expected weight=N"),
        ("a/b,price=2", "price=IN:OUT"),
        ("a/b,from=2026-12-01", "add price=IN:OUT"),
        ("a/b,price=1:1,from=soon", "price.valid_from: expected a date or time"),
        ("a/b,price=0.00000001:1", "price.input: expected an amount in USD"),
    ],
)
def test_a_wrong_target_is_explained(trunkline: Trunkline, target: str, expected: str) -> None:
    result = trunkline("routes", "set", "new", "--target", target)
    assert result.exit_code == 2
    assert expected in result.output


def test_a_target_given_without_a_price_keeps_it(control: FakeAdmin, trunkline: Trunkline) -> None:
    price = policy.Price(input=2_000_000, output=8_000_000, valid_from=1_700_000_000, version=2)
    stored = admin.Route(model="m", targets=[admin.RouteTarget(provider="openai", model="x", price=price)])
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(routes=[stored])

    def prices(*targets: str) -> list[policy.Price | None]:
        arguments = [part for target in targets for part in ("--target", target)]
        assert trunkline("routes", "set", "m", *arguments).exit_code == 0
        sent = control.last(admin.PutRouteRequest).route.targets
        return [each.price if each.HasField("price") else None for each in sent]

    assert prices("nodes/x", "openai/x,weight=5") == [None, price]
    assert prices("openai/x,price=0:0") == [policy.Price(input=0, output=0)]
    assert prices("openai/x,price=3:9,cached=0.5,request=0.001,from=2026-12-01") == [
        policy.Price(
            input=3_000_000, output=9_000_000, cached_input=500_000, request=1_000, valid_from=1_796_083_200
        )
    ]


def test_a_target_is_paused_and_resumed_by_name(control: FakeAdmin, trunkline: Trunkline) -> None:
    targets = [admin.RouteTarget(provider="openai", model="x"), admin.RouteTarget(nodes="x", tier=1)]
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(
        routes=[admin.Route(model="m", targets=targets)]
    )

    def paused(*arguments: str) -> list[bool]:
        result = trunkline("routes", *arguments)
        assert result.exit_code == 0, result.output
        return [each.paused for each in control.last(admin.PutRouteRequest).route.targets]

    assert paused("pause", "m", "openai/x") == [True, False]
    targets[0].paused = True
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(
        routes=[admin.Route(model="m", targets=targets)]
    )
    assert paused("pause", "m", "nodes/x") == [True, True]
    assert paused("set", "m", "--target", "openai/x,weight=5", "--target", "nodes/x,paused") == [True, True]
    assert paused("resume", "m", "openai/x", "nodes/x") == [False, False]
    assert "openai/x (paused)" in trunkline("routes", "list", "--wide").output
    wrong = trunkline("routes", "pause", "m", "openai/y")
    assert wrong.exit_code != 0
    assert "the route has no target openai/y: it has openai/x, nodes/x" in wrong.output
    assert "there is no route n" in trunkline("routes", "pause", "n", "openai/y").output


def test_a_target_given_without_a_context_keeps_it(control: FakeAdmin, trunkline: Trunkline) -> None:
    stored = admin.Route(model="m", targets=[admin.RouteTarget(provider="openai", model="x", context=8192)])
    control.answers[admin.ListRoutesRequest] = admin.ListRoutesResponse(routes=[stored])

    def contexts(*targets: str) -> list[int]:
        arguments = [part for target in targets for part in ("--target", target)]
        assert trunkline("routes", "set", "m", *arguments).exit_code == 0
        return [each.context for each in control.last(admin.PutRouteRequest).route.targets]

    assert contexts("nodes/x", "openai/x,weight=5") == [0, 8192]
    assert contexts("openai/x,context=0") == [0]
    assert contexts("openai/x,context=4096") == [4096]


def test_a_route_with_limits(control: FakeAdmin, trunkline: Trunkline) -> None:
    result = trunkline(
        *("routes", "set", "gpt-4.1", "--limit", "concurrency=5", "--limit", "cost_usd/week=0.25"),
        *("--reserved-output-tokens", "2048"),
    )
    assert result.exit_code == 0, result.output
    sent = control.last(admin.PutRouteRequest).route
    assert list(sent.limits) == [
        policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=5),
        policy.Limit(metric=policy.METRIC_COST_USD, calendar=policy.CALENDAR_WEEK, amount=250_000),
    ]
    assert (sent.reserved_output_tokens, sent.targets) == (2_048, ROUTE.targets)


def test_a_new_route_needs_a_target(trunkline: Trunkline) -> None:
    result = trunkline("routes", "set", "new", "--strategy", "priority")
    assert result.exit_code == 1
    assert "give it a --target PROVIDER/MODEL" in result.output


def test_an_organisation_with_limits(control: FakeAdmin, trunkline: Trunkline) -> None:
    result = trunkline("orgs", "add", "acme", "--limit", "cost_usd/30d=0.5", "--limit", "concurrency=20")
    assert result.stdout == "+ organisation acme\n"
    assert list(control.last(admin.PutOrganisationRequest).organisation.limits) == [
        policy.Limit(metric=policy.METRIC_COST_USD, per_seconds=2_592_000, amount=500_000),
        policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=20),
    ]
    assert "needs a window" in trunkline("orgs", "add", "acme", "--limit", "tokens=5").output


def test_a_new_key_stands_alone_on_stdout(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.answers[admin.CreateKeyRequest] = admin.CreateKeyResponse(
        key=admin.Key(id="k9"), value="sk-tl-k9-secret"
    )
    before = time.time()
    result = trunkline("keys", "create", "--org", "acme", "--name", "ci", "--model", "gpt-*", "--expires", "30d")
    assert result.stdout == "sk-tl-k9-secret\n"
    sent = control.last(admin.CreateKeyRequest).key
    assert (sent.organisation, sent.name, list(sent.models)) == ("acme", "ci", ["gpt-*"])
    assert before + 2_592_000 - 1 <= sent.expires_at <= time.time() + 2_592_000


def test_a_key_is_revoked_by_its_public_id(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.answers[admin.RevokeKeyRequest] = admin.RevokeKeyResponse(
        key=admin.Key(id="k9", organisation="acme", name="ci")
    )
    assert trunkline("keys", "revoke", "k9").stdout == "- key k9 (acme/ci)\n"
    assert control.last(admin.RevokeKeyRequest).id == "k9"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2027-01-01", 1_798_761_600), ("2027-01-01T12:00:00+02:00", 1_798_797_600), ("never", 0)],
)
def test_a_key_ends_at_a_date(control: FakeAdmin, trunkline: Trunkline, given: str, expected: int) -> None:
    assert trunkline("keys", "create", "--org", "acme", "--name", "ci", "--expires", given).exit_code == 0
    assert control.last(admin.CreateKeyRequest).key.expires_at == expected


@pytest.mark.parametrize("given", ["soon", "0", "2027-13-01", "-1d", ""])
def test_what_is_no_expiry(control: FakeAdmin, trunkline: Trunkline, given: str) -> None:
    result = trunkline("keys", "create", "--org", "acme", "--name", "ci", "--expires", given)
    assert (result.exit_code, "such as 90d, a date such as 2027-01-01" in result.output) != (0, False)
    assert control.asked == []


def test_a_rotated_key_stands_alone_on_stdout(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.answers[admin.RotateKeyRequest] = admin.RotateKeyResponse(
        key=admin.Key(id="k9", organisation="acme", name="ci", former_until=1_800_000_000), value="sk-tl-k9-new"
    )
    result = trunkline("keys", "rotate", "acme/ci", "--grace", "2h", "--ends", "former")
    assert result.stdout == "sk-tl-k9-new\n"
    assert "the previous one works until 2027-01-15T08:00:00Z" in result.stderr
    assert control.last(admin.RotateKeyRequest) == admin.RotateKeyRequest(
        id="acme/ci", grace_seconds=7_200, ends=admin.RotateKeyRequest.ENDS_FORMER
    )
    trunkline("keys", "rotate", "k9", "--value", "env:NEW", NEW="a-value-of-our-own")
    assert control.last(admin.RotateKeyRequest) == admin.RotateKeyRequest(id="k9", value="a-value-of-our-own")


def test_a_key_is_updated(control: FakeAdmin, trunkline: Trunkline) -> None:
    control.answers[admin.UpdateKeyRequest] = admin.UpdateKeyResponse(
        key=admin.Key(id="k9", organisation="acme", name="nightly")
    )
    result = trunkline(
        *("keys", "update", "acme/ci", "--name", "nightly", "--model", "gpt-*", "--limit", "concurrency=2"),
        *("--expires", "never", "--end-grace"),
    )
    assert result.stdout == "~ key k9 (acme/nightly)\n"
    assert control.last(admin.UpdateKeyRequest) == admin.UpdateKeyRequest(
        id="acme/ci",
        name="nightly",
        models=["gpt-*"],
        limits=[policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=2)],
        expires_at=0,
        end_grace=True,
    )
    assert "say what to change" in trunkline("keys", "update", "acme/ci").output
    both = trunkline("keys", "update", "acme/ci", "--no-limits", "--limit", "concurrency=2")
    assert "cannot be combined" in both.output


def test_a_target_that_goes_is_reported(trunkline: Trunkline) -> None:
    result = trunkline("routes", "set", "gpt-4.1", "--target", "other/x,weight=5", "--first-byte", "30s")
    assert result.stdout.splitlines() == [
        "~ route gpt-4.1",
        "    - target openai/gpt-4.1",
        "    + target other/x {weight: 5}",
        "    timeouts.first_byte: (default) -> 30s",
    ]


def test_credentials_that_go_are_reported(trunkline: Trunkline) -> None:
    result = trunkline("providers", "update", "openai", "--clear-credentials", "--base-url", "https://b/v1")
    assert result.stdout.splitlines() == [
        "~ provider openai",
        "    credentials: 1 -> 0 (not shown)",
        "    base_url: https://a/v1 -> https://b/v1",
    ]
