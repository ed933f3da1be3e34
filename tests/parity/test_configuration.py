"""Every field of the configuration: trunkline.yaml → Document → store → audit → Envoy and translator → export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from sqlmodel import SQLModel
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.parity import decoded, fields
from tests.parity.configuration import CONTAINERS, EXCEPTIONS, KEY_VALUE, PLACES, VALUES, Case, base, cases
from tests.postgres import postgres_url
from tests.xds_server.store.databases import new_sqlite
from trunkline.config import document, export, loader, mapping, model
from trunkline.config.secrets import Secrets
from xds_server.admin import render
from xds_server.admin.apply import Mode, apply
from xds_server.model import DesiredState
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings
from xds_server.routing.measured import Measurements
from xds_server.routing.rankings import rankings
from xds_server.routing.slots import RouteCredential, RouteTarget, Slot
from xds_server.settings import parse
from xds_server.store import DatabaseUrl, Store, codec, tables
from xds_server.store.columns import Columns
from xds_server.store.writing.transaction import ObjectChange

__all__ = ["postgres_url"]

#: Fields that neither Envoy nor the translator uses, with the reasons.
NOT_ACTED_UPON = {
    **dict.fromkeys(
        (
            *("Accounts.console_url", "Accounts.sso_only", "GroupRole.admin", "GroupRole.group"),
            *("GroupRole.organisation", "GroupRole.role", "SignUp.domains", "SignUp.organisation", "SignUp.role"),
            *(f"IdentityProvider.{each.name}" for each in admin.IdentityProvider.DESCRIPTOR.fields),
        ),
        "the control plane signs people in itself; see tests/xds_server/accounts",
    ),
    "JwtIssuer.jwks_url": "the control plane reads the keys itself; see tests/xds_server/tokens",
    "Alerting.webhook": "the control plane sends alerts itself; see tests/xds_server/alerts",
    "Route.balance": "of routes with the strategy balanced alone; see tests/xds_server/routing",
}
CASES = list(cases())
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@dataclass(frozen=True)
class Stored:
    """The store's contents after each of a case's two documents, and the events between them."""

    before: DesiredState
    after: DesiredState
    events: list[ObjectChange]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory = tmp_path_factory.mktemp("parity")
    opened = Store.open(new_sqlite(directory / "trunkline.db"), key_file=directory / "secret.key")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> EdgeSettings:
    directory = tmp_path_factory.mktemp("edge")
    (directory / "token").write_text("a-token-of-the-parity-tests-0123456789")
    flags = [
        f"--data-dir={directory}",
        f"--database-url=sqlite:///{directory}/trunkline.db",
        "--control-listen=127.0.0.1:18000",
        "--openai-listen=127.0.0.1:8080",
        "--admin-listen=127.0.0.1:8081",
        f"--ads-socket={directory}/ads.sock",
        f"--admin-token-file={directory}/token",
        "--upstream-ca-file=/etc/ssl/ca.pem",
    ]
    return parse(flags, {}).edge


def put(store: Store, case: Case) -> Stored:
    store.write("parity", lambda tx: apply(tx, admin.Document(), Mode(prune=True)))
    store.write("parity", lambda tx: apply(tx, case.before))
    before = store.load()
    committed = store.write("parity", lambda tx: apply(tx, case.after, Mode(prune=True)))
    return Stored(before, store.load(), list(committed.events))


def without_secrets(of: admin.Document) -> admin.Document:
    """Returns the document as the control plane returns it: without secrets, versions and ids."""
    shown = admin.Document()
    shown.CopyFrom(of)
    for owner in shown.organisations:
        for key in owner.keys:
            key.ClearField("value")
    for message in [*shown.providers, *shown.routes, *(owner.organisation for owner in shown.organisations)]:
        _clear_output(message)
    for route in shown.routes:
        route.timeouts.SetInParent()
        for target in route.targets:
            _clear_output(target)
            target.price.ClearField("version")
    for owner in shown.organisations:
        for key in owner.keys:
            _clear_output(key.key)
    holders: list[Any] = [
        *shown.routes,
        *(owner.organisation for owner in shown.organisations),
        *(key.key for owner in shown.organisations for key in owner.keys),
    ]
    for holder in holders:
        for limit in holder.limits:
            _clear_output(limit)
    _clear_output(shown.gateway)
    _clear_output(shown.gateway.alerts)
    shown.gateway.alerts.ClearField("secret")
    for issuer in shown.gateway.jwt:
        _clear_output(issuer)
    for provider in shown.gateway.oidc:
        _clear_output(provider)
        provider.ClearField("client_secret")
    return shown


def _clear_output(message: Message) -> None:
    for field in message.DESCRIPTOR.fields:
        if fields.is_output_only(field):
            message.ClearField(field.name)


def assert_same(case: Case, wanted: admin.Document, found: admin.Document, lost_in: str) -> None:
    find = PLACES[case.place]
    differ = fields.differences(find(wanted), find(found))
    assert not differ, f"{case.place}.{case.field} is lost in {lost_in}: {'; '.join(differ)}"
    assert wanted == found, lost_in


@each_case
def test_a_field_of_the_file_comes_back(case: Case, tmp_path: Path) -> None:
    shown = without_secrets(case.after)
    text = export.text(shown)
    again = document.request(loader.parse(text, "trunkline.yaml", Secrets({}, tmp_path))).document
    for route in again.routes:
        route.timeouts.SetInParent()
    assert_same(case, shown, again, "trunkline/config/model.py or objects.py")


@pytest.mark.slow
@each_case
def test_a_field_of_the_document_is_stored_and_exported(case: Case, store: Store) -> None:
    stored = put(store, case)
    exported = without_secrets(render.document(stored.after))
    # `default` stays, whatever a document says.
    for owner in [each for each in exported.organisations if each.organisation.name == "default"]:
        exported.organisations.remove(owner)
    for wanted, found in zip(case.after.routes, exported.routes, strict=True):
        for target, priced in zip(wanted.targets, found.targets, strict=True):
            if not target.price.valid_from:
                priced.price.ClearField("valid_from")
    place = "xds_server/admin/parse.py or store/tables.py"
    assert_same(case, without_secrets(case.after), exported, place)


@each_case
def test_a_changed_field_is_audited(case: Case, store: Store) -> None:
    events = put(store, case).events
    reported = [event for event in events if event.before != event.after]
    assert reported, (
        f"{case.place}.{case.field} is lost in xds_server/store/views.py: no event tells of its change"
    )


@each_case
def test_somebody_acts_upon_a_field(case: Case, store: Store, edge: EdgeSettings) -> None:
    stored = put(store, case)
    builder = Builder(edge, clock=lambda: 0.0)
    envoy_before = _envoy(builder, stored.before)
    envoy_after = _envoy(builder, stored.after)
    changed = envoy_before != envoy_after or decoded.of_state(stored.before) != decoded.of_state(stored.after)
    if case.kind in NOT_ACTED_UPON:
        assert not changed, f"{case.kind} is acted upon: take it out of NOT_ACTED_UPON"
    else:
        assert changed, (
            f"{case.place}.{case.field} reaches nobody: neither Envoy (xds_server/resources) nor the translator "
            "(policy.proto, xds_server/resources/policy.py, translator/policy) sees it"
        )


def _envoy(builder: Builder, state: DesiredState) -> dict[str, Any]:
    """Returns Envoy's resources, without clusters that only linger."""
    built = builder.build(state.revision, state, {}, rankings(state.routes.values(), _measured(state), {}, 0.0))
    wanted = builder._wanted
    return {
        url: dict(wanted if url.endswith(".Cluster") else resources)
        for url, resources in built.resources.items()
        if "trunkline.policy" not in url
    }


