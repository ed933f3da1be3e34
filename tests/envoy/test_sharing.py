"""`envoy/module/sharing.c`: shares of quotas, pauses that other gateways met, and reports of an
earlier process.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Driver

numbers = itertools.count(5_000)
NOW = 10**9
#: States of a host for a caller, as in envoy/module/rest.h.
OPEN, TRICKLES, RESTS, PAUSED = range(4)
UNKNOWN, CALLER, ALL = range(3)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("quota") as running:
        yield running


def pause(host: int, left: int, *, reach: int = ALL, foreign: int = 1, stated: int = 1) -> str:
    return f"p {host} {foreign} 429 {reach} 0 {stated} 11 12 13 1 100 {left}\n"


def pauses(driver: Driver, host: int, now: int) -> list[list[int]]:
    """Returns the words of a host's reported pauses, from `foreign` on."""
    (report,) = driver.ask("shared", now)
    lines = [line.split() for line in report.decode().splitlines() if line.startswith(f"p {host} ")]
    return [[int(word) for word in line[2:]] for line in lines]


def take(driver: Driver, account: int, quotas: str, now: int = NOW) -> bool:
    return driver.ask("take", account, quotas, 0, now, 0, 0) == [b"1"]


def test_a_share_bounds_what_is_sent(driver: Driver) -> None:
    account = next(numbers)
    driver.ask("share", f"a {account} r 60 10 2 0\n", NOW)
    assert [take(driver, account, "r60:10") for _ in range(3)] == [True, True, False]
    driver.ask("share", f"a {account} r 60 10 20 0\n", NOW)
    assert [take(driver, account, "r60:10") for _ in range(9)] == [True] * 8 + [False]
    # Below what was used: nothing is sent until enough has left the window.
    driver.ask("share", f"a {account} r 60 10 1 0\n", NOW)
    assert not take(driver, account, "r60:10", NOW + 30_000)
    assert take(driver, account, "r60:10", NOW + 62_000)


def test_without_a_share_the_client_learns_when_others_have_room(driver: Driver) -> None:
    account = next(numbers)
    driver.ask("share", f"a {account} r 60 10 0 25000\n", NOW)
    assert driver.ask("wait", account, "r60:10", 0, NOW) == [b"25000"]
    assert driver.ask("wait", account, "r60:10", 0, NOW + 24_900) == [b"1000"]


def test_until_a_share_is_known_the_quota_is_divided_equally(driver: Driver) -> None:
    account = next(numbers)
    driver.ask("share", "g 4\n", NOW)
    assert [take(driver, account, "r60:9") for _ in range(3)] == [True, True, False]
    driver.ask("share", "g 1\n", NOW)
    assert take(driver, account, "r60:9")


def test_what_was_refused_lately_is_reported(driver: Driver) -> None:
    account = next(numbers)
    driver.ask("share", f"a {account} t 60 1000 100 0\n", NOW)
    for _ in range(3):  # one request looks at several targets
        assert int(driver.ask("wait", account, "t60:1000", 300, NOW)[0]) > 0
    driver.ask("wait", account, "t60:1000", 200, NOW + 5)

    def wanted(now: int) -> str:
        (report,) = driver.ask("shared", now)
        (line,) = (line for line in report.decode().splitlines() if line.startswith(f"s {account} "))
        return line

    assert wanted(NOW + 10) == f"s {account} t 60 1000 100 500"
    assert wanted(NOW + 1_500) == f"s {account} t 60 1000 100 500"
    assert wanted(NOW + 3_000) == f"s {account} t 60 1000 100 0"


def test_a_pause_that_another_gateway_met_holds_here(driver: Driver) -> None:
    host = next(numbers)
    driver.ask("share", pause(host, 20_000), NOW)
    assert pauses(driver, host, NOW + 5_000) == [[1, 429, ALL, 0, 1, 11, 12, 13, 1, 5_100, 15_000]]
    (report,) = driver.ask("report", NOW + 5_000)
    assert f"r {host} 429 1 5100 15000" in report.decode()
    assert not pauses(driver, host, NOW + 20_000)


def test_the_same_pause_reported_again_is_no_longer_one(driver: Driver) -> None:
    host = next(numbers)
    driver.ask("share", pause(host, 20_000), NOW)
    for late in range(200, 2_000, 200):
        driver.ask("share", pause(host, 20_000), NOW + late)
    assert pauses(driver, host, NOW)[0][-1] == 20_000
    driver.ask("share", pause(host, 60_000), NOW)
    assert pauses(driver, host, NOW)[0][-1] == 60_000
    driver.ask("share", pause(host, 1_000), NOW)
    assert pauses(driver, host, NOW)[0][-1] == 60_000


def test_whom_it_concerns_is_learnt_from_the_other_gateway(driver: Driver) -> None:
    host = next(numbers)
    driver.ask("share", pause(host, 20_000, reach=UNKNOWN), NOW)
    assert pauses(driver, host, NOW)[0][2] == UNKNOWN
    driver.ask("share", pause(host, 20_000, reach=CALLER), NOW + 50)
    assert pauses(driver, host, NOW)[0][2] == CALLER
    driver.ask("share", pause(host, 20_000, reach=ALL), NOW + 90)
    assert pauses(driver, host, NOW)[0][2] == CALLER, "somebody was served meanwhile"


def test_what_targets_reported_is_there_again(driver: Driver) -> None:
    host = next(numbers)
    lines = f"h {host} tokens 100 7 20000\nh {host} requests 60 5 0\n"
    driver.ask("share", f"o {next(numbers)} 5000\n{lines}", NOW)
    (report,) = driver.ask("report", NOW + 1_000)
    assert f"h {host} tokens 100 7 14000\nh {host} requests 60 5 0\n" in report.decode()


def test_only_another_process_is_restored_and_once(driver: Driver) -> None:
    account, process = next(numbers), next(numbers)
    lines = f"s {account} r 60 10 10 0 0:4\n"
    for _ in range(2):
        driver.ask("share", f"o {process} 1000\n{lines}", NOW)
    assert [take(driver, account, "r60:10") for _ in range(7)] == [True] * 6 + [False]
    own = driver.ask("shared", NOW)[0].decode().splitlines()[0]
    driver.ask("share", f"{own} 0\n{lines}", NOW)
    (report,) = driver.ask("shared", NOW)
    (line,) = (line for line in report.decode().splitlines() if line.startswith(f"s {account} "))
    assert sum(int(part.partition(":")[2]) for part in line.split()[7:]) == 10


def test_a_pause_that_is_over_is_not_restored(driver: Driver) -> None:
    first, second = next(numbers), next(numbers)
    driver.ask("share", f"o {next(numbers)} 20000\n{pause(first, 20_000)}{pause(second, 20_001)}", NOW)
    assert not pauses(driver, first, NOW)
    assert pauses(driver, second, NOW)[0][-1] == 1


@given(
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.builds(
                lambda kind, words: " ".join((kind, *words)),
                st.sampled_from("gapsho"),
                st.lists(
                    st.one_of(
                        st.integers(-1, 2**65).map(str), st.sampled_from(["r", "t", "", "1:2", "9:", "tokens"])
                    ),
                    max_size=13,
                ),
            ),
        ),
        max_size=5,
    )
)
def test_no_lines_do_harm(driver: Driver, lines: list[str]) -> None:
    driver.ask("share", "\n".join(lines).encode("utf-8", "replace"), NOW)
    driver.ask("share", "g 1\n", NOW)
    driver.ask("shared", NOW + 1)
    driver.ask("report", NOW + 1)
