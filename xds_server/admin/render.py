"""Values of the model → messages of the Admin API. Credentials and hashes have no way through here."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.admin import enums
from xds_server.admin.ports import LiveNode, LiveNodes
from xds_server.model import Key, Limit, Node, NodesTarget, Organisation, Price, Provider, Route, State, Target
from xds_server.store.records import AuditEvent


def provider(value: Provider) -> pb.Provider:
    return pb.Provider(
        name=value.name,
        dialect=value.dialect,
        base_url=value.base_url,
        credential_count=len(value.credentials),
        ca_file=value.ca_file,
        stream_usage=value.stream_usage,
        version=value.version,
    )


def route(value: Route, organisation: str) -> pb.Route:
    timeouts = value.timeouts
    return pb.Route(
        id=value.id,
        model=value.model,
        organisation=organisation,
        strategy=enums.strategy(value.strategy),
        targets=[_target(target) for target in value.targets],
        timeouts=pb.Timeouts(
            first_byte_ms=timeouts.first_byte_ms, idle_ms=timeouts.idle_ms, connect_ms=timeouts.connect_ms
        ),
        cache_ttl_seconds=value.cache_ttl_seconds,
        privacy=enums.privacy(value.privacy),
        limits=_limits(value.limits),
        reserved_output_tokens=value.reserved_output_tokens,
        version=value.version,
    )


def organisation(value: Organisation) -> pb.Organisation:
    return pb.Organisation(id=value.id, name=value.name, limits=_limits(value.limits), version=value.version)


def key(value: Key, organisation: str, revoked_at: int = 0) -> pb.Key:
    return pb.Key(
        id=value.id,
        organisation=organisation,
        name=value.name,
        models=value.models,
        limits=_limits(value.limits),
        expires_at=value.expires_at,
        created_at=value.created_at,
        revoked_at=revoked_at,
        version=value.version,
    )


def node(value: Node, organisation: str, owner_key: str, live: LiveNode | None) -> pb.Node:
    """`organisation` and `owner_key` are names; a node without `live` is `offline`, or `pending`."""
    state, reason = ("offline", "it has not reported") if value.approved else ("pending", "waits for approval")
    return pb.Node(
        id=value.id,
        name=value.name,
        organisation=organisation,
        owner_key=owner_key,
        visibility=enums.visibility(value.visibility),
        approved=value.approved,
        drained=value.drained,
        boost_percent=value.boost,
        created_at=value.created_at,
        version=value.version,
        state=live.state if live else state,
        state_reason=live.state_reason if live else reason,
        last_seen=live.last_seen if live else 0,
        facts=live.facts if live else None,
        offers=live.offers if live else (),
        load=live.load if live else None,
    )


def nodes(state: State, live: LiveNodes, organisation: str = "") -> list[pb.Node]:
    """By organisation and name; `organisation` is a name, empty for all."""
    owners = {each.id: each.name for each in state.organisations.values()}
    keys = {each.id: each.name for each in state.keys.values()}
    found = [
        node(each, owners[each.organisation_id], keys.get(each.owner_key_id, ""), live.describe(each.id))
        for each in state.nodes.values()
        if organisation in {"", owners[each.organisation_id]}
    ]
    return sorted(found, key=lambda each: (each.organisation, each.name))


def audit_event(value: AuditEvent) -> pb.AuditEvent:
    return pb.AuditEvent(
        id=value.id,
        at_us=value.at_us,
        actor=value.actor,
        action=value.action,
        object_type=value.object_type,
        object_name=value.object_name,
        before=value.before,
        after=value.after,
        revision=value.revision,
    )


def routes(state: State) -> list[pb.Route]:
    """By organisation and model, those that everybody sees first."""
    names = {"": "", **{each.id: each.name for each in state.organisations.values()}}
    named = [(names[each.organisation_id], each.model, each) for each in state.routes.values()]
    return [route(each, name) for name, _, each in sorted(named, key=lambda item: item[:2])]


def document(state: State) -> pb.Document:
    """What `Apply` accepts and finds nothing to change in. No versions and no past prices: a document says what is
    wanted, not what was.
    """
    keys_of: dict[str, list[Key]] = {id_: [] for id_ in state.organisations}
    for each in state.keys.values():
        keys_of[each.organisation_id].append(each)
    rendered = pb.Document(
        providers=[provider(each) for each in sorted(state.providers.values(), key=lambda item: item.name)],
        routes=routes(state),
        organisations=[
            pb.OrganisationDocument(
                organisation=organisation(owner),
                keys=[
                    pb.KeyDocument(key=key(each, owner.name))
                    for each in sorted(keys_of[owner.id], key=lambda item: item.name)
                ],
            )
            for owner in sorted(state.organisations.values(), key=lambda item: item.name)
        ],
    )
    for each_provider in rendered.providers:
        each_provider.ClearField("version")
    for each_route in rendered.routes:
        each_route.ClearField("version")
        for target in each_route.targets:
            target.ClearField("price_history")
    for owner_document in rendered.organisations:
        owner_document.organisation.ClearField("version")
        for key_document in owner_document.keys:
            key_document.key.ClearField("version")
    return rendered


def _target(value: Target) -> pb.RouteTarget:
    """Its price is the newest: the one in force, or the last one to come."""
    history = [_price(price) for price in value.prices]
    rendered = pb.RouteTarget(
        weight=value.weight, tier=value.tier, price=history[-1] if history else None, price_history=history
    )
    if isinstance(value, NodesTarget):
        rendered.nodes = value.model
    else:
        rendered.provider, rendered.model = value.provider, value.model
    return rendered


def _price(value: Price) -> policy_pb2.Price:
    return policy_pb2.Price(
        input=value.input,
        output=value.output,
        cached_input=value.cached_input,
        request=value.request,
        valid_from=value.valid_from,
        version=value.version,
    )


def _limits(values: Iterable[Limit]) -> list[policy_pb2.Limit]:
    return [
        policy_pb2.Limit(
            metric=enums.metric(each.metric),
            per_seconds=each.per_seconds,
            amount=each.amount,
            calendar=enums.calendar(each.calendar),
            time_zone=each.time_zone,
            model=each.model,
        )
        for each in values
    ]
