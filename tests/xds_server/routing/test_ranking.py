"""Ranking within a tier: each target's share, however little is known about the targets."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from xds_server.routing.ranking import EXPLORED, HOLD_SECONDS, WHOLE, Candidate, Ranking, WeightedTarget, rank

NOW = 1_000.0


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    """Draws candidates. Only targets that fail are down, as in real measurements."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        is_failing = draw(st.booleans())
        found.append(
            Candidate(
                f"t{number}",
                draw(st.none() | st.floats(0.001, 1_000)),
                draw(st.floats(0, 1)),
                is_failing,
                is_failing and draw(st.booleans()),
                draw(st.integers(0, 5)),
                draw(st.floats(0, 10)),
            )
        )
    return found


@st.composite
def previous(draw: st.DrawFn) -> Ranking | None:
    best = draw(st.none() | st.integers(0, 9))
    return None if best is None else Ranking((WeightedTarget(f"t{best}", WHOLE),), NOW - draw(st.floats(0, 100)))


@pytest.mark.slow
@given(candidates(), previous())
def test_what_is_down_or_has_no_weight_is_never_asked(given_: list[Candidate], before: Ranking | None) -> None:
    ranking = rank(given_, before, NOW)
    if ranking is None:
        assert all(each.score is None or each.is_failing or not each.weight for each in given_)
        return
    weights = {each.target_id: each.weight for each in ranking.shares}
    assert weights.keys() == {each.target_id for each in given_}
    for each in given_:
        if each.is_down or not each.weight:
            assert weights[each.target_id] == 0
    best = next(each for each in given_ if each.target_id == ranking.shares[0].target_id)
    assert not best.is_failing
    assert WHOLE - len(given_) <= sum(weights.values()) <= WHOLE


@pytest.mark.slow
@given(candidates(), previous())
def test_others_than_the_best_and_its_equals_share_what_is_explored(
    given_: list[Candidate], before: Ranking | None
) -> None:
    ranking = rank(given_, before, NOW)
    if ranking is None:
        return
    scores = {each.target_id: (each.score, each.is_failing) for each in given_}
    best = scores[ranking.shares[0].target_id]
    explored = sum(each.weight for each in ranking.shares if scores[each.target_id] != best)
    assert explored <= max(WHOLE * EXPLORED, len(given_)) + len(given_) / 2


@given(st.floats(0.1, 10), st.floats(0, HOLD_SECONDS - 1), st.floats(0.7, 1))
def test_the_best_stays_the_best_for_a_while(score: float, since: float, better: float) -> None:
    before = Ranking((WeightedTarget("a", WHOLE),), NOW - since)
    ranking = rank([Candidate("a", score), Candidate("b", score * better)], before, NOW)
    assert ranking is not None
    assert (ranking.shares[0].target_id, ranking.since) == ("a", before.since)


@pytest.mark.parametrize("number", [2, 21, 200, 1_500])
def test_however_many_targets_there_are_a_small_share_is_explored(number: int) -> None:
    ranking = rank([Candidate(f"t{each}", 1.0 + each) for each in range(number)], None, NOW)
    assert ranking is not None
    best, *others = (each.weight for each in ranking.shares)
    assert min(others) > 0
    assert sum(others) / (best + sum(others)) <= EXPLORED


def test_the_best_serves_however_small_its_weight_is_beside_its_equals() -> None:
    ranking = rank([Candidate("small", 0.0, weight=1), Candidate("large", 0.0, weight=1_000_000)], None, NOW)
    assert ranking is not None
    assert all(each.weight > 0 for each in ranking.shares)


@pytest.mark.parametrize("is_down", [False, True])
def test_a_target_that_fails_is_left_for_others_of_which_nothing_is_known(*, is_down: bool) -> None:
    failing = Candidate("failing", 1.0, is_failing=True, is_down=is_down, weight=5)
    others = [
        Candidate("new", None, weight=1),
        Candidate("newer", None, weight=3),
        Candidate("spare", None, weight=0),
    ]
    ranking = rank([failing, *others], Ranking((WeightedTarget("failing", WHOLE),), NOW - 1), NOW)
    assert ranking is not None
    weights = {each.target_id: each.weight for each in ranking.shares}
    explored = 0 if is_down else WHOLE * EXPLORED
    assert weights == {
        "newer": pytest.approx((WHOLE - explored) * 3 / 4),
        "new": pytest.approx((WHOLE - explored) / 4),
        "failing": explored,
        "spare": 0,
    }
    assert rank([failing, *others], ranking, NOW + 1) == ranking
