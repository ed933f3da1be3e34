from __future__ import annotations

from pathlib import Path

import pytest

from bench import through_node
from bench.through_node import Ages

pytestmark = pytest.mark.envoy


def test_it_measures_both_ways(tmp_path: Path) -> None:
    plan = Ages(2, 20, 1_000)
    outcomes, ages = through_node.measure(tmp_path, 1, 0.3, lambda _: None, [plan])
    assert len(outcomes) == len(through_node.scenarios(0.3))
    for outcome in outcomes:
        provider, node = (outcome.by_subject[way] for way in through_node.WAYS)
        assert (provider.errors, node.errors) == (0, 0)
        assert "sidecar" not in provider.cpu
        assert node.cpu["sidecar"] > 0
    assert [each.samples for each in ages] == [40, 40]
