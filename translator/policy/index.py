"""The policy in memory, indexed for the decision about a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import Generic, Literal, TypeVar
from urllib.parse import quote

from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.policy.words import AFFINITIES

from translator import credentials, money
from translator.bodies.prefix import PromptCacheRule
from translator.cache.key import CacheRule
from translator.limits import NO_LIMITS, HolderLimit, LimitSet
from translator.limits.limit import places
from translator.policy.caching import cache_rule
from translator.policy.grant import Grant
from translator.policy.limits import limits
from translator.policy.pricing import Ceiling
from translator.queueing import Flow

_QUEUE_SIZE = 200
#: Characters of a model with its target: longer than both may be.
_LONGEST_PINNED = 2_048
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class PolicyOrganisation:
    """The owner of keys."""

    id: str
    limits: LimitSet = NO_LIMITS
    #: Default models for requests that name none, by the endpoint's path.
    defaults: Mapping[str, str] = field(default_factory=dict)
    weight: int = 1


#: A key of high priority gets four times the places of a normal key, which gets four times those of a low key. So
#: low-priority requests are slow but never starve.
_WEIGHTS: Mapping[int, int] = {policy.PRIORITY_HIGH: 16, policy.PRIORITY_NORMAL: 4, policy.PRIORITY_LOW: 1}


@dataclass(slots=True, eq=False)
class PolicyKey:
    """The rights of one API key, as presented by one of its secrets.

    `expires_at` is Unix seconds; 0 means never. `rotated` says that this is the end of a rotation's grace period
    rather than of the key. `max_price` is the nano-USD that one request may cost by its estimate; 0 means any
    amount.
    """

    id: str
    organisation_id: str
    expires_at: int
    patterns: tuple[str, ...]
    limits: LimitSet
    _matches: Callable[[str], object] | None = field(repr=False)
    rotated: bool = False
    max_price: int = 0
    #: Its requests may name one target of a route: `<model>@<target id>`.
    pins_targets: bool = False
    #: The sender of the request if a token acts as the key; empty: the request itself names its user.
    user: str = ""
    #: Its share among the organisation's keys when requests wait.
    weight: int = _WEIGHTS[policy.PRIORITY_NORMAL]
    _allowed: dict[str, bool] = field(default_factory=dict, repr=False)

    @property
    def account(self) -> str:
        """The name of the account on which Envoy's module holds the bodies of the key's requests."""
        return credentials.account(self.organisation_id, self.id)

    @classmethod
    def of(cls, message: policy.Key) -> PolicyKey:
        patterns = tuple(message.models)
        # An empty pattern would match everything, but a key without patterns may use nothing.
        joined = "|".join(translate(pattern) for pattern in patterns) if patterns else r"(?!)"
        matches = None if "*" in patterns else re.compile(joined).match
        limit_set = LimitSet(limits(message.limits, "key", message.id, message.name or message.id))
        weight = _WEIGHTS.get(message.priority, _WEIGHTS[policy.PRIORITY_NORMAL])
        return cls(
            message.id,
            message.organisation_id,
            message.expires_at,
            patterns,
            limit_set,
            matches,
            max_price=message.max_price * money.MICRO,
            pins_targets=message.pins_targets,
            weight=weight,
        )

    def former(self, until: int) -> PolicyKey:
        """Returns what the secret before the last rotation may do: the same, until `until`."""
        ends_first = not self.expires_at or until < self.expires_at
        return replace(self, expires_at=until if ends_first else self.expires_at, rotated=ends_first)

    def allows(self, model: str) -> bool:
        """Returns whether the key may use a model. Only called for models that have a route, which bounds the
        memory used.
        """
        if self._matches is None:
            return True
        allowed = self._allowed.get(model)
        if allowed is None:
            allowed = self._allowed[model] = self._matches(model) is not None
        return allowed


_AFFINITIES = {AFFINITIES[word]: word for word in AFFINITIES if word != "none"}


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    """A target. Its Envoy clusters' names begin with `cluster`. `context` is in tokens; 0 if unknown. `id` is as
    in `x-trunkline-target`.
    """

    cluster: str
    context: int
    ceiling: Ceiling
    id: str = ""

    @classmethod
    def of(cls, message: policy.Target) -> PolicyTarget:
        """Converts a target. `cluster` is its name in Envoy, in the encoding of frames."""
        kind, slash, model = message.id.partition("/")
        if kind == "nodes":  # written as the control plane's Pool.name
            model = model.replace("%", "%25").replace("@", "%40")
        # Frames are latin-1, but cluster names are UTF-8.
        cluster = f"{kind}{slash}{model}".encode().decode("latin-1")
        return cls(cluster, message.context, Ceiling([message]), message.id)


@dataclass(frozen=True, slots=True)
class QueueRule:
    """The queue of a route: at most `size` requests wait, each for at most `longest` seconds."""

    longest: float
    size: int

    @classmethod
    def of(cls, message: policy.Route) -> QueueRule | None:
        """Returns the rule of a route; None if requests do not wait there."""
        if not message.queue_longest_ms:
            return None
        return cls(message.queue_longest_ms / 1000, message.queue_size or _QUEUE_SIZE)


@dataclass(frozen=True, slots=True)
class PolicyRoute:
    """A route. `created_at` is Unix seconds. `shown` is the model's name as a header value, percent-encoded.

    `reserved_output` are the completion tokens to reserve if a request states no maximum; 0 means the default.
    `bounded` says that the context length of at least one target is known.
    """

    id: str
    model: str
    created_at: int
    shown: str
    reserved_output: int
    ceiling: Ceiling
    limits: tuple[HolderLimit, ...] = ()
    #: `pool`, `conversation` or `user`; empty if requests may go anywhere.
    affinity: str = ""
    #: Ids of the keys and organisations that have a variant of their own.
    audiences: frozenset[str] = frozenset()
    #: How its answers are cached; None if they are not.
    cache: CacheRule | None = None
    targets: tuple[PolicyTarget, ...] = ()
    bounded: bool = False
    queue: QueueRule | None = None
    prompt_cache: PromptCacheRule | None = None
    #: The places at machines that its requests may take, by audience; the empty audience is everybody.
    places: Mapping[str, tuple[HolderLimit, ...]] = field(default_factory=dict)
    #: Clusters of the targets that a request with a pinned target must not go to.
    elsewhere: tuple[str, ...] = ()
    #: True if its requests have no affinity, never wait and are never answered from the cache, as for most routes.
    #: Computed once.
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plain", _is_plain(self))

    @classmethod
    def of(cls, message: policy.Route) -> PolicyRoute:
        return cls(
            message.id,
            message.model,
            message.created_at,
            quote(message.model, safe="/:@+,=~"),
            message.reserved_output_tokens,
            Ceiling(message.targets),
            LimitSet(limits(message.limits, "route", message.id, message.model)).of(message.model),
            _AFFINITIES.get(message.affinity, ""),
            frozenset(message.audiences),
            cache_rule(message),
            tuple(map(PolicyTarget.of, message.targets)),
            any(target.context for target in message.targets),
            QueueRule.of(message),
            _prompt_cache(message),
            _places(message),
        )

    def places_of(self, key: PolicyKey) -> tuple[HolderLimit, ...]:
        """Returns the places at machines that requests of `key` may take, its own first."""
        if not self.places:
            return ()
        audiences = (key.id, key.organisation_id, "")
        return tuple(limit for audience in audiences for limit in self.places.get(audience, ()))

    def pinned(self, target_id: str) -> PolicyRoute | None:
        """Returns this route with one of its targets alone: nothing is kept, waits, or stays with a conversation,
        because another target must never answer. None if it has no such target.
        """
        target = next((each for each in self.targets if each.id == target_id), None)
        if target is None:
            return None
        return replace(
            self,
            ceiling=target.ceiling,
            affinity="",
            cache=None,
            queue=None,
            targets=(target,),
            bounded=True,
            elsewhere=tuple(each.cluster for each in self.targets if each is not target),
        )

    def variant(self, key: PolicyKey) -> str:
        """Returns the variant of the route for requests of `key`: the plain id, or `<id>@<audience>`."""
        if self.audiences:
            if key.id in self.audiences:
                return f"{self.id}@{key.id}"
            if key.organisation_id in self.audiences:
                return f"{self.id}@{key.organisation_id}"
        return self.id


def _is_plain(route: PolicyRoute) -> bool:
    return not route.affinity and route.cache is None and route.queue is None and route.prompt_cache is None


_KEYED_BY: Mapping[int, Literal["conversation", "user"]] = {
    policy.PROMPT_CACHE_KEY_CONVERSATION: "conversation",
    policy.PROMPT_CACHE_KEY_USER: "user",
}


def _prompt_cache(message: policy.Route) -> PromptCacheRule | None:
    key = _KEYED_BY.get(message.prompt_cache_key)
    if key is None and not message.prompt_cache_stable_order:
        return None
    return PromptCacheRule(key or "", message.prompt_cache_stable_order)


def _places(message: policy.Route) -> dict[str, tuple[HolderLimit, ...]]:
    found: dict[str, tuple[HolderLimit, ...]] = {}
    for each in message.slots:
        found[each.audience] = (*found.get(each.audience, ()), places(each.model, each.audience, each.slots))
    return found


class Claims(Generic[K, V]):
    """The current holder of each place that resources with different ids may claim for a moment.

    Example: when a route is replaced by another one of the same model, the new route may arrive before the old one
    is removed. The latest claim counts; when it is released, the claim before it counts again.
    """

    def __init__(self) -> None:
        self.holder: dict[K, V] = {}
        self._claims: dict[K, dict[str, V]] = {}
        self._places: dict[str, K] = {}

    def claim(self, resource_id: str, place: K, value: V) -> None:
        """Puts a resource at `place`, and releases the place that it had. The latest claim holds a place."""
        self.release(resource_id)
        self._places[resource_id] = place
        self._claims.setdefault(place, {})[resource_id] = value
        self.holder[place] = value

    def release(self, resource_id: str) -> None:
        """Releases the place of a resource. The latest of the other claims then holds it."""
        if resource_id not in self._places:
            return
        place = self._places.pop(resource_id)
        claims = self._claims[place]
        del claims[resource_id]
        if claims:
            self.holder[place] = next(reversed(claims.values()))
        else:
            del self._claims[place], self.holder[place]


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
        self._grants.clear()
        limit_set = LimitSet(limits(message.limits, "organisation", message.id, message.name or message.id))
        defaults = {f"/v1/{each.endpoint}": each.model for each in message.defaults}
        self._organisations[message.id] = PolicyOrganisation(message.id, limit_set, defaults, message.weight or 1)

    def put_key(self, message: policy.Key) -> None:
        self._grants.clear()
        key = PolicyKey.of(message)
        self._ids[key.id] = key
        self._hashes.claim(key.id, message.hash, key)
        if message.former_hash:
            self._hashes.claim(_former(key.id), message.former_hash, key.former(message.former_until))
        else:
            self._hashes.release(_former(key.id))

    def put_route(self, message: policy.Route) -> None:
        self._grants.clear()
        route = self._routes_by_id[message.id] = PolicyRoute.of(message)
        self._routes.claim(route.id, (message.organisation_id, route.model), route)

    def remove_organisations(self, ids: Iterable[str]) -> None:
        self._grants.clear()
        for organisation_id in ids:
            self._organisations.pop(organisation_id, None)

    def remove_keys(self, ids: Iterable[str]) -> None:
        self._grants.clear()
        for key_id in ids:
            self._ids.pop(key_id, None)
            self._hashes.release(key_id)
            self._hashes.release(_former(key_id))

    def remove_routes(self, ids: Iterable[str]) -> None:
        self._grants.clear()
        for route_id in ids:
            self._routes.release(route_id)
            self._routes_by_id.pop(route_id, None)
