from __future__ import annotations

import importlib
import inspect
import pkgutil

from node_sidecar import probes
from node_sidecar.preferences.file import KINDS as KINDS_IN_FILE
from node_sidecar.probes.detect import DEFAULT_PORTS, KINDS
from node_sidecar.probes.kind import Kind


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
        if each is not Kind and hasattr(each, "recognise") and each.__module__ == module.__name__
    }
    assert written == set(KINDS.values()), "node_sidecar/probes/detect.py: KINDS"


def test_node_yaml_knows_every_kind() -> None:
    assert set(KINDS) == set(KINDS_IN_FILE)


def test_the_default_ports_are_those_of_the_kinds() -> None:
    assert set(DEFAULT_PORTS) == {8000, 8080, 11434, 30000, 1234, 3000}
