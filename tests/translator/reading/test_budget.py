"""How much CPU time a key may waste."""

from __future__ import annotations

import pytest

from translator.errors import Refusal
from translator.reading import budget
from translator.reading.budget import RefusedWork


def test_a_key_that_spent_too_much_waits_until_it_has_some_again() -> None:
    work = RefusedWork()
    work.charge("a", 4.9, 100.0)
    work.check("a", lambda: 100.0)
    work.charge("a", 2.1, 100.0)
    with pytest.raises(Refusal) as caught:
        work.check("a", lambda: 100.0)
    refused = caught.value
    assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
    after = 100.0 + int(refused.headers["retry-after"])
    work.check("a", lambda: after + 0.1)
    work.check("b", lambda: 100.0)


def test_what_was_spent_is_forgotten_in_time() -> None:
    work = RefusedWork()
    work.charge("a", 1.0, 100.0)
    work.charge("a", 0.0, 200.0)
    work.check("a", lambda: 200.0)
    work.charge("a", 4.9, 200.0)
    work.check("a", lambda: 200.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    work = RefusedWork()
    work.charge("a", 6.0, 100.0)
    with pytest.raises(Refusal):
        work.check("a", lambda: 50.0)


def test_the_table_is_bounded_and_keeps_who_spent_most() -> None:
    work = RefusedWork()
    work.charge("worst", 6.0, 100.0)
    for number in range(30_000):
        work.charge(f"k{number}", 0.001, 100.0)
    assert len(work._spent) <= 10_000
    with pytest.raises(Refusal):
        work.check("worst", lambda: 100.0)


def test_time_that_others_had_is_not_charged() -> None:
    assert budget.at_once(1.0, 1_000) < 0.001
    assert budget.at_once(20e-6, 1_000) == 20e-6
