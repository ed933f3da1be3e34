"""Seconds with a lease, counted and stored."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.xds_server.nodes.reporting import BEGAN, StandingClock
from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.ledger import Ledger
from xds_server.nodes.moment import Moment
from xds_server.nodes.uptime import Uptime
from xds_server.nodes.uptime_log import UptimeLog

HOUR = BEGAN // 3_600


async def make_table(tables: Ledger) -> None:
    """Creates the table as the migration of contributions does, if it does not exist."""
    statement = (
        "CREATE TABLE IF NOT EXISTS node_uptime (hour INTEGER NOT NULL, node_id VARCHAR NOT NULL, "
        "seconds BIGINT NOT NULL, PRIMARY KEY (hour, node_id))"
    )
    await tables.write(lambda writing: writing.run(statement))


async def stored(tables: Ledger) -> dict[tuple[str, int], int]:
    def read(writing: LedgerTransaction) -> dict[tuple[str, int], int]:
        rows = writing.rows("SELECT node_id, hour - ?, seconds FROM node_uptime", HOUR)
        return {(node, hour): seconds for node, hour, seconds in rows}

    return await tables.write(read)


def test_an_interval_is_filed_under_its_hours() -> None:
    uptime = Uptime()
    uptime.begin("a", Moment(10.0, BEGAN + 3_500.0))
    uptime.begin("a", Moment(20.0, BEGAN + 3_510.0))
    uptime.end("a", Moment(3_810.0, BEGAN + 7_300.0))
    uptime.end("a", Moment(4_000.0, BEGAN + 7_490.0))
    assert uptime.take(Moment(4_000.0, BEGAN + 7_490.0)) == {
        ("a", HOUR): 100,
        ("a", HOUR + 1): 3_600,
        ("a", HOUR + 2): 100,
    }
    assert uptime.take(Moment(4_100.0, BEGAN + 7_590.0)) == {}


def test_fractions_add_up() -> None:
    clock, uptime, total = StandingClock(), Uptime(), 0
    uptime.begin("a", clock.now)
    for _ in range(100):
        total += sum(uptime.take(clock.move(0.7)).values())
    assert 69 <= total <= 70


@given(
    st.lists(st.tuples(st.sampled_from(["begin", "end", "take"]), st.floats(0.0, 9_000.0)), max_size=20),
    st.floats(0.0, 3_600.0),
)
def test_nothing_is_counted_twice_or_lost(steps: list[tuple[str, float]], offset: float) -> None:
    now = Moment(0.0, BEGAN + offset)
    uptime, up, expected = Uptime(), False, 0.0
    counted: dict[tuple[str, int], int] = {}
    for what, seconds in [*steps, ("take", 0.0)]:
        now = Moment(now.monotonic + seconds, now.unix + seconds)
        expected += seconds if up else 0.0
        if what == "begin":
            uptime.begin("a", now)
            up = True
        elif what == "end":
            uptime.end("a", now)
            up = False
        else:
            for at, added in uptime.take(now).items():
                counted[at] = counted.get(at, 0) + added
    hours = len({hour for _, hour in counted}) + 2
    assert expected - hours - len(steps) <= sum(counted.values()) <= expected + 0.01
    assert all(seconds <= 3_600 for seconds in counted.values())


async def test_it_is_added_to_what_is_stored(tables: Ledger) -> None:
    await make_table(tables)
    clock, uptime = StandingClock(), Uptime()
    log = UptimeLog(uptime, tables, clock)
    await log.flush()
    uptime.begin("a", clock.now)
    uptime.begin("b", clock.now)
    clock.move(60.0)
    await log.flush()
    uptime.end("b", clock.move(30.0))
    clock.move(10.0)
    await log.flush()
    assert await stored(tables) == {("a", 0): 100, ("b", 0): 90}
    restarted = Uptime()
    restarted.begin("a", clock.now)
    clock.move(3_550.0)
    await UptimeLog(restarted, tables, clock).flush()
    assert await stored(tables) == {("a", 0): 3_600, ("a", 1): 50, ("b", 0): 90}


async def test_no_hour_has_more_than_an_hour(tables: Ledger) -> None:
    await make_table(tables)
    clock, uptime = StandingClock(), Uptime()
    for _ in range(2):
        uptime.put_back({("a", HOUR): 2_000})
        await UptimeLog(uptime, tables, clock).flush()
    assert await stored(tables) == {("a", 0): 3_600}


async def test_what_the_database_did_not_take_is_kept(tables: Ledger) -> None:
    class Down:
        async def write(self, work: object) -> None:
            raise DatabaseUnavailableError("down")

    await make_table(tables)
    clock, uptime = StandingClock(), Uptime()
    uptime.begin("a", clock.now)
    clock.move(60.0)
    with pytest.raises(DatabaseUnavailableError):
        await UptimeLog(uptime, Down(), clock).flush()  # type: ignore[arg-type]
    clock.move(5.0)
    await UptimeLog(uptime, tables, clock).flush()
    assert await stored(tables) == {("a", 0): 65}
