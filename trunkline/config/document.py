"""The model of trunkline.yaml as the admin API's Document."""

from __future__ import annotations

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import model, objects
from trunkline.errors import ConfigError

# Made by the control plane on its first start; its key is the one in credentials.json.
DEFAULT_ORGANISATION = "default"


def desired(file: model.File, stored: admin.Document) -> admin.Document:
    """What to apply. Sections that the file leaves out stay as they are in `stored`, and so does the organisation
    `default` of the first start unless the file names it: its key is the operator's own way in.

    Raises ConfigError for a number that no message holds.
    """
    try:
        return _desired(file, stored)
    except ValueError as error:  # as protobuf says it: "Value out of range: 5000000000"
        raise ConfigError(f"a number of the file is larger than it may be: {str(error)[:100]}") from error


def _desired(file: model.File, stored: admin.Document) -> admin.Document:
    providers = stored.providers if file.providers is None else map(provider, file.providers)
    routes = stored.routes if file.routes is None else map(route, file.routes)
    if file.organisations is None:
        return admin.Document(providers=providers, routes=routes, organisations=stored.organisations)
    organisations = [organisation(each) for each in file.organisations]
    if all(each.organisation.name != DEFAULT_ORGANISATION for each in organisations):
        organisations += [each for each in stored.organisations if each.organisation.name == DEFAULT_ORGANISATION]
    return admin.Document(providers=providers, routes=routes, organisations=organisations)


def provider(given: model.Provider) -> admin.Provider:
    message = objects.PROVIDER.message(given)
    message.credentials.extend(given.credentials or ())
    message.clear_credentials = given.credentials == []
    return message


def route(given: model.Route) -> admin.Route:
    return objects.ROUTE.message(given)


def target(given: model.Target) -> admin.RouteTarget:
    return objects.TARGET.message(given)


def limit(given: model.Limit) -> policy.Limit:
    return objects.LIMIT.message(given)


def organisation(given: model.Organisation) -> admin.OrganisationDocument:
    return admin.OrganisationDocument(
        organisation=objects.ORGANISATION.message(given), keys=[_key(each, given.name) for each in given.keys]
    )


def _key(given: model.Key, owner: str) -> admin.KeyDocument:
    message = objects.KEY.message(given)
    message.organisation = owner
    return admin.KeyDocument(key=message, value=given.value or "")
