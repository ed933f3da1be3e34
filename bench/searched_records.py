"""Generates the records of bench.searches: thirty days of requests, stored in batches as translators send them."""

from __future__ import annotations

import random
import threading

from bench.reports import raw
from xds_server.ledger import writing
from xds_server.ledger.connection import open_writer
from xds_server.store import DatabaseUrl
from xds_server.usage.records import Columns, Row

DAYS, HOUR = 30, 3_600
#: 2026-01-01T00:00:00Z
BEGIN = 1_767_225_600
END = BEGIN + DAYS * 24 * HOUR
#: Records of a batch: a translator that is busy sends as many.
BATCH = 500
#: An hour of each week, in hours since its beginning, in which the rare key, tag and user were used.
RARE_HOUR = 75
#: How often a request ends otherwise than with 200: one in as many.
LIMITED, UNAVAILABLE, CANCELLED, EXPIRED = 1_000, 10_007, 50_021, 100_003
#: Users of each key. One request in three names its user.
USERS = 250


def load(url: DatabaseUrl, records: int) -> None:
    """Stores the records in the order of their starts."""
    draw = random.Random(5)
    writer = open_writer(url, threading.Lock())
    for first in range(0, records, BATCH):
        rows = [record(draw, number, records) for number in range(first, min(first + BATCH, records))]
        batch: Columns = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
        with writer.transaction() as transaction:
            writing.append(transaction, batch)
    writer.close()


def record(draw: random.Random, number: int, records: int) -> Row:
    at = BEGIN + number * DAYS * 24 * HOUR / records
    row = raw(draw, round(at * 1_000_000))
    if number % LIMITED == 0:
        row = row._replace(status=429)
    if number % UNAVAILABLE == 0:
        row = row._replace(status=503)
    if number % CANCELLED == 0:
        row = row._replace(status=499, cancelled=True)
    if number % EXPIRED == 0:
        row = row._replace(status=0, expired=True)
    if number % 3 == 0:
        row = row._replace(end_user=f"{row.key_id}-user-{draw.randrange(USERS)}")
    if number % 100 == 0 and (at - BEGIN) // HOUR % (7 * 24) == RARE_HOUR:
        row = row._replace(key_id="rare", tag="rare", end_user="rare")
    return row
