"""Contributions of nodes, against cases computed by hand, on both databases."""

from __future__ import annotations

from typing import Any

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from tests.xds_server.store.writing.joining import join, make_owner
from xds_server.ledger.contributions import Contribution, ContributionDimension
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.retention import Retention
from xds_server.ledger.retention_periods import DAY, RetentionPeriods
from xds_server.model import Node
from xds_server.store import Store
from xds_server.store.settings import Invitation
from xds_server.store.writing import keys, nodes, organisations

MONDAY = MONDAY_10 // DAY


def served(node: Node | str, **fields: Any) -> Any:
    """Returns a record of 100 prompt and 50 completion tokens of llama3, which earn 7 micro-USD."""
    node_id = node if isinstance(node, str) else node.id
    return usage(
        **{
            "node_id": node_id,
            "target_id": "nodes/llama3",
            "provider": "nodes",
            "model": "public-name",
            "earned_nano_usd": 7,
            **fields,
        }
    )


async def up(ledger: Ledger, node: Node | str, seconds: int, hour: int = MONDAY_10 // HOUR) -> None:
    node_id = node if isinstance(node, str) else node.id
    await ledger.write(
        lambda writing: writing.run(
            "INSERT INTO node_uptime (hour, node_id, seconds) VALUES (?, ?, ?)", hour, node_id, seconds
        )
    )


async def report(reader: LedgerReader, *by: ContributionDimension, **wanted: Any) -> list[Contribution]:
    return await reader.contributions(Filter(**wanted), by)


async def test_lines_by_hand(store: Store, ledger: Ledger, reader: LedgerReader) -> None:
    make_owner(store)
    make_owner(store, "other")
    rig, laptop = join(store, name="rig"), join(store, Invitation("ci"), name="laptop")
    foreign = join(store, organisation="other", name="rig")
    await ledger.append(
        batch(
            served(rig),
            served(rig, status=502, prompt_tokens=0, completion_tokens=0, earned_nano_usd=0),
            served(rig, target_id="nodes/qwen", earned_nano_usd=1, at=MONDAY_10 + HOUR),
            served(laptop, earned_nano_usd=100, at=MONDAY_10 + 24 * HOUR),
            served(foreign, target_id="", earned_nano_usd=3),
            usage(),  # a provider's
        )
    )
    await up(ledger, rig, 3_000)
    await up(ledger, rig, 60, MONDAY_10 // HOUR + 24)
    await up(ledger, laptop, 9)

    assert await report(reader, ContributionDimension.NODE) == [
        Contribution(laptop.id, "laptop", "", "", -1, (1, 0, 100, 50, 100), 9),
        Contribution(rig.id, "rig", "", "", -1, (3, 1, 200, 100, 8), 3_060),
        Contribution(foreign.id, "rig", "", "", -1, (1, 0, 100, 50, 3), 0),
    ]
    assert await report(reader, ContributionDimension.OWNER) == [
        Contribution("", "", "acme/ci", "", -1, (1, 0, 100, 50, 100), 9),
        Contribution("", "", "acme", "", -1, (3, 1, 200, 100, 8), 3_060),
        Contribution("", "", "other", "", -1, (1, 0, 100, 50, 3), 0),
    ]
    assert await report(reader, ContributionDimension.MODEL) == [
        Contribution("", "", "", "llama3", -1, (3, 1, 200, 100, 107), 0),
        Contribution("", "", "", "public-name", -1, (1, 0, 100, 50, 3), 0),
        Contribution("", "", "", "qwen", -1, (1, 0, 100, 50, 1), 0),
    ]
    assert await report(reader, ContributionDimension.DAY) == [
        Contribution("", "", "", "", MONDAY, (4, 1, 300, 150, 11), 0),
        Contribution("", "", "", "", MONDAY + 1, (1, 0, 100, 50, 100), 0),
    ]
    rows = await report(
        reader,
        ContributionDimension.DAY,
        ContributionDimension.NODE,
        ContributionDimension.OWNER,
        organisation_id=rig.organisation_id,
    )
    assert rows == [
        Contribution(rig.id, "rig", "acme", "", MONDAY, (3, 1, 200, 100, 8), 3_000),
        Contribution(laptop.id, "laptop", "acme/ci", "", MONDAY, (0, 0, 0, 0, 0), 9),
        Contribution(laptop.id, "laptop", "acme/ci", "", MONDAY + 1, (1, 0, 100, 50, 100), 0),
        Contribution(rig.id, "rig", "acme", "", MONDAY + 1, (0, 0, 0, 0, 0), 60),
    ]
    one_hour = await report(
        reader, ContributionDimension.MODEL, since=MONDAY_10 + HOUR, until=MONDAY_10 + 2 * HOUR
    )
    assert [(row.model, row.sums[0]) for row in one_hour] == [("qwen", 1)]
    assert await report(reader, ContributionDimension.NODE, until=MONDAY_10) == []


async def test_a_record_that_comes_again_earns_once(store: Store, ledger: Ledger, reader: LedgerReader) -> None:
    make_owner(store)
    node = join(store)
    request = batch(served(node), served(node))
    await ledger.append(request)
    await ledger.append(request)
    await ledger.append(batch(request.records[0], served(node), request.records[1]))
    (row,) = await report(reader, ContributionDimension.NODE)
    assert row.sums == (3, 0, 300, 150, 21)
    exported = [each async for page in reader.export(Filter()) for each in page]
    assert [each.earned_nano_usd for each in exported] == [7, 7, 7]


async def test_earnings_stay_with_the_owner_of_that_time(
    store: Store, ledger: Ledger, reader: LedgerReader
) -> None:
    key = make_owner(store)
    node = join(store, Invitation("ci"))
    await ledger.append(batch(served(node)))
    store.write("admin", lambda tx: keys.revoke(tx, key.id))
    await ledger.append(batch(served(node), served(node)))
    rows = await report(reader, ContributionDimension.OWNER)
    assert [(row.owner, row.sums[-1]) for row in rows] == [("acme", 14), (f"acme/ci ({key.id})", 7)]


async def test_removed_nodes_and_organisations_keep_what_they_earned(
    store: Store, ledger: Ledger, reader: LedgerReader
) -> None:
    make_owner(store)
    node = join(store)
    store.write("admin", lambda tx: nodes.remove(tx, node.id))
    await ledger.append(batch(served(node)))  # the last request's record comes late
    (row,) = await report(reader, ContributionDimension.NODE, ContributionDimension.OWNER)
    assert (row.node_id, row.node_name, row.owner, row.sums[-1]) == (node.id, "gpu", "acme", 7)
    store.write("admin", lambda tx: organisations.delete(tx, "acme"))
    await ledger.append(batch(served(node)))
    await up(ledger, node, 5)
    rows = await report(reader, ContributionDimension.NODE, ContributionDimension.OWNER)
    assert [(row.node_name, row.owner, row.sums[-1], row.uptime_seconds) for row in rows] == [
        ("", "", 7, 5),
        ("", node.organisation_id, 7, 0),
    ]


async def test_old_contributions_go_with_the_other_sums(
    store: Store, ledger: Ledger, reader: LedgerReader
) -> None:
    old, young = MONDAY_10 - 10 * HOUR - 1, MONDAY_10 - 10 * HOUR
    await ledger.append(
        batch(*(served("nd-x", at=old - index * HOUR) for index in range(5)), served("nd-x", at=young))
    )
    for at in (old - HOUR, old, young):
        await up(ledger, "nd-x", 1, at // HOUR)
    retention = Retention(
        ledger, RetentionPeriods(records=0, rollups=5 * DAY), batch=2, clock=lambda: young + 5 * DAY + 100
    )
    await retention.remove()
    (row,) = await report(reader, ContributionDimension.NODE)
    assert (row.sums[0], row.uptime_seconds) == (1, 1)