def _measured(state: DesiredState) -> Measurements:
    """Returns measurements in which every target was slower than the one written after it."""
    measurements = Measurements()
    for route in state.routes.values():
        for index, target in enumerate(route.targets):
            slot = Slot(served=10, streams=10, first_us={200 - 20 * index: 10}, token_us={60: 10})
            measurements.add(0, {RouteCredential(RouteTarget(route.id, target.id)): slot})
    return measurements


POLICY: list[type[Message]] = [
    policy.Organisation, policy.Key, policy.Route, policy.Target, policy.Limit, policy.Price, policy.ImagePrice,
    policy.ContextTier, policy.ServiceTier, policy.Rates, policy.JwtIssuer, policy.JwtGrant,
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "field"),
    # Output-only fields belong to the admin API, which shares some of these messages.
    [(each, of.name) for each in POLICY for of in each.DESCRIPTOR.fields if not fields.is_output_only(of)],
    ids=lambda value: value if isinstance(value, str) else value.DESCRIPTOR.name,
)  # fmt: skip
def test_the_translator_decodes_a_field_of_the_policy(kind: type[Message], field: str) -> None:
    for where, before, after in decoded.cases(kind, field):
        assert decoded.of_messages(*before) != decoded.of_messages(*after), (
            f"{kind.DESCRIPTOR.name}.{field}{where} is lost in translator/policy or translator/ledger/prices.py"
        )


