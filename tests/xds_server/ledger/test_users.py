"""A user's requests are found, wherever the index ends and however late their records came."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.xds_server.ledger.test_search import all_pages
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.ledger import rollup, search, users
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.search import Search
from xds_server.store import Store

_organisations, _numbers = itertools.count(), itertools.count()
#: Beginnings of ids, and users.
NAMED = (("", "u"), ("", "nobody"), ("a000", "u"))
REQUESTS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(0, 20).map(lambda hour: MONDAY_10 + hour * HOUR),
            "end_user": st.sampled_from(["", "u", "v"]),
            "key_id": st.sampled_from(["k1", "k2"]),
            "tag": st.sampled_from(["", "x", "y"]),
        }
    ),
    min_size=1,
    max_size=16,
)
FILTERS: list[dict[str, Any]] = [{}, {"key_id": "k1"}, {"tag": "y"}, {"since": MONDAY_10 + 3 * HOUR + 7}]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=REQUESTS,
    ends=st.lists(st.integers(-1, 21), min_size=1, max_size=3),
    stretch=st.integers(1, 5),
    size=st.integers(1, 4),
)
def test_every_request_of_a_user_is_found(
    store: Store, drawn: list[dict[str, Any]], ends: list[int], stretch: int, size: int
) -> None:
    """Records arrive between the steps of indexing, before and after the indexed times; several share a
    microsecond.
    """
    organisation = f"org_{next(_organisations)}"
    made = [
        usage(organisation_id=organisation, id=f"{'ab'[number % 2]}{next(_numbers):09}", **each)
        for number, each in enumerate(drawn)
    ]

    async def run() -> None:
        ledger, reader = Ledger(store.url, store.write_lock), LedgerReader(store.url)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(users, "STRETCH", stretch)
            patch.setattr(search, "_STEP", 2)
            patch.setattr(search, "_FOUND", 2)
            patch.setattr(rollup, "MAX_TAGS", 1)
            for part, end in itertools.zip_longest([made[start::3] for start in range(3)], sorted(ends)):
                if part:
                    await ledger.append(batch(*part))
                until = (MONDAY_10 + (end if end is not None else 0) * HOUR) * 1_000_000
                while await ledger.write(lambda writing, until=until: users.advance(writing, until)):  # type: ignore[misc]
                    pass
            for (prefix, user), fields in itertools.product(NAMED, FILTERS):
                wanted = Filter(organisation_id=organisation, **fields)
                found = await all_pages(reader, Search(wanted, prefix, user), size)
                expected = [
                    each.id
                    for each in sorted(made, key=lambda one: (one.started_at_us, one.id), reverse=True)
                    if all(getattr(each, column) == value for column, value in wanted.given.items())
                    and each.started_at_us in wanted.times_us
                    and each.end_user == user
                    and each.id.startswith(prefix)
                ]
                assert found == expected, (prefix, user, fields)
        reader.close()
        ledger.close()

    asyncio.run(run())


async def test_only_the_requests_of_the_user_are_examined(
    ledger: Ledger, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        await ledger.append(batch(usage(MONDAY_10 + number, end_user="u" if number == 7 else "v")))
    await ledger.write(lambda writing: users.advance(writing, (MONDAY_10 + HOUR) * 1_000_000))
    examined: list[int] = []
    opened = search._opened

    def counted(snapshot: Any, wanted: Search, listed: dict[tuple[int, str], int]) -> Any:
        examined.extend(listed.values())
        return opened(snapshot, wanted, listed)

    monkeypatch.setattr(search, "_opened", counted)
    assert len(await all_pages(reader, Search(end_user="u"), 100)) == 1
    assert len(examined) == 1
    assert await all_pages(reader, Search(Filter(key_id="none"), end_user="u"), 100) == []
    assert await all_pages(reader, Search(end_user="nobody"), 100) == []
    assert len(examined) == 1
