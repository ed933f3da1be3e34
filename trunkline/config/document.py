"""The model of trunkline.yaml as the admin API's Document."""

from __future__ import annotations

import datetime

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import model

# Made by the control plane on its first start; its key is the one in credentials.json.
DEFAULT_ORGANISATION = "default"

STRATEGIES = {
    "weighted": admin.STRATEGY_WEIGHTED,
    "priority": admin.STRATEGY_PRIORITY,
    "cheapest": admin.STRATEGY_CHEAPEST,
    "fastest": admin.STRATEGY_FASTEST,
    "own-first": admin.STRATEGY_OWN_FIRST,
}
PRIVACIES = {"any": admin.PRIVACY_ANY, "own-nodes": admin.PRIVACY_OWN_NODES}
METRICS = {
    "requests": policy.METRIC_REQUESTS,
    "tokens": policy.METRIC_TOKENS,
    "cost_usd": policy.METRIC_COST_USD,
    "concurrency": policy.METRIC_CONCURRENCY,
}
CALENDARS = {"day": policy.CALENDAR_DAY, "week": policy.CALENDAR_WEEK, "month": policy.CALENDAR_MONTH}


def desired(file: model.File, stored: admin.Document) -> admin.Document:
    """What to apply. Sections that the file leaves out stay as they are in `stored`, and so does the organisation
    `default` of the first start unless the file names it: its key is the operator's own way in.
    """
    providers = stored.providers if file.providers is None else map(provider, file.providers)
    routes = stored.routes if file.routes is None else map(route, file.routes)
    if file.organisations is None:
        return admin.Document(providers=providers, routes=routes, organisations=stored.organisations)
    organisations = [organisation(each) for each in file.organisations]
    if all(each.organisation.name != DEFAULT_ORGANISATION for each in organisations):
        organisations += [each for each in stored.organisations if each.organisation.name == DEFAULT_ORGANISATION]
    return admin.Document(providers=providers, routes=routes, organisations=organisations)


def provider(given: model.Provider) -> admin.Provider:
    return admin.Provider(
        name=given.name,
        dialect=given.dialect,
        base_url=given.base_url,
        credentials=given.credentials or (),
        clear_credentials=given.credentials == [],
        ca_file=given.ca_file or "",
        stream_usage=given.stream_usage,
    )


def route(given: model.Route) -> admin.Route:
    return admin.Route(
        model=given.model,
        organisation=given.organisation or "",
        strategy=STRATEGIES[given.strategy],
        targets=[target(each) for each in given.targets],
        timeouts=admin.Timeouts(
            first_byte_ms=given.timeouts.first_byte,
            idle_ms=given.timeouts.idle,
            connect_ms=given.timeouts.connect,
        ),
        cache_ttl_seconds=given.cache.ttl,
        privacy=PRIVACIES[given.privacy],
        limits=map(limit, given.limits),
        reserved_output_tokens=given.reserved_output_tokens,
    )


def organisation(given: model.Organisation) -> admin.OrganisationDocument:
    return admin.OrganisationDocument(
        organisation=admin.Organisation(name=given.name, limits=map(limit, given.limits)),
        keys=[_key(each, given.name) for each in given.keys],
    )


def limit(given: model.Limit) -> policy.Limit:
    return policy.Limit(
        metric=METRICS[given.metric],
        per_seconds=given.per if isinstance(given.per, int) else 0,
        amount=given.units,
        calendar=CALENDARS[given.per] if isinstance(given.per, str) else policy.CALENDAR_UNSPECIFIED,
        # As the control plane stores it, so that the two names of one window are not taken for two limits.
        time_zone="" if given.time_zone in {None, "UTC"} else given.time_zone,
        model=given.model or "",
    )


def target(given: model.Target) -> admin.RouteTarget:
    return admin.RouteTarget(
        provider=given.provider or "",
        model=given.model or "",
        nodes=given.nodes or "",
        weight=given.weight,
        tier=given.tier,
        price=_price(given.price) if given.price else None,
    )


def _price(given: model.Price) -> policy.Price:
    return policy.Price(
        input=given.input,
        output=given.output,
        cached_input=given.cached_input,
        request=given.request,
        valid_from=given.valid_from or 0,
    )


def _key(given: model.Key, owner: str) -> admin.KeyDocument:
    expires = given.expires_at
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=datetime.UTC)
    return admin.KeyDocument(
        key=admin.Key(
            organisation=owner,
            name=given.name,
            models=given.models,
            limits=map(limit, given.limits),
            expires_at=int(expires.timestamp()) if expires else 0,
        ),
        value=given.value or "",
    )
