"""Every refusal names the field's path and the accepted values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.admin.documents import document, limit
from xds_server.admin.document import parse_document
from xds_server.admin.problems import Problems
from xds_server.errors import InvalidFieldError


def provider(**fields: object) -> Callable[[pb.Document], None]:
    return lambda d: d.providers[0].MergeFrom(pb.Provider(**fields))  # type: ignore[arg-type]


def route(**fields: object) -> Callable[[pb.Document], None]:
    return lambda d: d.routes[0].MergeFrom(pb.Route(**fields))  # type: ignore[arg-type]


def target(index: int = 0, **fields: object) -> Callable[[pb.Document], None]:
    return lambda d: d.routes[0].targets[index].MergeFrom(pb.RouteTarget(**fields))  # type: ignore[arg-type]


def key(**fields: object) -> Callable[[pb.Document], None]:
    return lambda d: d.organisations[0].keys[0].MergeFrom(pb.KeyDocument(**fields))  # type: ignore[arg-type]


def limits(*added: policy_pb2.Limit) -> Callable[[pb.Document], None]:
    return lambda d: d.organisations[0].organisation.limits.extend(added)


TOKENS_A_MONTH_FIELDS: Any = {"metric": policy_pb2.METRIC_TOKENS, "calendar": policy_pb2.CALENDAR_MONTH}
TOKENS_A_MONTH = policy_pb2.Limit(**TOKENS_A_MONTH_FIELDS)


def no_weights(wanted: pb.Document) -> None:
    wanted.routes[0].targets[0].weight = wanted.routes[0].targets[1].weight = 0


def first_tier_is_not_zero(wanted: pb.Document) -> None:
    no_weights(wanted)
    for each in wanted.routes[0].targets:
        each.tier += 3


CASES: list[tuple[Callable[[pb.Document], object], str]] = [
    (provider(name="Open AI"), 'providers[0].name: "Open AI" is not a name; accepted: 1 to 63 of a-z, 0-9'),
    (lambda d: d.providers[0].ClearField("name"), 'providers[0].name: "" is not a name'),
    (provider(name="a" * 64), "providers[0].name:"),
    # No path of REST could name them.
    (provider(name="."), 'providers[0].name: "." is not a name; accepted: '),
    (provider(name=".."), 'providers[0].name: ".." is not a name'),
    (key(key=pb.Key(name="..")), 'organisations[0].keys[0].name: ".." is not a name'),
    (provider(name="nodes"), 'providers[0].name: "nodes" is reserved for own machines; accepted: another name'),
    (lambda d: d.providers.add(name="azure", base_url="http://h"), "providers[2].name: the same as providers[1]"),
    (
        provider(dialect="anthropic"),
        'providers[0].dialect: "anthropic" is not spoken by this version; accepted: openai',
    ),
    (
        provider(base_url="ftp://host"),
        "providers[0].base_url: the scheme must be http or https; accepted: http(s)://",
    ),
    (provider(base_url="https://"), "providers[0].base_url: no valid host"),
    (provider(base_url="https://host:99999"), "providers[0].base_url: not a URL"),
    (provider(base_url="https://host:0"), "providers[0].base_url: no valid host and port"),
    (provider(base_url="https://u:hidden@host"), "providers[0].base_url: a user or password does not belong here"),
    (provider(base_url="https://host/v1?key=hidden"), "providers[0].base_url: a query or fragment"),
    (provider(base_url="https://host/v1?"), "providers[0].base_url: a query or fragment"),
    (
        provider(base_url="https://host/v1/chat/completions"),
        "providers[0].base_url: ends with /chat/completions, which the gateway appends; give only the part before",
    ),
    (provider(base_url="https://host/v1/responses/"), "providers[0].base_url: ends with /responses, which"),
    (provider(base_url="https://host/api/v1/v1"), "providers[0].base_url: has /v1 twice; give it once"),
    (provider(base_url="https://host/v1beta/v1beta/openai"), "providers[0].base_url: has /v1beta twice"),
    (provider(base_url="https://host/#a"), "providers[0].base_url: a query or fragment"),
    (provider(base_url="https://host/a/../b"), "providers[0].base_url: the path has"),
    (provider(base_url="https://ho\nst/"), "providers[0].base_url: only printable ASCII"),
    (
        provider(credentials=["hidden\r\nx: y"]),
        "providers[0].credentials[1]: this value is not accepted (not shown)",
    ),
    (provider(credentials=[""]), "providers[0].credentials[1]: this value is not accepted"),
    (provider(clear_credentials=True), "providers[0].clear_credentials: accepted only without `credentials`"),
    (provider(ca_file="relative.pem"), "providers[0].ca_file: accepted: the absolute path"),
    (
        lambda d: d.providers[1].MergeFrom(pb.Provider(ca_file="/ca.pem")),
        "providers[1].ca_file: accepted only with",
    ),
    (route(model=" ab"), 'routes[0].model: " ab" is not accepted; accepted: 1 to 200 printable'),
    (route(model="m" * 201), "routes[0].model:"),
    (route(organisation="nobody"), 'routes[0].organisation: no organisation "nobody"; known: acme'),
    (lambda d: d.routes.append(d.routes[0]), "routes[2].model: the same as routes[0]"),
    (
        route(strategy=pb.STRATEGY_OWN_ONLY),
        "routes[0].targets[0].provider: a provider is not an own node, and this route's strategy is own-only; acc",
    ),
    (route(balance=100), "routes[0].balance: 100 is out of range"),
    (lambda d: d.routes[0].ClearField("targets"), "routes[0].targets: a route needs at least one target"),
    (target(1, provider="foo"), 'routes[0].targets[1].provider: no provider "foo"; known: azure, openai'),
    (
        target(2, provider="openai"),
        "routes[0].targets[2]: `nodes` and `provider` together; accepted: exactly one of",
    ),
    (target(2, model="m"), "routes[0].targets[2]: `nodes` and `model` together"),
    (lambda d: d.routes[0].targets.add(), "routes[0].targets[3]: neither a provider nor nodes; accepted: exactly"),
    (lambda d: d.routes[0].targets.add(model="m"), "routes[0].targets[3].provider: missing next to `model`"),
    (lambda d: d.routes[0].targets.add(provider="azure"), 'routes[0].targets[3].model: "" is not accepted'),
    (
        lambda d: d.routes[0].targets.append(d.routes[0].targets[0]),
        "routes[0].targets[3]: the same target as targets[0]",
    ),
    (no_weights, "routes[0].targets: no target of the first tier (0) has a weight above 0"),
    (first_tier_is_not_zero, "routes[0].targets: no target of the first tier (3) has a weight above 0"),
    (target(weight=1_000_001), "routes[0].targets[0].weight: 1000001 is out of range; accepted: 0 to 1,000,000"),
    (target(tier=64), "routes[0].targets[0].tier: 64 is out of range; accepted: 0 to 63"),
    (target(price=policy_pb2.Price(input=2**63)), "routes[0].targets[0].price.input: 9223372036854775808 is out"),
    (
        lambda d: d.routes[1].targets.add(provider="openai", model="m"),
        "routes[1].targets[1].provider: a provider is not an own node, and this route's privacy is own-nodes",
    ),
    (route(timeouts=pb.Timeouts(connect_ms=60_001)), "routes[0].timeouts.connect_ms: 60001 is out of range"),
    (route(timeouts=pb.Timeouts(idle_ms=2**32 - 1)), "routes[0].timeouts.idle_ms:"),
    (route(cache_ttl_seconds=2**31), "routes[0].cache_ttl_seconds:"),
    (
        lambda d: d.organisations[0].organisation.limits.append(limit()),
        "organisations[0].limits[1]: the same metric, window and model as limits[0], and the same `each`",
    ),
    (limits(*(policy_pb2.Limit(model=f"m{n}") for n in range(32))), "organisations[0].limits: 33 items; accepted"),
    (
        limits(TOKENS_A_MONTH, policy_pb2.Limit(time_zone="UTC", **TOKENS_A_MONTH_FIELDS)),
        "organisations[0].limits[2]: the same metric, window and model as limits[1]",
    ),
    (
        limits(policy_pb2.Limit(calendar=9)),  # type: ignore[arg-type]  # no member of the enum has it
        "organisations[0].limits[1].calendar: not a known value; accepted: day",
    ),
    (
        limits(policy_pb2.Limit(per_seconds=60, **TOKENS_A_MONTH_FIELDS)),
        "organisations[0].limits[1].per_seconds: a second window in addition to `calendar`",
    ),
    (
        limits(policy_pb2.Limit(time_zone="Europe/Berlin", per_seconds=60, metric=policy_pb2.METRIC_TOKENS)),
        "organisations[0].limits[1].time_zone: accepted only with a `calendar`",
    ),
    *(
        (
            limits(policy_pb2.Limit(time_zone=zone, **TOKENS_A_MONTH_FIELDS)),
            f'organisations[0].limits[1].time_zone: "{zone[:80]}',
        )
        for zone in (
            *("Europe/Berlim", "Europe", "/etc/passwd", "../UTC", "z" * 5000),
            # These depend on the machine, of which there are several.
            *("localtime", "posixrules", "Factory", "posix/Europe/Berlin", "right/Europe/Berlin"),
        )
    ),
    (
        limits(policy_pb2.Limit(metric=policy_pb2.METRIC_CONCURRENCY, calendar=policy_pb2.CALENDAR_DAY)),
        "organisations[0].limits[1].calendar: concurrency has no window; accepted: none",
    ),
    (limits(policy_pb2.Limit(model="gpt-*")), 'organisations[0].limits[1].model: "gpt-*" is a pattern; accepted'),
    (limits(policy_pb2.Limit(model=" ab")), 'organisations[0].limits[1].model: " ab" is not accepted'),
    (limits(policy_pb2.Limit(amount=10**15 + 1)), "organisations[0].limits[1].amount: 1000000000000001 is out"),
    (key(key=pb.Key(limits=[limit(5)])), "organisations[0].keys[0].limits[1]: the same metric, window and model"),
    (route(limits=[limit(), limit()]), "routes[0].limits[1]: the same metric, window and model as limits[0]"),
    (
        route(limits=[policy_pb2.Limit(model="gpt-4.1")]),
        "routes[0].limits[0].model: a route serves one model; accepted only in limits of organisations and keys",
    ),
    (route(reserved_output_tokens=10_000_001), "routes[0].reserved_output_tokens: 10000001 is out of range"),
    (target(price=policy_pb2.Price(cached_input=2**63)), "routes[0].targets[0].price.cached_input:"),
    (target(price=policy_pb2.Price(request=2**63)), "routes[0].targets[0].price.request:"),
    (target(price=policy_pb2.Price(valid_from=-1)), "routes[0].targets[0].price.valid_from: -1 is out of range"),
    (
        lambda d: d.organisations[0].organisation.limits.add(per_seconds=1),
        "organisations[0].limits[1].metric: missing",
    ),
    (
        lambda d: d.organisations[0].organisation.limits.add(metric=policy_pb2.METRIC_TOKENS),
        "organisations[0].limits[1].per_seconds: 0 is out of range; accepted: 1 to",
    ),
    (
        lambda d: d.organisations[0].organisation.limits.add(metric=policy_pb2.METRIC_CONCURRENCY, per_seconds=1),
        "organisations[0].limits[1].per_seconds: concurrency has no window; accepted: 0",
    ),
    (
        key(value="hidden-too"),
        "organisations[0].keys[0].value: this value is not accepted (not shown); accepted: 16",
    ),
    (key(key=pb.Key(name="UPPER")), 'organisations[0].keys[0].name: "UPPER" is not a name'),
    (key(key=pb.Key(organisation="other")), "organisations[0].keys[0].organisation: the key belongs to"),
    (key(key=pb.Key(models=[" ab"])), "organisations[0].keys[0].models[1]:"),
    (key(key=pb.Key(expires_at=-1)), "organisations[0].keys[0].expires_at: -1 is out of range"),
    (
        lambda d: d.organisations[0].keys.add(key=pb.Key(name="two"), value=d.organisations[0].keys[0].value),
        "organisations[0].keys[1].value: the same value as organisations[0].keys[0].value (not shown)",
    ),
    (lambda d: d.organisations.append(d.organisations[0]), "organisations[1].name: the same as organisations[0]"),
]


@pytest.mark.parametrize(("spoil", "expected"), CASES, ids=[expected[:60] for _, expected in CASES])
def test_a_refusal_names_the_field(spoil: Callable[[pb.Document], object], expected: str) -> None:
    wanted = document()
    spoil(wanted)
    problems = Problems()
    parse_document(wanted, problems, providers=[], organisations=[])
    assert any(found.startswith(expected) for found in problems.found), problems.found
    assert not any("hidden" in found for found in problems.found)


def test_a_good_document_has_no_problems() -> None:
    problems = Problems()
    parse_document(document(), problems, providers=[], organisations=[])
    assert problems.found == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("HTTPS://Host.Example.com/v1/", "https://Host.Example.com/v1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
    ],
)
def test_a_base_url_has_one_form(given: str, kept: str) -> None:
    wanted = document()
    wanted.providers[0].base_url = given
    problems = Problems()
    parsed = parse_document(wanted, problems, providers=[], organisations=[])
    assert (parsed.providers[0].provider.base_url, problems.found) == (kept, [])


def test_only_so_many_problems_are_reported() -> None:
    problems = Problems()
    for index in range(30):
        problems.at("routes", index).note("wrong")
    with pytest.raises(InvalidFieldError) as caught:
        problems.raise_if_any()
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "and 10 more"


async def test_all_problems_come_at_once_and_over_the_wire(admin: Admin) -> None:
    wanted = document()
    wanted.providers[0].dialect = "gemini"
    wanted.routes[0].targets[1].provider = "foo"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.stub.Apply(pb.ApplyRequest(document=wanted))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).splitlines() == [
        'providers[0].dialect: "gemini" is not spoken by this version; accepted: openai',
        'routes[0].targets[1].provider: no provider "foo"; known: azure, openai',
    ]


async def test_a_long_name_cannot_blow_up_the_status(admin: Admin) -> None:
    wanted = document()
    for _ in range(30):
        wanted.routes.add(model="é" * 5000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.stub.Apply(pb.ApplyRequest(document=wanted))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(str(caught.value.details())) < 8000


async def test_a_message_past_the_bound_is_refused(admin: Admin) -> None:
    wanted = pb.Document(routes=[pb.Route(model="m" * (17 * 1024 * 1024))])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.stub.Apply(pb.ApplyRequest(document=wanted))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
