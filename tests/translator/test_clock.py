"""A wall clock that jumps: what follows the jump at once, and what it cannot free or block for long."""

from __future__ import annotations

import pytest

from tests.translator import policies
from tests.translator.policies import VALUE
from tests.translator.test_authorise import NOW, asked
from translator.authorise import Authoriser
from translator.errors import Refusal
from translator.limits import Limiter
from translator.metering import Meter
from translator.policy.store import PolicyStore

HOUR = 3_600.0


def test_a_key_s_end_follows_the_clock_in_both_directions() -> None:
    store = PolicyStore()
    store.apply(policies.response(policies.ORGANISATION, policies.organisation()))
    store.apply(policies.response(policies.KEY, policies.key(expires_at=int(NOW + HOUR))))
    store.apply(policies.response(policies.ROUTE, policies.route()))
    now = NOW
    meter = Meter(Limiter(store.limits_by_id), clock=lambda: now)
    authoriser = Authoriser(store, meter, lambda: now)
    check = asked(b'{"model": "gpt-4.1"}', value=VALUE)
    assert authoriser.decide(check)
    now = NOW + 2 * HOUR  # forward past the end
    with pytest.raises(Refusal) as refused:
        authoriser.decide(check)
    assert refused.value.code == "api_key_expired"
    now = NOW - 24 * HOUR  # and back again
    assert authoriser.decide(check)


def test_how_long_a_policy_is_as_it_is_does_not_depend_on_the_wall_clock() -> None:
    steady = [0.0]
    store = PolicyStore(lambda: steady[0])
    steady[0] = 5.0
    assert store.age_seconds == 5.0