@pytest.mark.parametrize(
    ("columns", "table"),
    [
        (codec.PROVIDER, tables.ProviderRow), (codec.ROUTE, tables.RouteRow), (codec.TARGET, tables.TargetRow),
        (codec.PRICE, tables.PriceRow), (codec.ORGANISATION, tables.OrganisationRow), (codec.KEY, tables.KeyRow),
        (codec.NODE, tables.NodeRow), (codec.JOIN_TOKEN, tables.JoinTokenRow),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_every_field_of_the_model_has_a_column(columns: Columns[Any], table: type[SQLModel]) -> None:
    missing = ", ".join(sorted(set(columns.names) - table.model_fields.keys()))
    assert not missing, f"xds_server/store/tables.py: {table.__name__} has no column for {missing}"


def test_every_message_of_a_document_has_cases() -> None:
    reached = {each.name for each in fields.messages(admin.Document.DESCRIPTOR)} - CONTAINERS
    assert reached == {place.split(" of ")[0] for place in PLACES}


def test_exceptions_are_fields() -> None:
    known = {f"{place}.{field.name}" for place, find in PLACES.items() for field in find(base()).DESCRIPTOR.fields}
    known |= {f"{name.split(' of ')[0]}.{name.rpartition('.')[2]}" for name in known}
    assert {*EXCEPTIONS, *VALUES, *NOT_ACTED_UPON} <= known


def test_secrets_are_stored_and_stay_inside(store: Store) -> None:
    given = base()
    given.providers[0].credentials.append("sk-a-credential-of-the-parity-tests")
    given.gateway.cache.store, given.gateway.cache.password = "redis://127.0.0.1", "a-password-of-the-parity-tests"
    store.write("parity", lambda tx: apply(tx, admin.Document(), Mode(prune=True)))
    committed = store.write("parity", lambda tx: apply(tx, given))
    state = store.load()
    assert state.providers["p"].credentials == ("sk-a-credential-of-the-parity-tests",)
    assert state.gateway.cache_password == "a-password-of-the-parity-tests"
    for shown in (str(render.document(state)), str(committed.events), export.text(render.document(state))):
        assert "sk-a-credential" not in shown
        assert "a-password" not in shown
        assert KEY_VALUE not in shown


def test_postgresql_keeps_every_field(postgres_url: str, tmp_path: Path) -> None:
    opened = Store.open(DatabaseUrl.parse(postgres_url), key_file=tmp_path / "secret.key")
    try:
        for case in CASES:
            test_a_field_of_the_document_is_stored_and_exported(case, opened)
    finally:
        opened.close()


def test_a_field_that_one_side_lacks_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"TimeoutsSpec of trunkline\.yaml ↔ .*Route: no field takes connect \(as"):
        mapping.Mapping(model.TimeoutsSpec, admin.Route)
