"""The output of `trunkline-node status`, at the widths of terminals."""

from __future__ import annotations

from typing import Any

import pytest

from node_sidecar import status

URL = "http://a-local-server-with-a-long-name.internal.example.org:8000"
MODEL = "an-organisation/a-model-with-a-name-that-is-longer-than-a-line-of-a-terminal-has-columns-Instruct-FP8"


def _found(**more: Any) -> dict[str, Any]:
    model = {
        "model": MODEL, "healthy": True, "context_length": 131072, "capabilities": ["chat", "tools"],
        "input_price": 200_000, "output_price": 600_000,
    }  # fmt: skip
    server = {"url": URL, "kind": "vllm", "healthy": False, "reason": "/health answers 500 " * 5}
    words = ("node", "name", "gateway", "reports", "serves", "certificate_until")
    return dict.fromkeys(words, "x") | {
        "reason": "", "problem": "", "connections": 4, "in_flight": 1, "queued": 0, "concurrency": 256,
        "concurrency_source": f"vllm at {URL} does not report it, 256 assumed", "approved": True,
        "drained_by_operator": False, "draining": False, "servers": [server], "models": [model], "gpus": [],
        "idle": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_row_is_wider_than_the_terminal(width: int) -> None:
    _, _, tables = status.table(_found(), width).partition("\n\n")
    assert max(map(len, tables.splitlines())) <= width
    assert "HEALTHY" in tables


def test_nothing_is_cut_without_a_terminal() -> None:
    shown = status.table(_found())
    assert MODEL in shown
    assert "…" not in shown


def test_where_the_number_of_requests_at_once_comes_from() -> None:
    assert f"concurrency   256: vllm at {URL} does not report it, 256 assumed" in status.table(_found())
    assert "concurrency   no limit: set by the owner" in status.table(
        _found(concurrency=0, concurrency_source="set by the owner")
    )
