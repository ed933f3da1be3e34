"""The objects of the policy as decisions read them: organisations, keys, targets and routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import Literal
from urllib.parse import quote

from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.policy.words import AFFINITIES

from translator import credentials, money
from translator.bodies.prefix import PromptCacheRule
from translator.cache.key import CacheRule
from translator.limits import NO_LIMITS, HolderLimit, LimitSet
from translator.limits.limit import places
from translator.policy.caching import cache_rule
from translator.policy.limits import limits
from translator.policy.pricing import Ceiling

_QUEUE_SIZE = 200


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
        """Converts a key. One without patterns may use no model."""
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
        """Converts a route, with what every request needs of it computed once."""
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
