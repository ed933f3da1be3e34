"""Divisions of a quota among gateways: by demand, never more than the whole, and without hoarding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, strategies as st

from xds_server.requests.sharing.division import GatewayUse, ShareGrant, divide, grants

USES = st.dictionaries(
    st.sampled_from("abcde"),
    st.builds(GatewayUse, st.integers(0, 100), st.integers(0, 120), st.integers(0, 200), st.booleans()),
    max_size=5,
)


@pytest.mark.parametrize(
    ("amount", "uses", "shares"),
    [
        (100, {"a": GatewayUse(100)}, {"a": 100}),
        (100, {"a": GatewayUse(0), "b": GatewayUse(0)}, {"a": 50, "b": 50}),
        (100, {"a": GatewayUse(50, 50, 80), "b": GatewayUse(50)}, {"a": 100, "b": 0}),
        (100, {"a": GatewayUse(50, 50, 80), "b": GatewayUse(50, 30)}, {"a": 70, "b": 30}),
        (100, {"a": GatewayUse(50, 50, 5), "b": GatewayUse(50, 10)}, {"a": 90, "b": 10}),
        (100, {"a": GatewayUse(50, 40), "b": GatewayUse(50, 10)}, {"a": 65, "b": 35}),
        (100, {"a": GatewayUse(95, 95, 90), "b": GatewayUse(5, 5, 90)}, {"a": 50, "b": 50}),
        (100, {"a": GatewayUse(80, 60, gone=True), "b": GatewayUse(20)}, {"b": 40}),
        (7, {"a": GatewayUse(0), "b": GatewayUse(0), "c": GatewayUse(7)}, {"a": 2, "b": 2, "c": 3}),
        # One request at a time, for the gateway that had none.
        (1, {"a": GatewayUse(1, 1, 1), "b": GatewayUse(0, 0, 1)}, {"a": 0, "b": 1}),
        (1, {"a": GatewayUse(0, 0, 0), "b": GatewayUse(1)}, {"a": 0, "b": 1}),
        (100, {}, {}),
    ],
)
def test_shares(amount: int, uses: dict[str, GatewayUse], shares: dict[str, int]) -> None:
    assert divide(amount, uses) == shares


@given(st.integers(1, 100), USES)
def test_all_of_it_is_divided_and_no_need_is_passed_over_for_a_larger_one(
    amount: int, uses: dict[str, GatewayUse]
) -> None:
    shares = divide(amount, uses)
    here = {name for name, use in uses.items() if not use.gone}
    left = max(0, amount - sum(use.used for use in uses.values() if use.gone))
    assert shares.keys() == here
    assert sum(shares.values()) == (left if here else 0)
    for name in here:
        need = min(left, uses[name].used + uses[name].wanted)
        assert shares[name] >= min(need, left // len(here))


def test_a_share_is_raised_only_by_what_another_has_given_up() -> None:
    busy, idle = GatewayUse(50, 50, 80), GatewayUse(50)
    first = grants(100, {"a": busy, "b": idle}, "ab")
    assert first == {"a": ShareGrant(50, 50), "b": ShareGrant(0, 50)}
    second = grants(100, {"a": busy, "b": GatewayUse(0)}, "ab")
    assert second == {"a": ShareGrant(100, 100), "b": ShareGrant(0, 0)}


def test_what_a_lowered_gateway_used_is_nobody_elses_until_its_window_has_passed() -> None:
    assert grants(10, {"a": GatewayUse(5, 10, 10), "b": GatewayUse(0, 0, 5)}, "ab") == {
        "a": ShareGrant(5, 10),
        "b": ShareGrant(0, 0),
    }
    assert grants(10, {"a": GatewayUse(5, 7, 10), "b": GatewayUse(0, 0, 5)}, "ab")["b"] == ShareGrant(3, 3)


def test_small_differences_change_nothing_while_nobody_lacks_anything() -> None:
    assert grants(1000, {"a": GatewayUse(500, 20), "b": GatewayUse(500)}, "ab") == {
        "a": ShareGrant(500, 500),
        "b": ShareGrant(500, 500),
    }
    assert grants(1000, {"a": GatewayUse(500, 300), "b": GatewayUse(500)}, "ab")["b"] == ShareGrant(350, 500)


@dataclass
class Simulated:
    """A gateway: its share in force, and its use by time. The window has 10 steps."""

    share: int = 0
    used: tuple[int, ...] = ()
    wanted: int = 0

    def use(self, now: int, requests: int) -> None:
        self.pass_by(now)
        taken = max(0, min(requests, self.share - len(self.used)))
        self.used += (now,) * taken
        self.wanted = requests - taken

    def pass_by(self, now: int) -> None:
        self.used = tuple(at for at in self.used if at > now - 10)


@given(
    st.integers(1, 30),
    st.integers(2, 4),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 3), st.booleans(), st.booleans()),
        max_size=60,
    ),
)
def test_the_sum_is_bounded_whatever_is_lost(
    amount: int, count: int, steps: list[tuple[int, int, int, bool, bool]]
) -> None:
    """Gateways use what they may. Each round reaches some of them, and its result may be lost on the way."""
    gateways = [Simulated() for _ in range(count)]
    known = {str(each): GatewayUse(0) for each in range(count)}
    sent: list[int] = []
    for now, (who, requests, reached, tells, confirms) in enumerate(steps):
        for each in gateways:
            each.pass_by(now)
        before = sum(len(each.used) for each in gateways)
        gateways[who % count].use(now, requests)
        sent += [now] * (sum(len(each.used) for each in gateways) - before)
        assert sum(now - 10 < at for at in sent) <= amount
        own = {str((reached + each) % count) for each in range(2)}
        for name in own:
            each = gateways[int(name)]
            known[name] = GatewayUse(each.share, len(each.used), each.wanted)
        for name, grant in grants(amount, known, own).items():
            # The larger share is stored before it is sent.
            known[name] = replace(known[name], share=max(grant.share, known[name].share))
            if tells:
                gateways[int(name)].share = grant.share
                if confirms:
                    known[name] = replace(known[name], share=grant.share)
