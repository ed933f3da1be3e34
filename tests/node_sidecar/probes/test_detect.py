from __future__ import annotations

from node_sidecar.preferences.file import KINDS as KINDS_IN_FILE
from node_sidecar.probes.detect import DEFAULT_PORTS, KINDS


def test_node_yaml_knows_every_kind() -> None:
    assert set(KINDS) == set(KINDS_IN_FILE)


def test_the_default_ports_are_those_of_the_kinds() -> None:
    assert set(DEFAULT_PORTS) == {8000, 8080, 11434, 30000, 1234, 3000}
