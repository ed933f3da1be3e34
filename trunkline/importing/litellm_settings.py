"""Imports LiteLLM's `litellm_settings`, `router_settings` and `general_settings`."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from trunkline.importing.findings import ImportFindings, Section
from trunkline.importing.numbers import decimal_of, milliseconds, written

_ENVIRON = "os.environ/"
_STRATEGIES = {
    "simple-shuffle": ("weighted", True),
    "least-busy": ("weighted", False),
    "usage-based-routing": ("weighted", False),
    "usage-based-routing-v2": ("weighted", False),
    "latency-based-routing": ("fastest", False),
    "cost-based-routing": ("cheapest", False),
}
_LOGS = "metrics are at /metrics, usage at `trunkline usage export`; prompts are never logged"
_REASONS = {
    **dict.fromkeys(("success_callback", "failure_callback", "callbacks", "service_callbacks"), _LOGS),
    **dict.fromkeys(("turn_off_message_logging", "redact_user_api_key_info"), _LOGS),
    "store_prompts_in_spend_logs": _LOGS,
    "drop_params": "requests are passed on unchanged; a provider refuses what it does not know",
    "modify_params": "requests are passed on unchanged",
    "content_policy_fallbacks": "a refusal because of content is a final answer: no other provider is tried",
    "guardrails": "put them in front of the gateway, or behind it as a provider",
    "mcp_servers": "the gateway passes tools on and runs none",
    "mcp_aliases": "the gateway passes tools on and runs none",
    "enable_tag_filtering": "choosing a deployment by the request's tags: make a route of its own for each",
    "alerting": "limits take `alerts`, which go to a webhook; see docs/limits.md",
    "enable_jwt_auth": "see docs/accounts.md",
    "custom_auth": "keys of the gateway's own",
}
#: Settings without a counterpart: the gateway does this anyway, or has no use for it.
_NEEDLESS = frozenset(
    (
        *("set_verbose", "json_logs", "debug_level", "force_ipv4", "telemetry", "infer_model_from_keys"),
        *("background_health_checks", "health_check_interval", "enable_pre_call_checks"),
        *("disable_spend_logs", "disable_master_key_return", "proxy_batch_write_at", "store_model_in_db"),
        *("database_connection_pool_limit", "database_connection_timeout", "allow_requests_on_db_unavailable"),
        *("redis_host", "redis_port", "redis_password", "redis_url"),
        *("disable_end_user_cost_tracking", "disable_end_user_cost_tracking_prometheus_only"),
    )
)
#: Settings for LiteLLM's retries and cooldowns.
_RESILIENCE = {
    **dict.fromkeys(("num_retries", "max_fallbacks"), "one request tries every target once, in failover order"),
    **dict.fromkeys(
        (
            *("allowed_fails", "allowed_fails_policy", "cooldown_time", "disable_cooldowns"),
            *("retry_policy", "retry_after"),
        ),
        "built in: a failing target is skipped, rests as long as it says, and returns gradually",
    ),
}
#: How long answers are cached if the file has no `ttl`; the import's own choice.
_CACHE_SECONDS = 600
_DURATION = re.compile(r"(\d+)(s|m|h|d|mo)")


class LitellmSettings:
    """Applies settings to `document`, which already has the routes."""

    def __init__(self, document: dict[str, Any], organisation: str, findings: ImportFindings) -> None:
        self._findings = findings
        self._document = document
        self._routes: dict[str, dict[str, Any]] = {each["model"]: each for each in document["routes"]}
        self._organisation: dict[str, Any] = {"name": organisation}
        self._aliased: dict[tuple[str, str], Any] = {}
        document["organisations"] = [self._organisation]

    def apply(self, sections: dict[str, Any]) -> None:
        """Applies `litellm_settings`, `router_settings` and `general_settings` of the file."""
        for name in ("router_settings", "litellm_settings", "general_settings"):
            section = Section(name, sections.pop(name, None), self._findings)
            self._routing(section)
            self._fallbacks(section)
            self._cache(section)
            self._budget(section)
            self._keys(section)
            self._built_in(section)
            section.rest(_REASONS)
        self._aliases()

    def _built_in(self, section: Section) -> None:
        for name in section.names():
            if name in _NEEDLESS:
                self._findings.exact(section.at(name), "needs no setting here")
            elif name in _RESILIENCE:
                self._findings.approximate(section.at(name), _RESILIENCE[name])
            else:
                continue
            section.take(name)

    def _routing(self, section: Section) -> None:
        strategy = section.take("routing_strategy")
        if strategy is not None:
            ours, is_same = _STRATEGIES.get(str(strategy), ("", False))
            if not ours:
                self._findings.unsupported(
                    section.at("routing_strategy"), "choose one of the strategies in docs/routing.md"
                )
            else:
                if ours != "weighted":
                    for route in self._routes.values():
                        route["strategy"] = ours
                report = self._findings.exact if is_same else self._findings.approximate
                report(section.at("routing_strategy"), f"`strategy: {ours}` of every route")
        section.take("routing_strategy_args")
        aliases = section.take("model_group_alias")
        if isinstance(aliases, dict):
            path = section.at("model_group_alias")
            self._aliased |= {(path, str(alias)): model for alias, model in aliases.items()}
        for name in ("request_timeout", "timeout", "stream_timeout"):
            if limit := milliseconds(section.take(name)):
                for route in self._routes.values():
                    route.setdefault("timeouts", {}).setdefault("first_byte", limit)
                self._findings.approximate(
                    section.at(name),
                    "`timeouts.first_byte` of every route: a stream lasts as long as it flows",
                )

    def _fallbacks(self, section: Section) -> None:
        for name in ("fallbacks", "context_window_fallbacks"):
            for model, others in _pairs(section.take(name)):
                path = f"{section.at(name)}.{model}"
                if model not in self._routes:
                    self._findings.unsupported(path, "there is no such route")
                    continue
                missing = self._back_up(self._routes[model], others)
                if missing:
                    self._findings.unsupported(path, f"there is no route {', '.join(missing)}")
                elif name == "fallbacks":
                    self._findings.exact(path, "the targets of the fallbacks are further tiers of the route")
                else:
                    self._findings.approximate(
                        path,
                        "further tiers of the route: they take over for every failure, and take what does not fit "
                        "into the `context` of those before them",
                    )
        defaults = section.take("default_fallbacks")
        if isinstance(defaults, list):
            for route in list(self._routes.values()):
                self._back_up(route, [each for each in defaults if each != route["model"]])
            self._findings.exact(section.at("default_fallbacks"), "further tiers of every route")

    def _back_up(self, route: dict[str, Any], others: list[Any]) -> list[str]:
        """Adds the targets of `others` after those of the route. Returns the routes that do not exist."""
        missing = [str(each) for each in others if each not in self._routes]
        for other in others:
            if other not in self._routes or other == route["model"]:
                continue
            first = 1 + max(target.get("tier", 0) for target in route["targets"])
            there = {(each["provider"], each["model"]) for each in route["targets"]}
            for target in self._routes[other]["targets"]:
                if (target["provider"], target["model"]) not in there:
                    route["targets"].append({**copy.deepcopy(target), "tier": first + target.get("tier", 0)})
        return missing

    def _cache(self, section: Section) -> None:
        wanted = section.take("cache")
        if "cache_params" not in section and wanted is None:
            return
        parameters = Section(section.at("cache_params"), section.take("cache_params"), self._findings)
        kind = str(parameters.take("type") or "local")
        if kind not in {"local", "redis"}:
            self._findings.unsupported(parameters.at("type"), f"{kind}: answers are kept in memory or in Redis")
        if not wanted:
            parameters.rest(dict.fromkeys(parameters.names(), "the cache is off"))
            return
        ttl = int(decimal_of(parameters.take("ttl")) or _CACHE_SECONDS)
        for route in self._routes.values():
            route["cache"] = {"ttl": f"{ttl}s"}
        self._findings.approximate(
            section.at("cache"), "answers are cached per organisation, and never shared with another one"
        )
        host = parameters.take("host")
        if kind == "redis" and isinstance(host, str):
            port = parameters.take("port") or 6379
            if host.startswith(_ENVIRON) or str(port).startswith(_ENVIRON):
                self._findings.manual(parameters.at("host"), "write the address into `cache: {store: redis://…}`")
            else:
                scheme = "rediss" if parameters.take("ssl") else "redis"
                self._document["cache"] = {"store": f"{scheme}://{host}:{port}"}
            if parameters.take("password") is not None:
                self._findings.manual(parameters.at("password"), "see docs/cache.md for a store with a password")
        for name in ("namespace", "supported_call_types", "mode", "max_connections", "ssl"):
            if parameters.take(name) is not None:
                self._findings.approximate(parameters.at(name), "every route has its own `cache`")
        parameters.rest({})

    def _budget(self, section: Section) -> None:
        amount, duration = decimal_of(section.take("max_budget")), section.take("budget_duration")
        if amount:
            window = _window(str(duration or "30d"))
            if window is None:
                self._findings.manual(section.at("budget_duration"), "one of the windows of docs/limits.md")
                return
            self._organisation.setdefault("limits", []).append(
                {"metric": "cost_usd", **window, "amount": written(amount)}
            )
            self._findings.exact(
                section.at("max_budget"), "a limit of the organisation, exact even for simultaneous requests"
            )
        for name in ("max_parallel_requests", "global_max_parallel_requests"):
            most = section.take(name)
            if isinstance(most, int) and most > 0:
                self._organisation.setdefault("limits", []).append({"metric": "concurrency", "amount": most})
                self._findings.approximate(section.at(name), "a limit of the organisation's requests at one time")
        for name in ("max_internal_user_budget", "internal_user_budget_duration", "max_end_user_budget"):
            if section.take(name) is not None:
                self._findings.manual(section.at(name), "a limit with `each: user`, or a key for each person")

    def _keys(self, section: Section) -> None:
        master = section.take("master_key")
        if isinstance(master, str):
            variable = master.removeprefix(_ENVIRON) if master.startswith(_ENVIRON) else "LITELLM_MASTER_KEY"
            self._organisation["keys"] = [{"name": "litellm-master", "value": f"env:{variable}"}]
            self._findings.approximate(
                section.at("master_key"),
                f"a key only for models, from the variable {variable}; the admin token is separate",
            )
        if section.take("database_url") is not None:
            self._findings.manual(
                section.at("database_url"),
                "its keys, teams and budgets: make organisations and keys; `keys create --value` takes old ones",
            )
        for name in ("key_management_system", "key_management_settings"):
            if section.take(name) is not None:
                self._findings.manual(section.at(name), "secrets are `env:NAME` or `file:PATH`")
        model = section.take("completion_model")
        if isinstance(model, str):
            self._document.setdefault("defaults", {})["chat/completions"] = model
            self._findings.exact(section.at("completion_model"), "`defaults` for requests that name no model")

    def _aliases(self) -> None:
        """Runs last, so that an alias gets the fallbacks of its model."""
        for (path, alias), model in self._aliased.items():
            wanted = model.get("model") if isinstance(model, dict) else model
            if wanted in self._routes:
                self._document["routes"].append({**copy.deepcopy(self._routes[wanted]), "model": alias})
                self._findings.exact(f"{path}.{alias}", f"a route like {wanted}")
            else:
                self._findings.unsupported(f"{path}.{alias}", "there is no such route")


def _pairs(value: Any) -> Iterator[tuple[str, list[Any]]]:
    """Reads a list of mappings from a model to its fallbacks."""
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            for model, others in each.items():
                yield str(model), others if isinstance(others, list) else [others]


def _window(duration: str) -> dict[str, str] | None:
    found = _DURATION.fullmatch(duration.strip())
    if found is None:
        return None
    if found[2] == "mo":
        return {"per": "month"} if found[1] == "1" else {"per": f"{int(found[1]) * 30}d"}
    return {"per": duration.strip()}
