"""The desired state as plain values, which the store loads and the resource builders read.

Every object here is frozen and compares by value, so a builder may use it as a cache key. Times are Unix seconds,
money is micro-USD, durations are milliseconds if the name ends with `_ms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from xds_server.accounts.settings import Accounts, IdentityProvider, JwtIssuer
from xds_server.prices import TargetPrice
from xds_server.reasons import Reason


class Strategy(StrEnum):
    """The rule that computes tiers and weights from a route's targets."""

    WEIGHTED = "weighted"
    PRIORITY = "priority"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    OWN_FIRST = "own-first"
    BALANCED = "balanced"
    OWN_ONLY = "own-only"


class CacheScope(StrEnum):
    """The callers that share a cached answer; organisations never share one."""

    ORGANISATION = "organisation"
    KEY = "key"
    USER = "user"


class Privacy(StrEnum):
    """Restricts where a route's requests may go."""

    ANY = "any"
    OWN_NODES = "own-nodes"


class Affinity(StrEnum):
    """The rule that keeps the requests of one conversation or user together."""

    POOL = "pool"
    CONVERSATION = "conversation"
    USER = "user"
    NONE = "none"


class PromptCacheKey(StrEnum):
    """The source of a `prompt_cache_key` for a request without one."""

    NONE = "none"
    CONVERSATION = "conversation"
    USER = "user"


class Metric(StrEnum):
    """The metric that a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    COST_USD = "cost_usd"
    CONCURRENCY = "concurrency"


class Calendar(StrEnum):
    """A window that follows the calendar of a time zone; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Each(StrEnum):
    """The values that a limit counts separately."""

    USER = "user"
    TAG = "tag"


class Priority(StrEnum):
    """The priority of a key's waiting requests among those of its organisation's other keys."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


_DURATIONS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit; `amount` is requests, tokens, micro-USD or concurrent requests.

    `per_seconds` is 0 for concurrency, and if `calendar` is the window instead. `time_zone` is an IANA name, empty
    for UTC. With `model`, only requests for that model count; routes have no such limits. `managed_by` is as in
    Provider. With `each`, every end user or tag has the whole amount. `alerts_permille` are the shares of the
    amount, ascending, at which an alert goes out. A `soft` limit refuses nothing.
    """

    metric: Metric
    per_seconds: int
    amount: int
    calendar: Calendar | None = None
    time_zone: str = ""
    model: str = ""
    managed_by: str = ""
    each: Each | None = None
    alerts_permille: tuple[int, ...] = ()
    soft: bool = False

    @property
    def identity(self) -> tuple[str, int, str, str, str, str]:
        """Returns what identifies the limit. A holder has one limit of each identity."""
        return self.metric, self.per_seconds, self.calendar or "", self.time_zone, self.model, self.each or ""

    @property
    def name(self) -> str:
        """Returns the identity as people write it: `METRIC[/WINDOW[/TIME_ZONE]][:EACH][@MODEL]`."""
        window = self.calendar or (_duration(self.per_seconds) if self.per_seconds else "")
        of_each = f":{self.each}" if self.each else ""
        of_model = f"@{self.model}" if self.model else ""
        return "/".join(filter(None, (self.metric, window, self.time_zone))) + of_each + of_model


def _duration(seconds: int) -> str:
    unit, factor = next((unit, factor) for unit, factor in _DURATIONS if seconds % factor == 0)
    return f"{seconds // factor}{unit}"


@dataclass(frozen=True, slots=True)
class Quota:
    """The maximum of requests or tokens for which one credential is used in any window of this length."""

    metric: Metric
    per_seconds: int
    amount: int


@dataclass(frozen=True, slots=True)
class CredentialQuota:
    """The quota of one credential, instead of its provider's. `credential` is its position, from 1."""

    credential: int
    quota: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True)
