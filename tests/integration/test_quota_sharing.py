"""Gateways' modules with one credential stay within its quota together, by the control plane's rules and the
translator's words, in simulated time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given, strategies as st
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.requests.v1 import requests_pb2 as pb

from tests.envoy.native import Driver
from translator.running import quotas
from translator.running.sharing import as_lines
from xds_server.requests.sharing.plan import QuotaKey, plan
from xds_server.requests.sharing.table import GatewayReport

pytestmark = pytest.mark.compiler

SECONDS = 60
START = 10**9
accounts = itertools.count(1_000)


@pytest.fixture(scope="module")
def drivers() -> Iterator[list[Driver]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Driver("quota")) for _ in range(3)]


class Gateways:
    """Modules with one credential of `amount` requests a minute. `now` is in milliseconds."""

    def __init__(self, drivers: list[Driver], amount: int) -> None:
        self.drivers, self.amount = drivers, amount
        self.account = next(accounts)
        self.key = QuotaKey(self.account, policy.METRIC_REQUESTS, SECONDS)
        self.now = START + self.account * 10**8
        self.sent: list[int] = []
        self.rows: dict[str, GatewayReport] = {}
        for driver in drivers:
            driver.ask("share", f"g {len(drivers)}\n", self.now)

    def ask(self, at: int, requests: int = 1) -> int:
        """Sends a client's requests, one after the other. Returns how many reached the target."""
        words = ("take", self.account, f"r{SECONDS}:{self.amount}", 0, self.now, 0, 0)
        taken = sum(self.drivers[at].ask(*words) == [b"1"] for _ in range(requests))
        self.sent += [self.now] * taken
        return taken

    def report(self, at: int) -> GatewayReport:
        lines = [self.drivers[at].ask(word, self.now)[0] for word in ("shared", "report")]
        standing = quotas.read([b"".join(lines)])
        mine = pb.Standing(process=standing.process)
        mine.uses.extend(use for use in standing.uses if use.account == self.account)
        mine.counted.extend(each for each in standing.counted if each.account == self.account)
        return GatewayReport(self.now, mine)

    def round(self, *reached: int) -> None:
        """Lets the control plane read the reports of the gateways that it reaches, and inform them."""
        for _ in range(3):
            reports = {str(at): self.report(at) for at in reached}
            decided = plan(self.rows, reports, {self.key: self.amount}, self.now)
            self.rows |= decided.rows
            for at in reached:
                news = pb.Sharing(gateways=len(self.drivers), shares=decided.shares[str(at)].values())
                self.drivers[at].ask("share", as_lines(news), self.now)

    def check(self) -> None:
        for at in self.sent:
            assert sum(at <= other < at + SECONDS * 1000 for other in self.sent) <= self.amount


def test_the_busy_one_gets_what_the_idle_ones_leave(drivers: list[Driver]) -> None:
    gateways = Gateways(drivers, 100)
    gateways.round(0, 1, 2)
    assert gateways.ask(0, 500) == 34
    for _ in range(5):
        gateways.now += 1_000
        gateways.round(0, 1, 2)
        gateways.ask(0, 500)
    assert 95 <= len(gateways.sent) <= 100
    # The others have their turn as its use leaves the window, and all of them then share equally.
    counts = [0, 0, 0]
    for _ in range(130):
        gateways.now += 1_000
        for at in range(3):
            counts[at] += gateways.ask(at, 20)
        gateways.round(0, 1, 2)
    gateways.check()
    assert all(count > 50 for count in counts)
    for at in range(3):
        gateways.now += 10
        assert int(drivers[at].ask("wait", gateways.account, f"r{SECONDS}:100", 0, gateways.now)[0]) > 0


def test_a_request_as_large_as_the_quota_is_sent_where_it_is_wanted(drivers: list[Driver]) -> None:
    gateways = Gateways(drivers, 90)
    gateways.key = QuotaKey(gateways.account, policy.METRIC_TOKENS, SECONDS)
    words = ("take", gateways.account, f"t{SECONDS}:90")
    gateways.round(0, 1, 2)
    assert drivers[1].ask(*words, 500, gateways.now, 0, 0) == [b"0"]
    for _ in range(3):
        gateways.now += 500
        gateways.round(0, 1, 2)
    assert drivers[1].ask(*words, 500, gateways.now, 0, 0) == [b"1"]
    assert drivers[0].ask(*words, 1, gateways.now, 0, 0) == [b"0"]


def test_without_the_control_plane_each_goes_on_with_its_share(drivers: list[Driver]) -> None:
    gateways = Gateways(drivers, 100)
    gateways.round(0, 1, 2)
    for _ in range(300):
        gateways.now += 1_000
        for at in range(3):
            gateways.ask(at, 5)
    gateways.check()
    assert len(gateways.sent) > 4 * 95


def test_what_was_used_comes_back_in_the_next_envoy(drivers: list[Driver]) -> None:
    gateways = Gateways(drivers, 30)
    gateways.round(0, 1, 2)
    assert gateways.ask(0, 30) == 10
    gateways.now += 20_000
    assert gateways.ask(0, 30) == 0
    (report,) = drivers[0].ask("shared", gateways.now)
    process, *lines = report.decode().splitlines(keepends=True)
    kept = [line for line in lines if f" {gateways.account} " in line]
    with Driver("quota") as fresh:
        gateways.drivers = [fresh, *drivers[1:]]
        gateways.now += 5_000
        restoration = f"g 3\n{process.strip()} 5000\n{''.join(kept)}"
        for _ in range(2):  # the second time it has been taken
            fresh.ask("share", restoration, gateways.now)
        assert gateways.ask(0, 30) == 0
        # 25 s have passed of the window of 60 to 61.
        gateways.now += 34_900
        assert gateways.ask(0, 30) == 0
        gateways.now += 2_200
        assert gateways.ask(0, 30) == 10
        # It skips what it reported itself.
        (own,) = fresh.ask("shared", gateways.now)
        first, *rest = own.decode().splitlines(keepends=True)
        fresh.ask("share", f"{first.strip()} 0\n{''.join(rest)}", gateways.now)
        assert [use.used for use in gateways.report(0).standing.uses] == [10]
    gateways.check()


@given(
    st.integers(1, 40),
    st.lists(
        st.tuples(st.integers(0, 20_000), st.integers(0, 2), st.integers(0, 30), st.sets(st.integers(0, 2))),
        max_size=30,
    ),
)
def test_the_sum_is_bounded(
    drivers: list[Driver], amount: int, steps: list[tuple[int, int, int, set[int]]]
) -> None:
    """This holds for any requests, and whichever gateways the control plane reaches."""
    gateways = Gateways(drivers, amount)
    gateways.round(0, 1, 2)
    for passed, at, requests, reached in steps:
        gateways.now += passed
        gateways.ask(at, requests)
        if reached:
            gateways.round(*reached)
    gateways.check()
