"""Parses messages of the Admin API into values of the model; notes every problem under its field's path."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.admin import enums, values
from xds_server.admin.limits import limits
from xds_server.admin.prices import price
from xds_server.admin.problems import Problems, known
from xds_server.admin.quotas import credential_quotas, quota
from xds_server.model import (
    Affinity,
    CacheScope,
    NodesTarget,
    Priority,
    Privacy,
    PromptCacheKey,
    Provider,
    ProviderTarget,
    Route,
    Strategy,
    Target,
    Timeouts,
)
from xds_server.store.settings import KeySettings

DIALECTS = ("openai",)
_TARGETS, _CREDENTIALS, _PATTERNS = 64, 32, 1000
_HOUR_MS = 3_600_000
#: Envoy ends a stream on which nothing moves for five minutes.
_MAX_WAIT_MS = 240_000
#: Accepted numbers by field: minimum, maximum and unit.
_ROUTE: values.Ranges = {
    "cache_ttl_seconds": (0, 30 * 86_400, "seconds (0 = no caching)"),
    "cache_most_bytes": (0, 2**40, "bytes (0 = as much as all answers)"),
    "balance": (0, 99, "percent (0 = the default of 50)"),
    "reserved_output_tokens": (0, 10_000_000, "tokens (0 = the default of 1,024)"),
    "queue_longest_ms": (0, _MAX_WAIT_MS, "milliseconds (0 = no waiting)"),
    "queue_size": (0, 10_000, "requests (0 = the default of 200)"),
}
_TARGET: values.Ranges = {"context": (0, 1_000_000_000, "tokens (0 = not known)")}
_PROVIDER: values.Ranges = {"health_every_seconds": (0, 3_600, "seconds (0 = the default of 10)")}
_STATUSES = 16
KEY: values.Ranges = {"max_price": (0, values.MAX_AMOUNT, "micro-USD (0 = any amount)")}
_TIMEOUTS: values.Ranges = {
    "first_byte_ms": (0, _HOUR_MS, "milliseconds (0 = the default)"),
    "idle_ms": (0, _HOUR_MS, "milliseconds (0 = the default)"),
    "connect_ms": (0, 60_000, "milliseconds (0 = the default)"),
}
#: The prefix in the names of pools, and of targets at own machines, in place of a provider.
_OWN_MACHINES = "nodes"
_ONE_PLACE = "accepted: exactly one of `provider` with `model`, or `nodes`"


@dataclass(frozen=True, slots=True)
class ParsedProvider:
    """A provider in a document.

    `keep_credentials`: the value has none, and the stored ones stay. `version` is as sent; `path` locates problems
    that are found later.
    """

    provider: Provider
    keep_credentials: bool
    version: int
    path: str


@dataclass(frozen=True, slots=True)
class ParsedRoute:
    """A route in a document.

    `organisation` is a name, empty for a route that everybody sees; `path` locates problems that are found later.
    A target has the wanted price, if any, with `valid_from` 0 for from now on.
    """

    route: Route
    organisation: str
    version: int
    path: str

    @property
    def providers(self) -> frozenset[str]:
        """Returns the names of the providers of its targets."""
        targets = self.route.targets
        return frozenset(each.provider for each in targets if isinstance(each, ProviderTarget))


def provider(message: pb.Provider, problems: Problems) -> ParsedProvider:
    """Parses a provider and adds its mistakes to `problems`; the result is used only if there are none."""
    values.name(message.name, problems.at("name"))
    if message.name == _OWN_MACHINES:
        shown = values.quoted(_OWN_MACHINES)
        problems.at("name").note(f"{shown} is reserved for own machines; accepted: another name")
    dialect = message.dialect or DIALECTS[0]
    if dialect not in DIALECTS:
        shown = values.quoted(dialect)
        problems.at("dialect").note(f"{shown} is not spoken by this version; accepted: {', '.join(DIALECTS)}")
    base_url = values.base_url(message.base_url, problems.at("base_url"))
    values.at_most(message.credentials, _CREDENTIALS, problems.at("credentials"))
    for index, credential in enumerate(message.credentials):
        values.credential(credential, problems.at("credentials", index))
    if len(set(message.credentials)) < len(message.credentials):
        problems.at("credentials").note("the same value twice (not shown); accepted: each once")
    if message.clear_credentials and message.credentials:
        problems.at("clear_credentials").note("accepted only without `credentials`")
    _ca_file(message.ca_file, base_url, problems.at("ca_file"))
    return ParsedProvider(
        Provider(
            name=message.name,
            base_url=base_url,
            dialect=dialect,
            credentials=tuple(message.credentials),
            ca_file=message.ca_file,
            stream_usage=message.stream_usage if message.HasField("stream_usage") else True,
            quota=quota(message.quota, problems),
            credential_quotas=credential_quotas(message, problems),
            health_path=_health_path(message, problems.at("health_path")),
            health_statuses=_health_statuses(message, problems),
            **values.numbers(message, _PROVIDER, problems),
        ),
        keep_credentials=not message.credentials and not message.clear_credentials,
        version=message.version,
        path=problems.path,
    )


def route(
    message: pb.Route, problems: Problems, *, providers: Collection[str], organisations: Collection[str]
) -> ParsedRoute:
    """Parses a route. `providers` and `organisations` are the names that it may refer to."""
    values.model(message.model, problems.at("model"))
    if message.organisation and message.organisation not in organisations:
        shown = values.quoted(message.organisation)
        problems.at("organisation").note(f"no organisation {shown}; {known(organisations, message.organisation)}")
    targets = _targets(message, problems, providers)
    privacy = enums.read(Privacy, message, "privacy", Privacy.ANY, problems)
    strategy = enums.read(Strategy, message, "strategy", Strategy.WEIGHTED, problems)
    if privacy is Privacy.OWN_NODES:
        _refuse_providers(message, problems, "this route's privacy is own-nodes", "privacy any")
    elif strategy is Strategy.OWN_ONLY:
        _refuse_providers(message, problems, "this route's strategy is own-only", "another strategy")
    return ParsedRoute(
        Route(
            id="",
            model=message.model,
            targets=targets,
            strategy=strategy,
            timeouts=Timeouts(**values.numbers(message.timeouts, _TIMEOUTS, problems.at("timeouts"))),
            privacy=privacy,
            cache_scope=enums.read(CacheScope, message, "cache_scope", CacheScope.ORGANISATION, problems),
            prompt_cache_key=enums.read(
                PromptCacheKey, message, "prompt_cache_key", PromptCacheKey.NONE, problems
            ),
            prompt_cache_stable_order=message.prompt_cache_stable_order,
            affinity=enums.read(Affinity, message, "affinity", Affinity.POOL, problems),
            limits=limits(message.limits, problems, of_route=True),
            **values.numbers(message, _ROUTE, problems),
        ),
        message.organisation,
        message.version,
        problems.path,
    )


def key_settings(message: pb.Key, problems: Problems) -> KeySettings:
    """Parses a key's settings; its name is checked too."""
    values.name(message.name, problems.at("name"))
    models = patterns(message.models, problems)
    values.expiry(message.expires_at, problems.at("expires_at"))
    return KeySettings(
        models=models or ("*",),
        limits=limits(message.limits, problems),
        expires_at=message.expires_at,
        **values.numbers(message, KEY, problems),
        priority=enums.read(Priority, message, "priority", Priority.NORMAL, problems),
        pins_targets=message.pins_targets,
    )


