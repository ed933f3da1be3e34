"""Formats a snapshot as the text of a golden file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.golden import case, likeness
from tests.golden.case import Result
from tests.golden.readable import Reader
from xds_server.protocol import snapshot as types

_HEAD = "# Made by `make golden` from {}; do not edit.\n"
#: The case with only the resources that every Envoy gets.
EMPTY = "empty"
_SECTIONS = {
    types.SECRET: "secrets",
    types.CLUSTER: "clusters",
    types.ENDPOINT: "endpoints",
    types.LISTENER: "listeners",
    types.ROUTE: "routes",
    types.POLICY_ORGANISATION: "policy of organisations",
    types.POLICY_KEY: "policy of keys",
    types.POLICY_JWT_ISSUER: "policy of token issuers",
    types.POLICY_ROUTE: "policy of routes",
}

Sections = dict[str, dict[str, Any]]


def golden(source: Path) -> Path:
    """Returns the path of a case's result."""
    return source.with_suffix(".envoy.yaml")


def empty() -> Sections:
    """Returns the resources that every Envoy gets, whatever is configured."""
    return sections(case.run(case.read(case.DIRECTORY / f"{EMPTY}.yaml")))


def orphans() -> list[Path]:
    """Returns results without a case."""
    kept = {golden(source) for source in case.cases()}
    return sorted(set(case.DIRECTORY.glob("*.envoy.yaml")) - kept)


def rendered(source: Path, empty: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the case's golden file. A resource that is similar to one of the case `empty`, or to an earlier one
    of its section, is given by its differences; resources equal to those in `empty` are only named.
    """
    found = sections(case.run(case.read(source)))
    shown: dict[str, Any] = {}
    same: list[str] = []
    for section, resources in found.items():
        models = {f"{EMPTY}: {name}": each for name, each in empty.get(section, {}).items()}
        models = models if source.stem != EMPTY else {}
        written = shown[section] = {}
        for name, each in resources.items():
            if models.get(f"{EMPTY}: {name}") == each:
                same.append(f"{section}: {name}")
            else:
                written[name] = likeness.briefly(each, models)
            models[name] = each
    text = yaml.dump(
        ({f"as in {EMPTY}": same} if same else {}) | {section: each for section, each in shown.items() if each},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
    )
    return _HEAD.format(source.name) + text


def sections(result: Result) -> Sections:
    """Returns section → resource's name → its fields, in a stable order."""
    found: Sections = {}
    reader = Reader(result.names)
    for url in (*_SECTIONS, *(url for url in result.snapshot.resources if url not in _SECTIONS)):
        resources = {
            reader.text(name): reader.resource(each) for name, each in result.snapshot.of_type(url).items()
        }
        found[_SECTIONS.get(url, url)] = dict(sorted(resources.items()))
    return found


class _Dumper(yaml.SafeDumper):
    """Writes long texts as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _string)
