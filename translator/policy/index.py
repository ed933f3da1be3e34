"""The policy in memory, indexed for the decision about a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator.limits import HolderLimit, LimitSet
from translator.policy.claims import Claims
from translator.policy.grant import Grant
from translator.policy.limits import limits
from translator.policy.objects import PolicyKey, PolicyOrganisation, PolicyRoute
from translator.queueing import Flow

#: Characters of a model with its target: longer than both may be.
_LONGEST_PINNED = 2_048
#: Grants that are remembered.
_MAX_GRANTS = 50_000


def _former(key_id: str) -> str:
    """Returns the id by which a key's former secret is claimed. No other id contains a blank."""
    return f"{key_id} former"


class PolicyIndex:
    """The policy, which changes between two requests and never during one: there is one thread, and no change
    awaits.
    """

    def __init__(self) -> None:
        self._organisations: dict[str, PolicyOrganisation] = {}
        self._hashes: Claims[bytes, PolicyKey] = Claims()
        self._ids: dict[str, PolicyKey] = {}
        self._routes: Claims[tuple[str, str], PolicyRoute] = Claims()
        self._routes_by_id: dict[str, PolicyRoute] = {}
        #: The key that has a secret of this hash, and whether there is an organisation of this id: each request
        #: asks for both, so they are calls of the dictionaries themselves.
        self.key_by_hash: Callable[[bytes], PolicyKey | None] = self._hashes.holder.get
        self.has_organisation: Callable[[str], bool] = self._organisations.__contains__
        #: By key and model; empty after every change.
        self._grants: dict[tuple[str, str], Grant] = {}

    def key_by_id(self, key_id: str) -> PolicyKey | None:
        """Returns the key; None if it is unknown."""
        return self._ids.get(key_id)

    def flow(self, key: PolicyKey) -> Flow:
        """Returns the flow of a waiting request: its organisation and key with their weights."""
        organisation = self._organisations.get(key.organisation_id)
        weight = organisation.weight if organisation is not None else 1
        return Flow(key.organisation_id, weight, key.id, key.weight)

    def grant(self, key: PolicyKey, model: str) -> Grant | None:
        """Returns what is decided for requests of `key` for `model`; None if it has no route that it may use.

        Keys of one id have one grant: former secrets and tokens differ from the key in nothing that it is made of.
        """
        found = self._grants.get((key.id, model))
        if found is None and (route := self.route(key, model)) is not None:
            organisation = self._organisations.get(key.organisation_id)
            of_key = key.limits.of(route.model)
            of_organisation = organisation.limits.of(route.model) if organisation is not None else ()
            found = Grant.of(key, route, of_organisation + of_key + route.limits + route.places_of(key))
            if len(self._grants) >= _MAX_GRANTS:
                self._grants.clear()
            self._grants[key.id, model] = found
        return found

    def limits_by_id(self, organisation: str, key: str, route: str, model: str) -> tuple[HolderLimit, ...]:
        """Returns the limits that a grant would have, for a request of which only the ids are known."""
        owner, held_by, through = (
            self._organisations.get(organisation),
            self._ids.get(key),
            self._routes_by_id.get(route),
        )
        return (
            (owner.limits.of(model) if owner is not None else ())
            + (held_by.limits.of(model) if held_by is not None else ())
            + (through.limits if through is not None else ())
        )

    def route(self, key: PolicyKey, model: str) -> PolicyRoute | None:
        """Returns the route for a request of `key` for `model`; None also if the key may not use it."""
        routes = self._routes.holder
        route = routes.get((key.organisation_id, model)) or routes.get(("", model))
        if route is None and key.pins_targets:
            return self._pinned(key, model)
        return route if route is not None and key.allows(model) else None

    def _pinned(self, key: PolicyKey, model: str) -> PolicyRoute | None:
        """Reads `<model>@<target id>`; either part may have an `@` of its own."""
        at = model.find("@") if len(model) <= _LONGEST_PINNED else -1
        while at > 0:
            name, target_id = model[:at], model[at + 1 :]
            routes = self._routes.holder
            route = routes.get((key.organisation_id, name)) or routes.get(("", name))
            pinned = route.pinned(target_id) if route is not None and key.allows(name) else None
            if pinned is not None:
                return pinned
            at = model.find("@", at + 1)
        return None

    def default_model(self, key: PolicyKey, path: str) -> str:
        """Returns the model for requests of `key` that name none, by the endpoint's path; empty if there is no
        default.
        """
        organisation = self._organisations.get(key.organisation_id)
        return organisation.defaults.get(path, "") if organisation is not None else ""

    def routes(self, key: PolicyKey) -> list[PolicyRoute]:
        """Returns the routes that `key` may use, sorted by model."""
        owners = ("", key.organisation_id)
        models = {model for organisation, model in self._routes.holder if organisation in owners}
        return [route for model in sorted(models) if (route := self.route(key, model)) is not None]

    def put_organisation(self, message: policy.Organisation) -> None:
        """Adds or replaces an organisation. All grants are computed again when they are needed."""
        self._grants.clear()
        limit_set = LimitSet(limits(message.limits, "organisation", message.id, message.name or message.id))
        defaults = {f"/v1/{each.endpoint}": each.model for each in message.defaults}
        self._organisations[message.id] = PolicyOrganisation(message.id, limit_set, defaults, message.weight or 1)

    def put_key(self, message: policy.Key) -> None:
        """Adds or replaces a key with its former secret, if that still works."""
        self._grants.clear()
        key = PolicyKey.of(message)
        self._ids[key.id] = key
        self._hashes.claim(key.id, message.hash, key)
        if message.former_hash:
            self._hashes.claim(_former(key.id), message.former_hash, key.former(message.former_until))
        else:
            self._hashes.release(_former(key.id))

    def put_route(self, message: policy.Route) -> None:
        """Adds or replaces a route."""
        self._grants.clear()
        route = self._routes_by_id[message.id] = PolicyRoute.of(message)
        self._routes.claim(route.id, (message.organisation_id, route.model), route)

    def remove_organisations(self, ids: Iterable[str]) -> None:
        """Removes organisations; unknown ids are ignored."""
        self._grants.clear()
        for organisation_id in ids:
            self._organisations.pop(organisation_id, None)

    def remove_keys(self, ids: Iterable[str]) -> None:
        """Removes keys; unknown ids are ignored."""
        self._grants.clear()
        for key_id in ids:
            self._ids.pop(key_id, None)
            self._hashes.release(key_id)
            self._hashes.release(_former(key_id))

    def remove_routes(self, ids: Iterable[str]) -> None:
        """Removes routes. Another route of the same model serves again, if there is one."""
        self._grants.clear()
        for route_id in ids:
            self._routes.release(route_id)
            self._routes_by_id.pop(route_id, None)
