from __future__ import annotations

from pathlib import Path

import pytest

from bench.tunnel import Plan, as_text, measure

pytestmark = pytest.mark.processes


async def test_a_short_run(tmp_path: Path) -> None:
    costs = await measure([Plan(2, 20, 1_000), Plan(1, 200, 0)], tmp_path)
    assert [cost.p50 is not None for cost in costs] == [True, False]
    for cost in costs:
        assert cost.cpu > 0
        assert cost.rate > 0
    assert len(as_text(costs).splitlines()) == 3