def weight(message: pb.Organisation, problems: Problems) -> int:
    """Returns the weight of an organisation in queues; 0 is the default of 1."""
    values.number(message.weight, 0, 100, "(0 = the default of 1)", problems.at("weight"))
    return message.weight


def patterns(models: Collection[str], problems: Problems) -> tuple[str, ...]:
    """Parses a key's model patterns. `problems` is at the message that has the field `models`."""
    values.at_most(models, _PATTERNS, problems.at("models"))
    for index, pattern in enumerate(models):
        values.model(pattern, problems.at("models", index))
    return tuple(models)


def _targets(message: pb.Route, problems: Problems, providers: Collection[str]) -> tuple[Target, ...]:
    if not message.targets:
        problems.at("targets").note("a route needs at least one target")
        return ()
    values.at_most(message.targets, _TARGETS, problems.at("targets"))
    parsed = tuple(
        _target(target, problems.at("targets", index), providers) for index, target in enumerate(message.targets)
    )
    first_of: dict[str, int] = {}
    for index, target in enumerate(parsed):
        first = first_of.setdefault(target.id, index)
        if first != index:
            problems.at("targets", index).note(
                f"the same target as targets[{first}]; accepted: each once, with the sum of the weights"
            )
    first_tier = min(target.tier for target in parsed)
    if not any(target.weight for target in parsed if target.tier == first_tier):
        problems.at("targets").note(f"no target of the first tier ({first_tier}) has a weight above 0")
    return parsed