class Provider:
    """One base URL. `credentials` are in the clear here and nowhere else: never log or export this object.

    `quota` holds for each credential without a quota of its own. Envoy requests `health_path` every
    `health_every_seconds` (0: the default) to find out whether the server lives; empty: no checks.

    `managed_by` is `api`, `file:NAME`, or empty for an object from before there were managers. Its credentials
    have a manager of their own, since a file may leave them out.
    """

    name: str
    base_url: str
    dialect: str = "openai"
    credentials: tuple[str, ...] = field(default=(), repr=False)
    ca_file: str = ""
    stream_usage: bool = True
    version: int = 0
    managed_by: str = ""
    credentials_managed_by: str = ""
    quota: tuple[Quota, ...] = ()
    credential_quotas: tuple[CredentialQuota, ...] = ()
    health_path: str = ""
    health_every_seconds: int = 0
    health_statuses: tuple[int, ...] = ()

    def quota_of(self, credential: int) -> tuple[Quota, ...]:
        """Returns the quota of the credential at this index."""
        own = (each.quota for each in self.credential_quotas if each.credential == credential + 1)
        return next(own, self.quota)


@dataclass(frozen=True, slots=True)
class ProviderTarget:
    """A model at a provider. `prices` is its history, oldest first; empty: free. `context` is the number of tokens
    that a prompt and its answer may have together; 0: unknown. A `paused` target keeps its place and is never
    tried.
    """

    provider: str
    model: str
    weight: int = 1
    tier: int = 0
    prices: tuple[TargetPrice, ...] = ()
    context: int = 0
    paused: bool = False

    @property
    def id(self) -> str:
        """Returns the id, as in the response header `x-trunkline-target`."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class NodesTarget:
    """A model on any node that offers it. The fields are those of a ProviderTarget."""

    model: str
    weight: int = 1
    tier: int = 0
    prices: tuple[TargetPrice, ...] = ()
    context: int = 0
    paused: bool = False

    @property
    def id(self) -> str:
        """Returns the id, as in the response header `x-trunkline-target`."""
        return f"nodes/{self.model}"


Target = ProviderTarget | NodesTarget


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Milliseconds; 0 means the default, which the resource builder has."""

    first_byte_ms: int = 0
    idle_ms: int = 0
    connect_ms: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """A public model name; `organisation_id` is empty for a route that everybody sees.

    `reserved_output_tokens` are reserved for a request that states no maximum; 0: the translator's default.
    `balance` is the weight of time against money, in percent; 0: the default. At most `queue_size` requests (0:
    the default) wait up to `queue_longest_ms` for a place; 0: none waits.
    """

    id: str
    model: str
    targets: tuple[Target, ...]
    organisation_id: str = ""
    strategy: Strategy = Strategy.WEIGHTED
    timeouts: Timeouts = Timeouts()
    cache_ttl_seconds: int = 0
    privacy: Privacy = Privacy.ANY
    affinity: Affinity = Affinity.POOL
    limits: tuple[Limit, ...] = ()
    reserved_output_tokens: int = 0
    balance: int = 0
    created_at: int = 0
    version: int = 0
    managed_by: str = ""
    cache_scope: CacheScope = CacheScope.ORGANISATION
    cache_most_bytes: int = 0
    queue_longest_ms: int = 0
    queue_size: int = 0
    prompt_cache_key: PromptCacheKey = PromptCacheKey.NONE
    prompt_cache_stable_order: bool = False


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation; `weight` is its share of places when requests of several organisations wait; 0 means 1."""

    id: str
    name: str
    limits: tuple[Limit, ...] = ()
    version: int = 0
    managed_by: str = ""
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    """An API key; `hash` is the SHA-256 of the whole key, 32 bytes. Revoked keys are not part of the desired
    state.

    `former_hash` is the hash before the last rotation, which works until `former_until`, Unix seconds. `retired`
    are the hashes, in hexadecimal, that rotations have replaced, oldest first: none of them becomes a secret
    again. `max_price` is the micro-USD that one request may cost by its estimate; 0: any amount.
    """

    id: str
    organisation_id: str
    name: str
    hash: bytes = field(repr=False)
    models: tuple[str, ...] = ("*",)
    limits: tuple[Limit, ...] = ()
    expires_at: int = 0
    former_hash: bytes = field(default=b"", repr=False)
    former_until: int = 0
    retired: tuple[str, ...] = field(default=(), repr=False)
    created_at: int = 0
    version: int = 0
    managed_by: str = ""
    max_price: int = 0
    priority: Priority = Priority.NORMAL
    #: Its requests may name one target of a route.
    pins_targets: bool = False


@dataclass(frozen=True, slots=True)
class Cors:
    """The pages of other origins that browsers let call the gateway; `origins` as in trunkline.admin.v1.Cors."""

    origins: tuple[str, ...] = ()
    max_age_seconds: int = 0


@dataclass(frozen=True, slots=True)
class DefaultModel:
    """The model of requests that name none, for an endpoint (its path below /v1)."""

    endpoint: str
    model: str


#: The `store` of answers that each translator caches by itself.
MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class SharedCache:
    """The store of cached answers: `store` is `memory`, or the address of a Redis or Valkey, which may include a
    user. `most_bytes` bounds the memory; 0: the translator's default. `ca_file` verifies TLS; empty: the system's
    CAs.
    """

    store: str = MEMORY
    most_bytes: int = 0
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Alerting:
    """The receiver of limit alerts, and the secret that signs them: sealed when it comes from the store, and in
    the clear on its way into the store. Both are empty if no alerts are sent.
    """

    webhook: str = ""
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class SectionManager:
    """The manager of one section of the gateway."""

    section: str
    managed_by: str


#: The gateway's sections, as in trunkline.yaml, and the fields that belong to each.
GATEWAY_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "cors": ("cors",),
    "defaults": ("defaults",),
    "cache": ("cache", "cache_password"),
    "alerts": ("alerts",),
    "accounts": ("accounts",),
    "oidc": ("oidc",),
    "jwt": ("jwt",),
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """Settings of the clients' listener as a whole. There is one; `version` 0: it was never written.

    `cache_password` is the password of the cache's store, empty for none.
    """

    cors: Cors = Cors()
    defaults: tuple[DefaultModel, ...] = ()
    version: int = 0
    managers: tuple[SectionManager, ...] = ()
    cache: SharedCache = SharedCache()
    alerts: Alerting = Alerting()
    cache_password: str = field(default="", repr=False)
    accounts: Accounts = field(default_factory=Accounts)
    oidc: tuple[IdentityProvider, ...] = ()
    jwt: tuple[JwtIssuer, ...] = ()

    def manager_of(self, section: str) -> str:
        """Returns the manager of a section, as of a Provider; empty for one that has none."""
        return next((each.managed_by for each in self.managers if each.section == section), "")

    def with_managers(self, managers: Mapping[str, str]) -> Gateway:
        """Returns the gateway with these managers, by section; empty ones are left out."""
        kept = (SectionManager(name, managers[name]) for name in GATEWAY_SECTIONS if managers.get(name))
        return replace(self, managers=tuple(kept))


class Visibility(StrEnum):
    """The callers that may use a node: its owner's key (without one, its organisation), its organisation, or
    everybody.
    """

    PRIVATE = "private"
    ORGANISATION = "organisation"
    COMMUNITY = "community"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that joined, with what is decided about it. What it reports is live state and not part of this.

    `id` is a DNS label, `nd-…`. `owner_key_id` is empty if the organisation as a whole is the owner. `boost` is
    the node's weight relative to others in percent, 100 being neutral.
    """

    id: str
    name: str
    organisation_id: str
    owner_key_id: str = ""
    visibility: Visibility = Visibility.ORGANISATION
    approved: bool = True
    drained: bool = False
    boost: int = 100
    created_at: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Everything desired at one revision. Mappings are by name (providers) or id.

    `unreadable` says, for each stored object that could not be read, which object it is, why, and what is served
    meanwhile.
    """

    revision: int
    providers: Mapping[str, Provider] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    organisations: Mapping[str, Organisation] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    gateway: Gateway = Gateway()
    unreadable: tuple[Reason, ...] = ()

    @property
    def owners(self) -> dict[str, str]:
        """Returns the organisations' names by id; for objects that everybody has, both are empty."""
        return {"": "", **{each.id: each.name for each in self.organisations.values()}}
