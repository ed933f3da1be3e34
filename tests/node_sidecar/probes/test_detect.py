from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

from node_sidecar import probes
from node_sidecar.preferences.file import KINDS as KINDS_IN_FILE
from node_sidecar.probes.detect import DEFAULT_PORTS, KINDS
from node_sidecar.probes.kind import ServerKind


def test_every_kind_is_probed() -> None:
    """A module with a kind that `detect` does not know would never be used."""
    modules = [
        importlib.import_module(each.name)
        for each in pkgutil.iter_modules(probes.__path__, "node_sidecar.probes.")
    ]
    written = {
        each
        for module in modules
        for _, each in inspect.getmembers(module, inspect.isclass)
        if each is not ServerKind and hasattr(each, "recognise") and each.__module__ == module.__name__
    }
    assert written == set(KINDS.values()), "node_sidecar/probes/detect.py: KINDS"


def test_node_yaml_knows_every_kind() -> None:
    assert set(KINDS) == set(KINDS_IN_FILE)


def _documented(column: str) -> dict[str, list[str]]:
    """The rows of the table in docs/node.md that has such a column, by the kind's name."""
    guide = (Path(__file__).parents[3] / "docs/node.md").read_text()
    table = next(each for each in guide.split("\n\n") if each.startswith("| server |") and f" {column} |" in each)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].lower().replace(" ", "-").replace("others", "openai"): row for row in rows}


def test_the_owners_guide_has_every_kind() -> None:
    assert _documented("assumed otherwise").keys() == KINDS.keys()
    ports = {kind: int(row[1] or 0) for kind, row in _documented("default port").items()}
    assert ports == {kind.name: kind.default_port for kind in KINDS.values()}


def test_only_default_ports_are_looked_at() -> None:
    assert 0 not in DEFAULT_PORTS
