"""Converts LiteLLM's `model_list` to providers, and routes with their targets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trunkline.importing.findings import ImportFindings, Section
from trunkline.importing.litellm_providers import PROVIDER_PREFIXES, WITHOUT_OPENAI, base_url, split_model
from trunkline.importing.numbers import decimal_of, milliseconds, written

_ENVIRON = "os.environ/"
_PER_TOKEN = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
}
_PARAMETERS = "a default for the request's own parameters: the gateway passes requests on as clients wrote them"
_REASONS = {
    **dict.fromkeys(("temperature", "max_tokens", "top_p", "stop", "seed", "extra_body", "thinking"), _PARAMETERS),
    "extra_headers": "headers of the operator's own to a provider; clients' own headers are passed on",
    "organization": "the header OpenAI-Organization; use a credential of a project instead",
    "drop_params": "requests are passed on unchanged; a provider refuses what it does not know",
    "max_retries": "one request tries every target once, and no longer than its time limits allow",
    "mock_response": "for tests of LiteLLM itself",
    "tags": "choosing a deployment by the request's tags: make a route of its own for each",
    "region_name": "choosing by region: make a route of its own for each",
}


class LitellmModels:
    """Collects providers and routes in the notation of trunkline.yaml."""

    def __init__(self, findings: ImportFindings) -> None:
        self._findings = findings
        self.providers: dict[str, dict[str, Any]] = {}
        self.routes: dict[str, dict[str, Any]] = {}
        self._names: dict[tuple[str, str, str], str] = {}

    def add(self, path: str, entry: Any) -> None:
        """Adds one entry of `model_list`."""
        section = Section(path, entry, self._findings)
        name = section.take("model_name")
        parameters = Section(section.at("litellm_params"), section.take("litellm_params"), self._findings)
        model = parameters.take("model")
        if not isinstance(name, str) or not isinstance(model, str) or not name or not model:
            self._findings.unsupported(path, "without `model_name` and `litellm_params.model`")
            return
        if "*" in name:
            self._findings.manual(
                section.at("model_name"),
                "a wildcard: name each model, or let `trunkline providers discover` do it",
            )
            return
        prefix, upstream = split_model(model)
        prefix = str(parameters.take("custom_llm_provider") or prefix)
        if prefix in WITHOUT_OPENAI or prefix not in PROVIDER_PREFIXES:
            self._findings.unsupported(
                parameters.at("model"),
                f"{prefix} has no OpenAI-compatible endpoint; {name} is without it",
            )
            return
        provider = self._provider(parameters, prefix)
        if provider is None:
            return
        target: dict[str, Any] = {"provider": provider, "model": upstream}
        self._share(parameters, target)
        information = Section(section.at("model_info"), section.take("model_info"), self._findings)
        self._price(target, information, parameters)
        self._context(target, information)
        route = self.routes.setdefault(name, {"model": name, "targets": []})
        self._time_limits(parameters, route)
        if target in route["targets"]:
            self._findings.exact(path, f"a duplicate target of {name}: one is enough")
        else:
            route["targets"].append(target)
            self._findings.exact(path, f"route {name}: target {provider}/{upstream}")
        for name_ in ("id", "mode", "base_model", "max_tokens", "max_output_tokens"):
            information.take(name_)  # irrelevant here: the gateway assigns ids, and the endpoint implies the mode
        information.rest({})
        parameters.rest(_REASONS)
        section.rest({})

    def _provider(self, parameters: Section, prefix: str) -> str | None:
        """Returns the name of the deployment's provider, which is added if it is new. None if it cannot be
        reached.
        """
        place = PROVIDER_PREFIXES[prefix]
        bases = [parameters.take(name) for name in ("api_base", "base_url")]
        given = bases[0] or bases[1]
        if isinstance(given, str) and given.startswith(_ENVIRON):
            self._findings.manual(
                parameters.at("api_base"), "a base URL from the environment: write the URL into the provider"
            )
            url = f"https://{place.name}.example.com/v1"
        else:
            url = base_url(prefix, given) if isinstance(given, str) else place.base_url
        if not url:
            self._findings.manual(parameters.path, f"{prefix} needs `api_base`; this target is left out")
            return None
        credential = self._credential(parameters, place.variable, place.name)
        if place.caveat:
            self._findings.approximate(parameters.at("model"), f"{place.name} {place.caveat}")
        parameters.take("api_version")
        key = (place.name, url, credential)
        if key not in self._names:
            name = place.name if place.name not in self.providers else _numbered(place.name, self.providers)
            self._names[key] = name
            self.providers[name] = {"name": name, "base_url": url}
            if credential:
                self.providers[name]["credentials"] = [credential]
        return self._names[key]

    def _credential(self, parameters: Section, variable: str, provider: str) -> str:
        """Returns `env:NAME`, or an empty string for none. A key in the file is never copied."""
        key = parameters.take("api_key")
        if isinstance(key, str) and key.startswith(_ENVIRON):
            return f"env:{key.removeprefix(_ENVIRON)}"
        if isinstance(key, str) and key and key.lower() not in {"none", "fake-key", "sk-1234", "anything"}:
            name = variable or f"{re.sub(r'[^A-Z0-9]', '_', provider.upper())}_API_KEY"
            self._findings.manual(
                parameters.at("api_key"), f"is written in the file: put it into the environment variable {name}"
            )
            return f"env:{name}"
        return f"env:{variable}" if variable and key is None else ""

    def _share(self, parameters: Section, target: dict[str, Any]) -> None:
        weight = parameters.take("weight")
        if isinstance(weight, int) and weight != 1:
            target["weight"] = weight
        order = parameters.take("order")
        if isinstance(order, int) and order > 1:
            target["tier"] = order - 1
        for name, metric in (("rpm", "requests"), ("tpm", "tokens")):
            if isinstance(amount := parameters.take(name), int) and amount > 0:
                self._quota(str(target["provider"]), metric, amount)
                self._findings.approximate(
                    parameters.at(name),
                    f"a quota of {target['provider']}'s credential, for all that it serves",
                )
        if parameters.take("max_parallel_requests") is not None:
            self._findings.manual(
                parameters.at("max_parallel_requests"), "limit the route: `limits: [concurrency=N]`"
            )

    def _quota(self, provider: str, metric: str, amount: int) -> None:
        quotas = self.providers[provider].setdefault("quota", [])
        quota = next((each for each in quotas if each["metric"] == metric), None)
        if quota is None:
            quotas.append({"metric": metric, "per": "60s", "amount": amount})
        else:
            quota["amount"] += amount

    def _price(self, target: dict[str, Any], *sections: Section) -> None:
        price: dict[str, Any] = {}
        for section in sections:
            for theirs, ours in _PER_TOKEN.items():
                cost = decimal_of(section.take(theirs))
                if cost is not None and ours not in price:
                    price[ours] = written(cost * 1_000_000)
            cost = decimal_of(section.take("input_cost_per_request"))
            if cost is not None:
                price["request"] = written(cost)
        if price:
            target["price"] = {"input": 0, "output": 0, **price}

    def _context(self, target: dict[str, Any], information: Section) -> None:
        most = information.take("max_input_tokens")
        if isinstance(most, int) and most > 0:
            target["context"] = most
            self._findings.approximate(
                information.at("max_input_tokens"), "`context` counts the prompt and its answer together"
            )

    def _time_limits(self, parameters: Section, route: dict[str, Any]) -> None:
        """The first deployment's limits apply to the route."""
        for name in ("stream_timeout", "timeout"):
            if limit := milliseconds(parameters.take(name)):
                route.setdefault("timeouts", {}).setdefault("first_byte", limit)
                self._findings.approximate(
                    parameters.at(name),
                    "`timeouts.first_byte` of the route: a stream lasts as long as it flows",
                )


def _numbered(name: str, taken: Mapping[str, object]) -> str:
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
