"""The admin API's Document as a trunkline.yaml that `apply` takes back."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import yaml
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import units
from trunkline.config.document import CALENDARS, METRICS, PRIVACIES, STRATEGIES


class _Dumper(yaml.SafeDumper):
    """Writes Decimals as the numbers they are."""


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    text = f"{value:f}"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


_Dumper.add_representer(Decimal, _decimal)


def text(document: admin.Document) -> str:
    """The file. Secrets are not in it: where they are left out, `apply` keeps the stored ones."""
    sections = (
        _section("providers", [(_provider(each), _credentials(each)) for each in document.providers]),
        _section("routes", [(_route(each), "") for each in document.routes]),
        _section("organisations", [(_organisation(each), _keys(each)) for each in document.organisations]),
    )
    return "version: 1\n" + "".join(sections)


def route_text(stored: admin.Route) -> str:
    """One route, as it stands in the file."""
    return _section("routes", [(_route(stored), "")])


def _route(stored: admin.Route) -> dict[str, Any]:
    """One entry of `routes`, defaults left out."""
    timeouts = {
        "first_byte": stored.timeouts.first_byte_ms,
        "idle": stored.timeouts.idle_ms,
        "connect": stored.timeouts.connect_ms,
    }
    return _without_defaults(
        {
            "model": stored.model,
            "organisation": stored.organisation,
            "strategy": name_of(STRATEGIES, stored.strategy, "weighted"),
            "targets": [_target(each) for each in stored.targets],
            "timeouts": {name: units.duration(ms) for name, ms in timeouts.items() if ms},
            "cache": {"ttl": units.duration(stored.cache_ttl_seconds * 1000)} if stored.cache_ttl_seconds else {},
            "privacy": name_of(PRIVACIES, stored.privacy, "any"),
            "limits": limits(stored.limits),
            "reserved_output_tokens": stored.reserved_output_tokens,
        }
    )


def name_of(names: Mapping[str, int], value: int, default: str) -> str:
    """The YAML word for an enum value; `default` for UNSPECIFIED."""
    return next((name for name, each in names.items() if each == value), default)


def window(stored: policy.Limit) -> str:
    """As `per` has it; empty for none."""
    if stored.calendar:
        return name_of(CALENDARS, stored.calendar, "")
    return units.duration(stored.per_seconds * 1000) if stored.per_seconds else ""


def limits(stored: Sequence[policy.Limit]) -> list[dict[str, Any]]:
    return [
        _without_defaults(
            {
                "metric": name_of(METRICS, each.metric, "unknown"),
                "per": window(each),
                "time_zone": each.time_zone,
                "model": each.model,
                "amount": units.usd(each.amount)
                if each.metric == policy.METRIC_COST_USD
                else Decimal(each.amount),
            }
        )
        for each in stored
    ]


def _provider(stored: admin.Provider) -> dict[str, Any]:
    usage = {"stream_usage": stored.stream_usage} if stored.HasField("stream_usage") else {}
    return {
        **_without_defaults({"name": stored.name, "dialect": stored.dialect, "base_url": stored.base_url}),
        **_without_defaults({"ca_file": stored.ca_file}),
        **usage,
    }


def _credentials(stored: admin.Provider) -> str:
    if not stored.credential_count:
        return ""
    return f"credentials: {stored.credential_count} stored; left out here, which keeps them"


def _target(stored: admin.RouteTarget) -> dict[str, Any]:
    place = {"nodes": stored.nodes} if stored.nodes else {"provider": stored.provider, "model": stored.model}
    weight = {"weight": stored.weight} if stored.HasField("weight") else {}
    priced = {"price": _price(stored.price)} if stored.HasField("price") else {}
    return {**place, **weight, **_without_defaults({"tier": stored.tier}), **priced}


def _price(stored: policy.Price) -> dict[str, Any]:
    """The newest; with its beginning, so that one to come is not taken for one from now on."""
    price: dict[str, Any] = {"input": units.usd(stored.input), "output": units.usd(stored.output)}
    if stored.HasField("cached_input"):
        price["cached_input"] = units.usd(stored.cached_input)
    if stored.request:
        price["request"] = units.usd(stored.request)
    if stored.valid_from:
        price["valid_from"] = datetime.datetime.fromtimestamp(stored.valid_from, datetime.UTC)
    return price


def _organisation(stored: admin.OrganisationDocument) -> dict[str, Any]:
    keys = [
        _without_defaults(
            {
                "name": each.key.name,
                "models": [] if list(each.key.models) == ["*"] else list(each.key.models),
                "limits": limits(each.key.limits),
                "expires_at": datetime.datetime.fromtimestamp(each.key.expires_at, datetime.UTC)
                if each.key.expires_at
                else None,
            }
        )
        for each in stored.keys
    ]
    return _without_defaults(
        {"name": stored.organisation.name, "limits": limits(stored.organisation.limits), "keys": keys}
    )


def _keys(stored: admin.OrganisationDocument) -> str:
    return "keys: their values are left out here, which keeps them" if stored.keys else ""


def _without_defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value or isinstance(value, Decimal)}


def _section(name: str, items: Sequence[tuple[Mapping[str, Any], str]]) -> str:
    """One top-level list, each entry followed by its comment."""
    if not items:
        return f"{name}: []\n"
    lines = [f"{name}:"]
    for item, comment in items:
        dumped = yaml.dump([dict(item)], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        lines += [f"  {line}" for line in dumped.splitlines()]
        if comment:
            lines.append(f"    # {comment}")
    return "\n".join(lines) + "\n"
