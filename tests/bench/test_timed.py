"""Samples compared with goals, and the groups that take them, on real gateways."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench import changes, failover, start
from bench.control_plane_report import GOALS, LABELS
from bench.errors import UnsettledError
from bench.load import request_bytes
from bench.recorded import RecordedLoad, Request, settled_after
from bench.report import Results, as_json, as_text
from bench.timed import Timed
from tests.fakes.provider_process import ProviderProcess


def requests(*outcomes: tuple[float, int, str]) -> list[Request]:
    return [Request(due, due + 0.01, status, target) for due, status, target in outcomes]


def test_goals_bound_the_worst_sample() -> None:
    samples = [number / 1000 for number in range(1, 101)]
    timed = Timed.of("changes", "x", samples, 0.1)
    assert (timed.p50, timed.p99, timed.worst) == pytest.approx((51, 100, 100))
    assert timed.met
    assert not Timed.of("changes", "x", samples, 0.099).met
    assert not Timed.of("changes", "x", samples, 0.1, requests=100, failed=1).met


def test_settled_is_the_first_answer_after_which_nothing_else_comes() -> None:
    seen = requests((0.9, 200, "old"), (1.1, 200, "new"), (1.2, 200, "old"), (1.3, 200, "new"), (1.4, 200, "new"))
    assert settled_after(seen, 1.0, "new") == pytest.approx(0.31)
    assert settled_after(requests((1.5, 401, "")), 1.0, 401) == pytest.approx(0.51)


def test_what_never_settles_is_said() -> None:
    with pytest.raises(UnsettledError, match="no request ended with new"):
        settled_after(requests((1.1, 200, "new"), (1.2, 200, "old")), 1.0, "new")


@pytest.mark.processes
def test_every_request_of_a_recorded_load_is_written_down(tmp_path: Path) -> None:
    with ProviderProcess("a") as provider:
        provider.behave("status:429", times=3)
        request = request_bytes("m", 1024, "key", stream=False)
        load = RecordedLoad(tmp_path, "x", provider.port, request, rate=100, connections=5)
        with load:
            assert provider.wait_for("requests", 30)
        counters = provider.counters()
    assert len(load.requests) == counters["requests"] >= 30
    assert counters["connections"] == 5  # the connections take turns
    assert load.failed == 3
    # Those that a busy machine sends together may arrive in another order.
    assert Counter(each.status for each in load.requests) == {429: 3, 200: len(load.requests) - 3}
    assert all(each.due < each.ended for each in load.requests)
    assert {each.target for each in load.requests} == {""}


@pytest.mark.processes
def test_unanswered_requests_are_failures(tmp_path: Path) -> None:
    with ProviderProcess("a") as provider:
        provider.behave("reset")
        request = request_bytes("m", 1024, "key", stream=False)
        load = RecordedLoad(tmp_path, "x", provider.port, request, rate=100, connections=2)
        with load:
            assert provider.wait_for("requests", 3)
    assert load.failed >= 3
    assert {each.status for each in load.requests} == {0}


def test_the_report_shows_what_was_missed_and_nothing_that_was_not_run() -> None:
    control_plane = dict.fromkeys(LABELS, 21.0) | dict.fromkeys(
        ("endpoints", "pools", "routes", "clients", "flips"), 10
    )
    timed = [Timed.of("changes", "weights", [0.02, 0.3], 0.25, requests=9, failed=2)]
    results = Results({}, [], {}, {}, timed, control_plane)
    text = as_text(results)
    assert "≤ 250 MISSED" in text
    assert "2 of 9" in text
    assert "≤ 20 MISSED" in text
    assert "≤ 250 met" in text
    assert "CPU and throughput" not in text
    assert set(GOALS) <= set(LABELS)
    assert results.errors == 2
    assert as_json(results)["timed"][0]["worst"] == pytest.approx(300)


@pytest.mark.envoy
@pytest.mark.slow
def test_starts_are_timed(tmp_path: Path) -> None:
    timed = start.measure(tmp_path, 1, print)
    assert [each.name.split(":")[0] for each in timed] == ["first start"] * 2 + ["later start"] * 2
    for ready, answered in (timed[:2], timed[2:]):
        assert 0 < ready.worst <= answered.worst


@pytest.mark.envoy
@pytest.mark.slow
def test_changes_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "WATCH_SECONDS", 5.0)  # enough for a busy machine that stands still for a moment
    weights, keys, limits = changes.measure(tmp_path, 1, print)
    assert weights.samples == keys.samples == limits.samples == 1
    assert weights.failed == keys.failed == limits.failed == 0
    assert 0 < weights.p50 < changes.WATCH_SECONDS * 1000
    assert weights.requests > 50


@pytest.mark.envoy
@pytest.mark.slow
def test_failover_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A target that a busy machine keeps from answering for a moment is not the silent one.
    monkeypatch.setattr(failover, "FIRST_BYTE_SECONDS", 4.0)
    killed, silent, busy, broken = failover.measure(tmp_path, 3.0, print)
    assert killed.failed == silent.failed == busy.failed == broken.failed == 0
    assert silent.worst > 0.9 * failover.FIRST_BYTE_SECONDS * 1000
    assert min(each.samples for each in (killed, silent, busy, broken)) > 30
