"""Converts the admin API's Document to a trunkline.yaml that `apply` accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import yaml
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.config import objects
from trunkline.text import visible


class _Dumper(yaml.SafeDumper):
    """Writes Decimals as numbers."""


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    text = f"{value:f}"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Puts text with invisible characters into double quotes, where YAML has the escapes that `visible` writes."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if visible(value) == value else '"')


_Dumper.add_representer(Decimal, _decimal)
_Dumper.add_representer(str, _text)


def text(document: admin.Document) -> str:
    """Returns the file. It has no secrets: where they are left out, `apply` keeps the stored ones."""
    sections = (
        _section(
            "providers", [(objects.PROVIDER.written(each), _of_provider(each)) for each in document.providers]
        ),
        _section("routes", [(objects.ROUTE.written(each), _managed_by(each)) for each in document.routes]),
        _section("organisations", [(_organisation(each), _of_keys(each)) for each in document.organisations]),
    )
    return "version: 1\n" + "".join(sections) + gateway_text(document.gateway)


def gateway(stored: admin.Gateway) -> dict[str, Any]:
    """Returns the file's sections about the gateway as a whole, without empty ones."""
    cors, defaults = objects.CORS.written(stored.cors), {each.endpoint: each.model for each in stored.defaults}
    cache = objects.SHARED_CACHE.written(stored.cache)
    if cache.get("store") == "memory":
        del cache["store"]
    alerts = objects.ALERTING.written(stored.alerts)
    sections = {
        "cors": cors,
        "defaults": defaults,
        "cache": cache,
        "alerts": alerts,
        "accounts": objects.ACCOUNTS.written(stored.accounts),
        "oidc": list(map(objects.IDENTITY_PROVIDER.written, stored.oidc)),
        "jwt": list(map(objects.JWT_ISSUER.written, stored.jwt)),
    }
    return {name: section for name, section in sections.items() if section}


def gateway_text(stored: admin.Gateway) -> str:
    """Returns the same sections as text, followed by their managers; empty if there are none."""
    sections = gateway(stored)
    if not sections:
        return ""
    dumped = yaml.dump(sections, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    managers: dict[str, list[str]] = {}
    for each in stored.managers:
        managers.setdefault(each.managed_by, []).append(each.section)
    comments = [f"{', '.join(names)}: managed by {manager}" for manager, names in managers.items()]
    if stored.alerts.signed:
        comments.insert(0, "alerts.secret: stored; left out here, which keeps it")
    if stored.cache.has_password:
        comments.insert(0, "cache.password: stored; left out here, which keeps it")
    if secrets := ", ".join(each.name for each in stored.oidc if each.has_secret):
        comments.insert(0, f"client_secret of {secrets}: stored; left out here, which keeps it")
    return visible(dumped + "".join(f"# {visible(comment)}\n" for comment in comments), lines=True)


def inline(value: Any) -> str:
    """Returns a value in the file's notation, on one line."""
    dumped = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**6
    )
    return visible(dumped.removesuffix("...\n").rstrip("\n"))


def route_text(stored: admin.Route) -> str:
    """Returns a route in the file's notation."""
    return _section("routes", [(objects.ROUTE.written(stored), _managed_by(stored))])


def route_values(stored: admin.Route) -> Any:
    """Returns the fields of a route as JSON values."""
    return yaml.safe_load(yaml.dump(objects.ROUTE.written(stored), Dumper=_Dumper, allow_unicode=True))


def limits(stored: Sequence[policy.Limit]) -> list[dict[str, Any]]:
    """Writes limits as they stand in trunkline.yaml, in its units."""
    return [objects.LIMIT.written(each) for each in stored]


def _managed_by(
    stored: admin.Provider | admin.Route | admin.Organisation | admin.Key | admin.Gateway,
) -> list[str]:
    return [f"managed by {stored.managed_by}"] if stored.managed_by else []


def _of_provider(stored: admin.Provider) -> list[str]:
    kept = f"credentials: {stored.credential_count} stored; left out here, which keeps them"
    return [*([kept] if stored.credential_count else []), *_managed_by(stored)]


def _organisation(stored: admin.OrganisationDocument) -> dict[str, Any]:
    keys = [objects.KEY.written(each.key) for each in stored.keys]
    return {**objects.ORGANISATION.written(stored.organisation), **({"keys": keys} if keys else {})}


def _of_keys(stored: admin.OrganisationDocument) -> list[str]:
    kept = ["keys: their values are left out here, which keeps them"] if stored.keys else []
    keys = [f"key {each.key.name}: {comment}" for each in stored.keys for comment in _managed_by(each.key)]
    return [*kept, *_managed_by(stored.organisation), *keys]


def _section(name: str, items: Sequence[tuple[Mapping[str, Any], Sequence[str]]]) -> str:
    """Writes one top-level list, each entry followed by its comments."""
    if not items:
        return f"{name}: []\n"
    lines = [f"{name}:"]
    for item, comments in items:
        dumped = yaml.dump([dict(item)], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        lines += [f"  {line}" for line in visible(dumped, lines=True).rstrip("\n").split("\n")]
        lines += [f"    # {visible(each)}" for each in comments]
    return "\n".join(lines) + "\n"