def _target(message: pb.RouteTarget, problems: Problems, providers: Collection[str]) -> Target:
    weight = message.weight if message.HasField("weight") else 1
    values.number(weight, 0, 1_000_000, "", problems.at("weight"))
    values.number(message.tier, 0, 63, "", problems.at("tier"))
    rest = {**values.numbers(message, _TARGET, problems), "paused": message.paused}
    prices = (price(message.price, problems.at("price")),) if message.HasField("price") else ()
    if message.nodes:
        if message.provider or message.model:
            problems.note(f"`nodes` and `{'provider' if message.provider else 'model'}` together; {_ONE_PLACE}")
        values.model(message.nodes, problems.at("nodes"))
        return NodesTarget(message.nodes, weight, message.tier, prices, **rest)
    if not message.provider and not message.model:
        problems.note(f"neither a provider nor nodes; {_ONE_PLACE}")
    elif not message.provider:
        problems.at("provider").note(f"missing next to `model`; {_ONE_PLACE}")
    elif message.provider not in providers:
        shown = values.quoted(message.provider)
        problems.at("provider").note(f"no provider {shown}; {known(providers, message.provider)}")
    if message.provider:
        values.model(message.model, problems.at("model"))
    return ProviderTarget(message.provider, message.model, weight, message.tier, prices, **rest)


def _refuse_providers(message: pb.Route, problems: Problems, reason: str, otherwise: str) -> None:
    for index, target in enumerate(message.targets):
        if target.provider:
            problems.at("targets", index).at("provider").note(
                f"a provider is not an own node, and {reason}; accepted: `nodes`, or {otherwise}"
            )


def _health_path(message: pb.Provider, problems: Problems) -> str:
    values.path(message.health_path, problems)
    if not message.health_path and (message.health_every_seconds or message.health_statuses):
        problems.note("missing; accepted: the path of a call that costs nothing, such as /models")
    return message.health_path


def _health_statuses(message: pb.Provider, problems: Problems) -> tuple[int, ...]:
    values.at_most(message.health_statuses, _STATUSES, problems.at("health_statuses"))
    for index, status in enumerate(message.health_statuses):
        values.number(status, 100, 599, "", problems.at("health_statuses", index))
    return tuple(dict.fromkeys(message.health_statuses))


def _ca_file(path: str, base_url: str, problems: Problems) -> None:
    if not path:
        return
    if not path.startswith("/") or len(path) > 4096 or not path.isprintable():
        problems.note("accepted: the absolute path of a PEM file, as Envoy sees it")
    elif not base_url.startswith("https://"):
        problems.note("accepted only with an https base_url")
