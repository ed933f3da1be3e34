"""One ledger in this process: expiry, shipping, and the records that are kept while no control plane
accepts them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator.ledger.collecting import Collector
from tests.translator.ledger.edge import LIMITS, prices, reserve, settings, used
from tests.translator.ledger.test_prices import FULL
from tests.translator.ledger.writing import EnvoyLog, request_line, reservation
from tests.waiting import until
from translator.ledger import outbox, quarantine
from translator.ledger.disk import DiskState
from translator.ledger.ledger import Ledger
from translator.ledger.prices import PriceBook
from translator.ledger.state import LedgerSnapshot
from translator.limits import Limiter
from translator.metrics import Metrics


def new_limiter() -> Limiter:
    return Limiter(lambda *_: LIMITS)


@asynccontextmanager
async def running(
    directory: Path, limiter: Limiter, book: PriceBook | None = None, **options: object
) -> AsyncIterator[Ledger]:
    ledger = Ledger(settings(directory, **options), limiter, book or prices(), structlog.get_logger())
    task = asyncio.create_task(ledger.run())
    try:
        yield ledger
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await ledger.close()


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    collector = Collector(tmp_path / "control.sock")
    await collector.start()
    yield collector
    await collector.stop()


@pytest.fixture
def log(tmp_path: Path) -> EnvoyLog:
    (tmp_path / "ledger").mkdir()
    return EnvoyLog(tmp_path / "ledger" / "access.log")


@pytest.mark.slow
async def test_a_request_is_settled_and_shipped(tmp_path: Path, log: EnvoyLog, collector: Collector) -> None:
    limiter = new_limiter()
    async with running(tmp_path, limiter, control_token="secret") as ledger:
        ledger.reserved(reserve(limiter, "a"))
        assert used(limiter) == [1, 100, 500_000, 1]
        log.write(request_line("a", attempts=3, failed="other/gpt=503 x/%23b#2=0") + b"rubbish\n")
        await collector.until({"a"})
        assert used(limiter) == [1, 15, 60_000, 0]
        await until(lambda: ledger.status()["records_pending"] == 0)
    (record,) = collector.records["a"]
    failed = record.failed_attempts
    assert [(each.target_id, each.credential_index, each.status, each.reason) for each in failed] == [
        ("other/gpt", 0, 503, "refused"),
        ("x/#b", 1, 0, "no answer"),
    ]
    assert (record.attempts, record.cost_nano_usd, record.cost_micro_usd) == (3, 60_000, 60)
    assert record.price_version == 1
    assert set(collector.tokens) == {"Bearer secret"}
    metrics = Metrics()
    metrics.sources.append(ledger.samples)
    metrics.families.append(ledger.requests.pieces)
    text = (await metrics.response()).body.decode()
    for line in (
        "trunkline_translator_log_lines_total 2.0",
        "trunkline_translator_log_skipped_total 1.0",
        "trunkline_translator_records_shipped_total 1.0",
        'trunkline_translator_disk_state{state="ok"} 1.0',
        'trunkline_request_duration_seconds_count{model="gpt-4.1",outcome="ok",provider="openai"} 1.0',
        'trunkline_request_cost_usd_total{model="gpt-4.1",provider="openai"} 6e-05',
    ):
        assert f"\n{line}\n" in text
    assert "org_acme" not in text
    # A new process neither settles nor ships it again.
    again = new_limiter()
    async with running(tmp_path, again) as ledger:
        assert used(again) == [1, 15, 60_000, 0]
        log.write(request_line("b", reservation("b", at=time.time())))
        await collector.until({"b"})
    assert len(collector.records["a"]) == 1
    assert used(again) == [2, 30, 120_000, 0]


async def test_reservations_are_known_to_the_next_process_once_they_are_flushed(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    limiter = new_limiter()
    ledger = Ledger(settings(tmp_path), limiter, prices(), structlog.get_logger())
    ledger.reserved(reserve(limiter, "a"))
    ledger.reserved(reserve(limiter, "b"))

    def known() -> list[str]:
        killed = Ledger(settings(tmp_path), new_limiter(), prices(), structlog.get_logger())
        return [each.id for each in killed.outstanding]

    assert known() == []
    ledger.flush()
    assert known() == ["a", "b"]
    # The journal has the contents of a snapshot before the position that the snapshot names.
    ledger.reserved(reserve(limiter, "c"))
    await ledger.close()
    assert known() == ["a", "b", "c"]


@pytest.mark.slow
async def test_the_end_of_a_request_is_known_to_the_next_process_and_its_line_frees_nothing_more(
    tmp_path: Path, log: EnvoyLog, collector: Collector
) -> None:
    limiter = new_limiter()
    ledger = Ledger(settings(tmp_path), limiter, prices(), structlog.get_logger())
    for request_id in ("a", "b"):
        ledger.reserved(reserve(limiter, request_id))
    assert limiter.end("a")
    ledger.ended("a")
    ledger.flush()
    killed = new_limiter()
    Ledger(settings(tmp_path), killed, prices(), structlog.get_logger())
    assert used(killed) == used(limiter) == [2, 200, 1_000_000, 1]
    again = new_limiter()
    async with running(tmp_path, again) as ledger:
        log.write(request_line("a"))
        await collector.until({"a"})
        await until(lambda: len(ledger.outstanding) == 1)
        assert used(again) == [2, 115, 560_000, 1]


async def test_the_journal_of_a_version_that_counted_micro_usd(tmp_path: Path) -> None:
    settings(tmp_path)
    reserved = reserve(new_limiter(), "a").fields
    entry = ["r", *(500 if value == 500_000 else value for value in reserved)]
    (tmp_path / "ledger" / "reservations.log").write_text(json.dumps(entry) + "\n")
    limiter = new_limiter()
    async with running(tmp_path, limiter) as ledger:
        assert used(limiter) == [1, 100, 500_000, 1]
        assert [each.cost for each in ledger.outstanding] == [500_000]


@pytest.mark.slow
async def test_a_hundred_embeddings_cost_more_than_nothing(
    tmp_path: Path, log: EnvoyLog, collector: Collector
) -> None:
    limiter = new_limiter()
    async with running(tmp_path, limiter, prices(20_000)) as ledger:
        for number in range(100):
            ledger.reserved(reserve(limiter, str(number)))
            log.write(request_line(str(number), usage='{"prompt_tokens":20,"total_tokens":20}'))
        await collector.until(set(map(str, range(100))))
    costs = [record.cost_nano_usd for (record,) in collector.records.values()]
    assert (costs, used(limiter)[2]) == ([400] * 100, 40_000)


async def test_a_price_that_came_just_before_a_kill_is_known_to_the_next_process(tmp_path: Path) -> None:
    """The policy and the limits are not stored at every change, but every admitted request has its price."""
    (tmp_path / "ledger").mkdir()
    routed = policy.Target(id="a/m", prices=[policy.Price(input=1_000_000, version=1)])
    book = PriceBook()
    Ledger(settings(tmp_path), new_limiter(), book, structlog.get_logger())
    book.put(policy.Route(id="rt", targets=[routed]))
    routed.prices.add(input=3_000_000, version=2, valid_from=1_000)
    book.put(policy.Route(id="rt", targets=[routed]))
    killed = PriceBook()
    Ledger(settings(tmp_path), new_limiter(), killed, structlog.get_logger())
    assert set(killed.entries()) == set(book.entries())
    # The policy on disk is newer than both, and is replaced by one without the price.
    restored = PriceBook()
    restored.put(policy.Route(id="other", targets=[routed]))
    Ledger(settings(tmp_path), new_limiter(), restored, structlog.get_logger())
    last = PriceBook()
    Ledger(settings(tmp_path), new_limiter(), last, structlog.get_logger())
    assert set(last.entries()) == set(restored.entries()) > set(book.entries())
    found = last.at("other", "a/m", 2_000)
    assert found is not None
    assert (found.version, found.input) == (2, 3_000_000)


async def test_a_price_of_every_kind_of_rate_outlives_the_process(tmp_path: Path) -> None:
    routed = policy.Route(id="rt", targets=[policy.Target(id="a/m", prices=[FULL])])
    book = PriceBook()
    async with running(tmp_path, new_limiter(), book):
        book.put(routed)
        killed = PriceBook()
        killed.put(policy.Route(id="other", targets=routed.targets))
        Ledger(settings(tmp_path), new_limiter(), killed, structlog.get_logger())  # from the journal
        assert set(killed.entries()) > set(book.entries())
    snapshot = LedgerSnapshot.load(tmp_path / "ledger" / "limits.snapshot", structlog.get_logger())
    assert snapshot is not None
    restored = PriceBook()
    restored.restore(snapshot.prices)
    assert set(restored.entries()) == set(book.entries()) != set()


@pytest.mark.slow
async def test_a_reservation_without_a_line_expires_once_and_a_late_line_counts_no_more(
    tmp_path: Path, log: EnvoyLog, collector: Collector
) -> None:
    limiter = new_limiter()
    old = time.time() - 1000
    async with running(tmp_path, limiter) as ledger:
        ledger.reserved(reserve(limiter, "gone", old))
        ledger.reserved(reserve(limiter, "young"))
        await collector.until({"gone"})
        assert [each.id for each in ledger.outstanding] == ["young"]
        assert used(limiter) == [2, 200, 1_000_000, 1]
    (record,) = collector.records["gone"]
    assert (record.expired, record.estimated, record.prompt_tokens, record.completion_tokens) == (
        True,
        True,
        12,
        88,
    )
    assert (record.cost_micro_usd, record.tag, record.started_at_us) == (500, "a tag", round(old * 1e6))
    again = new_limiter()
    async with running(tmp_path, again) as ledger:
        log.write(request_line("gone") + request_line("young"))
        await collector.until({"young"})
        await until(lambda: not ledger.outstanding)
    assert used(again) == [2, 115, 560_000, 0]


@pytest.mark.slow
async def test_what_a_dead_envoy_was_serving_expires_when_another_one_begins(
    tmp_path: Path, log: EnvoyLog, collector: Collector
) -> None:
    limiter = new_limiter()
    async with running(tmp_path, limiter) as ledger:
        for request_id in ("served", "lost"):
            ledger.reserved(reserve(limiter, request_id, time.time() - 10))
        log.write(request_line("served"))
        ledger._settlement.envoy_started(time.time() - 5)
        ledger.reserved(reserve(limiter, "next"))
        await collector.until({"served", "lost"})
        assert [each.id for each in ledger.outstanding] == ["next"]
    assert (collector.records["served"][0].expired, collector.records["lost"][0].expired) == (False, True)


async def test_the_start_of_the_envoy_behind_the_admin_socket(tmp_path: Path, log: EnvoyLog) -> None:
    """This process owns the admin socket, so the system reports its start."""
    limiter = new_limiter()
    admin = await log.serve_admin(tmp_path / "admin.sock")
    # Nothing expires by its age here, even if the process ran for long.
    admin_socket = tmp_path / "admin.sock"
    async with running(tmp_path, limiter, envoy_admin_socket=admin_socket, reservation_expiry=1e9) as ledger:
        started = time.time() - time.monotonic() + float(Path("/proc/self/stat").read_text().split()[21]) / 100
        ledger.reserved(reserve(limiter, "before", started - 1))
        ledger.reserved(reserve(limiter, "after", started + 1))
        await until(lambda: len(ledger.outstanding) == 1)
        assert [each.id for each in ledger.outstanding] == ["after"]
    admin.close()


@pytest.mark.slow
async def test_a_line_of_a_lost_reservation_counts(tmp_path: Path, log: EnvoyLog, collector: Collector) -> None:
    limiter = new_limiter()
    async with running(tmp_path, limiter):
        log.write(
            request_line("refused", note=None, status=429, usage=None)
            + request_line("a", reservation("a", at=time.time()))
        )
        await collector.until({"a"})
    assert used(limiter)[:2] == [1, 15]


@pytest.mark.slow
async def test_while_the_control_plane_is_away_memory_is_bounded_and_nothing_is_lost(
    tmp_path: Path, log: EnvoyLog
) -> None:
    limiter = new_limiter()
    count = outbox.CAPACITY * 3
    async with running(tmp_path, limiter) as ledger:
        for number in range(count):
            ledger.reserved(reserve(limiter, f"r{number}"))
            log.write(request_line(f"r{number}"))
            if number % 200 == 0:
                await asyncio.sleep(0)
        await until(lambda: not ledger.outstanding)
        assert ledger.status()["records_pending"] == outbox.CAPACITY
        assert used(limiter) == [count, 15 * count, 60_000 * count, 0]
    collector = Collector(tmp_path / "control.sock")
    again = new_limiter()
    async with running(tmp_path, again) as ledger:
        await until(lambda: ledger.status()["records_pending"] == outbox.CAPACITY)
        await collector.start()
        await collector.until({f"r{number}" for number in range(count)})
        assert used(again) == [count, 15 * count, 60_000 * count, 0]
        await until(lambda: ledger.status()["records_pending"] == 0)
    await collector.stop()
    assert max(collector.sizes) <= 500


@pytest.mark.slow
@pytest.mark.parametrize(("named", "keeps"), [(True, True), (True, False), (False, False)])
async def test_records_that_are_refused_delay_nobody_and_are_not_lost(
    tmp_path: Path, log: EnvoyLog, collector: Collector, named: bool, keeps: bool
) -> None:
    """Records are refused by a current control plane, which stores them or has no room, and by one that refuses
    whole calls.
    """
    collector.named, collector.keeps = named, keeps
    collector.refuse = {f"bad{number}" for number in range(5)}
    ids = [f"good{number}" for number in range(1_000)]
    for number, bad in enumerate(sorted(collector.refuse)):
        ids.insert(number * 211 % 900, bad)
    log.write(b"".join(map(request_line, ids)))
    async with running(tmp_path, new_limiter()) as ledger:
        await collector.until(set(ids) - collector.refuse)
        await until(lambda: ledger.status()["records_pending"] == 0)
        assert len(collector.tokens) < 150  # calls; formerly one for each record after the first bad one
        samples = {sample.name: sample.value for sample in ledger.samples()}
    assert samples["trunkline_translator_records_refused_total"] == 5
    assert collector.refuse.isdisjoint(collector.records)
    file = tmp_path / "ledger" / "refused.jsonl"
    if keeps:
        assert not file.exists()
        return
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert {each["record"]["id"] for each in kept} == collector.refuse
    assert all(each["record"]["prompt_tokens"] == "10" and "bad" in each["reason"] for each in kept)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_what_is_kept_of_refused_records_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX", 250)
    kept = quarantine.Quarantine(tmp_path, structlog.get_logger())
    for _ in range(5):
        kept.add("r" * 60, line="x")
    assert (kept.lost, (tmp_path / quarantine.NAME).read_text().count("\n")) == (3, 2)
    quarantine.Quarantine(tmp_path / "missing", structlog.get_logger()).add("r")


@pytest.mark.slow
async def test_a_call_is_bounded_in_bytes(tmp_path: Path, log: EnvoyLog, collector: Collector) -> None:
    failed = " ".join(f"{'x' * 500}{number}=500" for number in range(60))
    ids = {f"r{number}" for number in range(300)}
    log.write(b"".join(request_line(each, failed=failed, attempts=61) for each in ids))
    async with running(tmp_path, new_limiter()):
        await collector.until(ids)
    assert 1 < max(collector.sizes) < 300


@pytest.mark.slow
async def test_capped_claims_are_counted(tmp_path: Path, log: EnvoyLog, collector: Collector) -> None:
    log.write(request_line("a", usage='{"prompt_tokens":2000000000,"completion_tokens":2}') + request_line("b"))
    async with running(tmp_path, new_limiter()) as ledger:
        await collector.until({"a", "b"})
        samples = {sample.name: sample.value for sample in ledger.samples()}
    assert samples["trunkline_translator_claims_capped_total"] == 1
    (record,) = collector.records["a"]
    assert (record.capped, record.claimed_prompt_tokens) == (True, 2_000_000_000)


@pytest.mark.slow
async def test_a_defect_costs_one_line(
    tmp_path: Path, log: EnvoyLog, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = new_limiter()
    settle = limiter.settle

    def broken(request_id: str, tokens: int, cost: int) -> bool:
        if request_id == "a":
            raise RuntimeError("something private")
        return settle(request_id, tokens, cost)

    monkeypatch.setattr(limiter, "settle", broken)
    with structlog.testing.capture_logs() as logged:
        async with running(tmp_path, limiter) as ledger:
            for request_id in "ab":
                ledger.reserved(reserve(limiter, request_id))
                log.write(request_line(request_id))
            await collector.until({"a", "b"})
    (line,) = [each for each in logged if each["event"] == "defect"]
    assert "private" not in repr(line)
    (kept,) = map(json.loads, (tmp_path / "ledger" / "refused.jsonl").read_text().splitlines())
    assert (kept["reason"], json.loads(kept["line"])["v"]) == ("defect: RuntimeError", 2)
    assert used(limiter) == [2, 115, 560_000, 1]


async def test_limits_are_kept_on_a_full_disk(
    tmp_path: Path, log: EnvoyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.statvfs_result((1, 1, 0, 0, 0, 0, 0, 0, 0, 255))
    limiter = new_limiter()
    async with running(tmp_path, limiter) as ledger:
        monkeypatch.setattr(ledger._disk, "_statvfs", lambda path: full)
        await until(lambda: ledger.status()["disk"] == DiskState.FULL.value)
        ledger.reserved(reserve(limiter, "unlogged", time.time() - 1000))
        await until(lambda: not ledger.outstanding)
        assert ledger.status()["journal_errors"] == 2  # neither the reservation nor its end
    assert used(limiter) == [1, 100, 500_000, 0]
