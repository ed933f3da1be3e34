"""Limits for each end user or tag: counted separately, in a bounded table."""

from __future__ import annotations

import json

import pytest

from tests.translator.limits.building import CONCURRENCY, NOW, REQUESTS, TOKENS, limiter, reservation, taken
from translator.limits import HolderLimit, Limiter, Metric, Refused, values
from translator.limits.limit import Each, HolderKind, limit_of


def each_user(
    metric: Metric = REQUESTS,
    window: str = "60",
    amount: int = 1,
    *,
    each: Each = "user",
    holder: HolderKind = "key",
) -> HolderLimit:
    return HolderLimit(metric, window, amount, holder, "key_a", "a", "m 1", each)


def ask(
    engine: Limiter, of: HolderLimit, name: str, user: str, *, at: float = NOW, tag: str = "", tokens: int = 0
) -> Refused | None:
    limits = engine.applied([of], "org_a", user, tag, at).limits
    return engine.reserve(reservation(name, limits, at=at, tokens=tokens), limits)


def test_every_user_has_the_whole_amount_and_those_without_a_name_share_one() -> None:
    engine, of = limiter(), each_user()
    assert ask(engine, of, "1", "alice") is None
    assert ask(engine, of, "2", "bob") is None
    assert ask(engine, of, "3", "") is None
    for number, user in enumerate(("alice", "bob", "")):
        refused = ask(engine, of, f"again {number}", user)
        assert isinstance(refused, Refused)
        assert refused.limit.value == user


def test_tags_and_users_are_counted_apart() -> None:
    engine = limiter()
    by_user, by_tag = each_user(), each_user(each="tag")
    limits = engine.applied([by_user, by_tag], "org_a", "x", "x", NOW).limits
    assert engine.reserve(reservation("1", limits), limits) is None
    limits = engine.applied([by_user, by_tag], "org_a", "y", "x", NOW).limits
    refused = engine.reserve(reservation("2", limits), limits)
    assert refused is not None
    assert (refused.limit.each, refused.limit.value) == ("tag", "x")


def test_users_of_two_organisations_are_two_in_a_limit_of_a_route() -> None:
    engine, of = limiter(), each_user(holder="route")
    for organisation in ("org_a", "org_b"):
        limits = engine.applied([of], organisation, "alice", "", NOW).limits
        assert engine.reserve(reservation(organisation, limits), limits) is None


def test_what_was_used_is_settled_for_the_user_and_survives_a_restart() -> None:
    engine, of = limiter(), each_user(TOKENS, "3600", 100)
    ask(engine, of, "1", "alice", tokens=90)
    engine.settle("1", 40, 0)
    ask(engine, of, "2", "bob", tokens=70)
    with engine.snapshot() as parts:
        state = json.loads(json.dumps(list(parts), default=tuple))
    again = limiter()
    again.restore(state)
    again.settle("2", 60, 0)
    alice, bob = (again.applied([of], "org_a", user, "", NOW).limits[0] for user in ("alice", "bob"))
    assert (taken(again, alice, NOW), taken(again, bob, NOW)) == (40, 60)


def test_a_lost_reservation_counts_for_its_user() -> None:
    of = each_user(TOKENS, "3600", 100)
    engine = Limiter(lambda *_: [of])
    held = reservation("lost", ())
    engine.settle_unknown(type(held).of([*held.fields[:10], "alice", "run", ()]), 30, 0)
    alice = engine.applied([of], "org", "alice", "", NOW).limits[0]
    assert taken(engine, alice, NOW) == 30


def test_the_amount_may_change_while_a_user_is_counted() -> None:
    engine, of = limiter(), each_user()
    ask(engine, of, "1", "alice")
    assert ask(engine, of, "2", "alice") is not None
    assert ask(engine, each_user(amount=2), "2", "alice") is None
    assert ask(engine, each_user(amount=2), "3", "alice") is not None


def test_a_soft_limit_counts_and_refuses_nothing() -> None:
    engine = limiter()
    soft = HolderLimit(REQUESTS, "60", 1, "key", "key_a", "a", soft=True)
    hard = HolderLimit(REQUESTS, "3600", 3, "key", "key_a", "a")
    limits = [soft, hard]
    for number in range(3):
        assert engine.reserve(reservation(str(number), limits), limits) is None
    assert taken(engine, soft, NOW) == 3
    refused = engine.reserve(reservation("4", limits), limits)
    assert refused is not None
    assert refused.limit is hard


def test_the_table_is_bounded_and_no_window_that_counts_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX", 20)
    engine, of = limiter(), each_user(amount=2)
    overflowed: list[HolderLimit] = []
    engine.on_overflow = overflowed.append
    for number in range(20):
        assert ask(engine, of, f"first {number}", f"user{number}") is None
    # Two more share one amount, and no other value loses anything.
    assert ask(engine, of, "more 1", "late1") is None
    assert ask(engine, of, "more 2", "late2") is None
    refused = ask(engine, of, "more 3", "late3")
    assert refused is not None
    assert values.is_overflow(refused.limit.value or "")
    assert overflowed == [of]
    assert engine.counters == 21
    for number in range(20):
        assert ask(engine, of, f"second {number}", f"user{number}") is None
        assert ask(engine, of, f"third {number}", f"user{number}") is not None
    # The windows have ended: there is room again.
    later = NOW + 120
    for number in range(20):
        assert ask(engine, of, f"later {number}", f"other{number}", at=later) is None
    samples = {sample.name: sample.value for sample in engine.samples()}
    assert samples["trunkline_translator_limit_values"] == 20
    assert samples["trunkline_translator_limit_overflows_total"] == 3


def test_no_organisation_takes_the_room_of_others_in_a_limit_of_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX", 20)
    engine, of = limiter(), each_user(holder="route")

    def served(organisation: str, user: str) -> bool:
        limits = engine.applied([of], organisation, user, "", NOW).limits
        return engine.reserve(reservation(f"{organisation} {user}", limits), limits) is None

    assert [served("org_flood", f"user{number}") for number in range(100)] == [True] * 21 + [False] * 79
    assert all(served("org_b", f"user{number}") for number in range(20))
    assert served("org_b", "late")  # its own shared amount, not the other organisation's
    assert not served("org_b", "later")
    assert served("org_c", "a/%")


def test_users_that_are_refused_take_no_more_than_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX", 100)
    engine, of = limiter(), each_user(amount=0)
    for number in range(5_000):  # refused, so that nothing of them counts
        assert ask(engine, of, str(number), f"user{number}") is not None
    assert engine.counters <= 101


def test_a_place_among_the_concurrent_ones_is_free_again_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX", 2)
    engine, of = limiter(), each_user(CONCURRENCY, "-")
    assert ask(engine, of, "1", "alice") is None
    assert ask(engine, of, "2", "bob") is None
    engine.end("1")
    assert ask(engine, of, "3", "carol") is None
    assert ask(engine, of, "4", "bob") is not None
    engine.end("3")
    engine.end("2")
    assert ask(engine, of, "5", "bob") is None


def test_ids() -> None:
    of = each_user()
    engine = limiter()
    limit = engine.applied([of], "org_a", "a%20b", "", NOW).limits[0]
    assert limit_of(limit.id) == of.id
    assert limit_of(HolderLimit(REQUESTS, "60", 1, "key", "key_a", "a", "llama3:70b").id) == ""
