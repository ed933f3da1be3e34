"""Converts the model of trunkline.yaml to the admin API's Document."""

from __future__ import annotations

from collections.abc import Mapping

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import model, objects
from trunkline.errors import ConfigError

SECTIONS = ("providers", "routes", "organisations")
_OF_GATEWAY = ("cors", "defaults", "cache", "alerts", "accounts", "oidc", "jwt")


def request(file: model.FileSpec) -> admin.ApplyRequest:
    """Returns the document to apply: the objects of the file, in its order, with the file as manager.

    Raises ConfigError for a number that does not fit into a message.
    """
    try:
        document = admin.Document(
            providers=map(provider, file.providers or ()),
            routes=map(route, file.routes or ()),
            organisations=map(organisation, file.organisations or ()),
            gateway=_gateway(file),
        )
    except ValueError as error:  # protobuf's text: "Value out of range: 5000000000"
        raise ConfigError(f"a number in the file is too large: {str(error)[:100]}") from error
    sections = [name for name in (*SECTIONS, *_OF_GATEWAY) if getattr(file, name) is not None]
    return admin.ApplyRequest(document=document, managed_by=f"file:{file.name}", sections=sections)


def _gateway(file: model.FileSpec) -> admin.Gateway | None:
    """Returns the sections that the file has; the request names them. None if it has none of them."""
    if all(getattr(file, name) is None for name in _OF_GATEWAY):
        return None
    cors = objects.CORS.message(file.cors) if file.cors is not None else None
    cache = _shared_cache(file.cache) if file.cache is not None else None
    alerts = _alerting(file.alerts) if file.alerts is not None else None
    accounts = objects.ACCOUNTS.message(file.accounts) if file.accounts is not None else None
    return admin.Gateway(
        cors=cors,
        defaults=defaults(file.defaults or {}),
        cache=cache,
        alerts=alerts,
        accounts=accounts,
        oidc=map(_identity_provider, file.oidc or ()),
        jwt=map(objects.JWT_ISSUER.message, file.jwt or ()),
    )


def _identity_provider(given: model.IdentityProviderSpec) -> admin.IdentityProvider:
    message = objects.IDENTITY_PROVIDER.message(given)
    message.client_secret = given.client_secret or ""
    return message


def _alerting(given: model.AlertingSpec) -> admin.Alerting:
    message = objects.ALERTING.message(given)
    message.secret = given.secret or ""
    return message


def _shared_cache(given: model.SharedCacheSpec) -> admin.SharedCache:
    message = objects.SHARED_CACHE.message(given)
    message.password = given.password or ""
    message.clear_password = given.password == ""
    return message


def defaults(given: Mapping[str, str]) -> list[policy.DefaultModel]:
    """`given` maps endpoints to models; an endpoint may begin with `/v1/`."""
    return [
        policy.DefaultModel(endpoint=endpoint.removeprefix("/v1/"), model=name) for endpoint, name in given.items()
    ]


def provider(given: model.ProviderSpec) -> admin.Provider:
    """Converts a provider. `credentials: []` removes the stored ones; without `credentials` they stay."""
    message = objects.PROVIDER.message(given)
    message.clear_credentials = given.credentials == []
    return message


def route(given: model.RouteSpec) -> admin.Route:
    """Converts a route, of which the control plane completes what is left out."""
    return objects.ROUTE.message(given)


def target(given: model.TargetSpec) -> admin.RouteTarget:
    """Converts one target of a route."""
    return objects.TARGET.message(given)


def limit(given: model.LimitSpec) -> policy.Limit:
    """Converts a limit; its amount becomes one in the control plane's unit."""
    return objects.LIMIT.message(given)


def organisation(given: model.OrganisationSpec) -> admin.OrganisationDocument:
    """Converts an organisation with its keys, which refer to it by name."""
    return admin.OrganisationDocument(
        organisation=objects.ORGANISATION.message(given), keys=[_key(each, given.name) for each in given.keys]
    )


def _key(given: model.KeySpec, owner: str) -> admin.KeyDocument:
    message = objects.KEY.message(given)
    message.organisation = owner
    return admin.KeyDocument(key=message, value=given.value or "")
