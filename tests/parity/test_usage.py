"""Every column of usage: Envoy's log line → record → the control plane's columns → reports → the CLI's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.parity import fields
from tests.translator.ledger.writing import request_line, reservation
from tests.xds_server.ledger.usage import batch, usage
from translator.ledger import lines
from translator.ledger.lines import RequestLine
from translator.ledger.prices import PriceBook
from translator.ledger.records import Bill, bill, expired, record
from translator.ledger.rows import as_message
from translator.ledger.usage import Tokens
from translator.limits import Reservation
from trunkline import usage_rows
from xds_server.admin import usage as admin_usage
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.rollup import SUMS, UNITS
from xds_server.resources import access_log
from xds_server.usage import records
from xds_server.usage.records import Row, record as as_it_arrived

RECORD: Mapping[str, Any] = dict(pb.UsageRecord.DESCRIPTOR.fields_by_name)

#: A different value for fields of a line for which the value by type changes nothing.
LINE_VALUES: Mapping[str, Any] = {
    "node": "nd-1 5000000 7000000",
    "credential": "2",
    "failed": "azure/x=429",
    "attempts": 2,
    "status": 201,
    "events": "900:90000",
    "usage": '{"prompt_tokens":11,"completion_tokens":6}',
}
#: Fields of a record that no translator of this version fills, and why.
NOT_FILLED: dict[str, str] = {}
#: Fields of a record that the control plane does not store, and why.
NOT_STORED = {
    "plain": "it says what need not be read on the way",
}
#: Numbers of a record that no report sums, and why.
NOT_SUMMED = {
    "format": "of the record's layout",
    "started_at_us": "the dimensions hour and day",
    "attempts": "`retries`",
    "status": "`errors`",
    "request_bytes": "single records tell",
    "response_bytes": "single records tell",
    "first_byte_us": "percentiles, in `usage compare`",
    "duration_us": "the speed, in `usage compare`",
    "cost_micro_usd": "`cost_nano_usd` in another unit",
    "price_version": "no amount",
    "earned_micro_usd": "`earned_nano_usd` in another unit",
    "earned_nano_usd": "`nodes contributions`",
    "claimed_prompt_tokens": "single records tell",
    "claimed_completion_tokens": "single records tell",
    "credential_index": "no amount",
    "target_status": "`errors`, by the status that the client got",
}
#: Fields of Tokens that no record has by themselves, and why.
NOT_RECORDED = {
    "image_size": "it chose the price",
    "image_quality": "it chose the price",
}
#: The source of sums that do not come from a field with the same name.
SUMMED_FROM: dict[str, dict[str, Any] | None] = {
    "requests": {},
    "errors": {"status": 500},
    "retries": {"attempts": 3},
    "estimated": {"estimated": True},
    "cache_hits": {"cache_hit": True},
    "capped": {"capped": True},
}


def line(reserved: Reservation, **changed: object) -> RequestLine:
    found = lines.parse(request_line("r", reserved, **changed).rstrip())
    assert found is not None
    return found


def recorded(of: RequestLine) -> pb.UsageRecord:
    assert of.reservation is not None
    return as_message(record(of, of.reservation, bill(of, of.reservation, PriceBook())))


@pytest.mark.parametrize("field", access_log.FIELDS)
def test_a_field_of_envoys_log_line_reaches_the_record(field: str) -> None:
    assert field in lines._Usual.__struct_fields__, f"{field} is lost in translator/ledger/lines.py: _Usual"
    stream = reservation("r", stream=True)
    # Events count if no usage is reported, and failed attempts if there was more than one attempt.
    beside = {"usage": None} if field == "events" else {"attempts": 3} if field == "failed" else {}
    kind = msgspec.structs.fields(lines._Usual)[lines._Usual.__struct_fields__.index(field)].type
    value = LINE_VALUES.get(field, 7 if "int" in str(kind) else "probe")
    before = line(stream, **beside)
    after = (
        line(reservation("r", stream=True, tag="other"))
        if field == "note"
        else line(stream, **{**beside, field: value})
    )
    assert before != after, f"{field} is lost in translator/ledger/lines.py: parse"
    assert recorded(before) != recorded(after), f"{field} is lost in translator/ledger/records.py or usage.py"


def test_the_translator_fills_every_field_of_a_record() -> None:
    filled = {field.name for each in _records() for field, _ in each.ListFields()}
    missing = RECORD.keys() - filled - NOT_FILLED.keys()
    assert not missing, f"translator/ledger/records.py does not fill {', '.join(sorted(missing))}"
    assert not filled & NOT_FILLED.keys(), "the field is filled: remove it from NOT_FILLED"


def _records() -> Iterable[pb.UsageRecord]:
    reserved = reservation("r", stream=True, user="u", tag="t", units="i1")
    full = line(
        reserved,
        flags="DC",
        node="nd-1 5000000 7000000",
        failed="azure/x=429:12 cancelled",
        attempts=2,
        upstream_id="u",
        credential="2",
    )
    yield as_message(record(full, reserved, Bill(_tokens(), 7, 7)))
    kept = msgspec.structs.replace(reserved, saved=7)
    yield as_message(record(line(kept), kept, Bill(_tokens(), 0, 0)))
    refused = line(kept, failed="azure/x=401:12", attempts=1, status=502)
    yield as_message(record(refused, kept, Bill(_tokens(), 0, 0)))
    yield expired(reserved)


def _tokens(**changed: Any) -> Tokens:
    """Returns tokens of every kind."""
    given: dict[str, Any] = {
        each.name: "probe" if each.type is str else True if each.type is bool else 7
        for each in msgspec.structs.fields(Tokens)
    }
    return Tokens(**{**given, **changed})


@pytest.mark.parametrize("field", Tokens.__struct_fields__)
def test_what_a_request_used_is_recorded(field: str) -> None:
    reserved = reservation("r", units="i1")
    kind = {each.name: each.type for each in msgspec.structs.fields(Tokens)}[field]
    beside = {"claimed_prompt": 0, "claimed_completion": 0} if field == "capped" else {}
    before, after = (
        record(line(reserved), reserved, Bill(_tokens(**beside, **changed), 7, 7))
        for changed in ({field: "" if kind is str else False if kind is bool else 0}, {})
    )
    if field in NOT_RECORDED:
        assert before == after, f"{field} is recorded: take it out of NOT_RECORDED"
    else:
        assert before != after, f"Tokens.{field} is lost in translator/ledger/records.py"


def probe(name: str, **beside: Any) -> pb.UsageRecord:
    """Returns a record with another value in one field."""
    made = usage(**beside)
    if name == "failed_attempts":
        made.failed_attempts.add(target_id="azure/x", status=429, reason="refused")
    elif name != "format":
        fields.put(made, name, next(iter(fields.values(RECORD[name]))))
    if name in {"cost_micro_usd", "earned_micro_usd"}:  # like an older translator
        made.ClearField(name.replace("micro", "nano"))  # type: ignore[arg-type]
        made.node_id = "nd-1"
    return made


def test_a_row_has_every_field_of_a_record() -> None:
    derived = {"format", "cost_micro_usd", "earned_micro_usd"}
    missing = ", ".join(sorted(RECORD.keys() - derived - NOT_STORED.keys() - set(Row._fields)))
    assert not missing, f"xds_server/usage/records.py: Row has no {missing}"


def test_a_column_that_the_message_lacks_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"^Row has the field video_ms, but .* ledger\.proto lacks it$"):
        records._default("video_ms")


@pytest.mark.parametrize("name", sorted(RECORD.keys() - NOT_STORED.keys()))
async def test_a_field_of_a_record_is_stored_and_exported(name: str, ledger: Ledger, reader: LedgerReader) -> None:
    sent = probe(name)
    await ledger.append(batch(sent))
    ((row,),) = [page async for page in reader.export(Filter())]
    came = as_it_arrived(row)
    assert getattr(came, name) == getattr(sent, name), (
        f"{name} is lost in xds_server/usage/records.py or blocks.py"
    )
    shown = usage_rows.record_row(came)
    assert shown[name] or name == "format", f"{name} is lost in trunkline/usage_rows.py"


@pytest.mark.parametrize("name", [name for name, field in RECORD.items() if field.type in fields.WHOLE])
def test_a_number_of_a_record_is_summed(name: str) -> None:
    summed = {*SUMS, *UNITS}
    if name in NOT_SUMMED:
        assert name not in summed, f"{name} is summed: take it out of NOT_SUMMED"
    else:
        assert name in summed, f"{name} is in no report: admin.proto's UsageRow, or NOT_SUMMED with the reason"


@pytest.mark.parametrize(
    "name", [field.name for field in admin.UsageRow.DESCRIPTOR.fields if field.name != "values"]
)
async def test_a_sum_is_reported(name: str, ledger: Ledger, reader: LedgerReader) -> None:
    source = SUMMED_FROM.get(name)
    if source is None:
        assert name in RECORD, f"say in SUMMED_FROM what {name} is made of"
        source = {"cost_nano_usd": 7_000_000} if "cost" in name else {name: 7_000}
    await ledger.append(batch(usage(**source), usage(**source)))
    (group,) = await reader.report(Filter(), ())
    row = admin_usage._row(group)
    expected = {"cost_nano_usd": 14_000_000, "requests": 2, "errors": 2, "retries": 4}
    amount = expected.get(name, 2 if name in SUMMED_FROM else 14_000)
    assert getattr(row, name) == amount, f"{name} is lost in xds_server/ledger/rollup.py or reports.py"
    cells = list(usage_rows.report_row(row, ()).values())
    shown = "0.014000000" if "cost" in name else amount
    assert shown in cells, f"{name} is lost in trunkline/usage_rows.py"


def test_exceptions_are_fields() -> None:
    assert {*NOT_FILLED, *NOT_STORED, *NOT_SUMMED} <= RECORD.keys()
    assert NOT_RECORDED.keys() <= set(Tokens.__struct_fields__)
    assert SUMMED_FROM.keys() <= set(admin.UsageRow.DESCRIPTOR.fields_by_name)
