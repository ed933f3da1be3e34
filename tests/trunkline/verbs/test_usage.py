"""`trunkline usage` against a real control plane."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from trunkline_proto.ledger.v1 import ledger_pb2

from tests.trunkline.hostile import assert_harmless
from tests.trunkline.verbs.control_plane import ControlPlane, control_plane
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, usage
from trunkline.usage_rows import RECORD_COLUMNS, duration, exact_usd, usd

RANGE = ("--since", "2026-11-02", "--until", "2026-11-04T00:00:00Z")
FAILED = [ledger_pb2.FailedAttempt(target_id="azure/gpt", status=429, reason="UF")]
RECORDS = [
    usage(stream=True, tag="nightly", failed_attempts=FAILED, attempts=2, cost_nano_usd=1_234_567_000),
    usage(
        at=MONDAY_10 + HOUR, model="o3", target_id="azure/o3", provider="azure", status=503,
        duration_us=65_000_000,
    ),
    usage(at=MONDAY_10 + 24 * HOUR, end_user="Zoë, \"the first\"", cost_nano_usd=400),
]  # fmt: skip


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("cp")) as running:
        running.append(RECORDS)
        running.append(RECORDS)
        yield running


def out(plane: ControlPlane, *arguments: str) -> str:
    result = plane.trunkline("usage", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_report_as_a_table_has_totals_and_aligned_numbers(plane: ControlPlane) -> None:
    lines = out(plane, "report", "--by", "model", *RANGE).splitlines()
    assert [line.split() for line in lines] == [
        ["model", "requests", "errors", "retries", "prompt", "cached", "completion", "reasoning", "cost", "usd",
         "estimated", "cache", "hits", "cached", "percent"],
        ["gpt-4.1", "2", "0", "1", "200", "20", "100", "10", "1.234567400", "0", "0", "10.0"],
        ["o3", "1", "1", "0", "100", "10", "50", "5", "0.000600000", "0", "0", "10.0"],
        ["total", "3", "1", "1", "300", "30", "150", "15", "1.235167400", "0", "0", "10.0"],
    ]  # fmt: skip
    end = lines[0].index("requests") + len("requests")
    assert [line[end - 1] for line in lines[1:]] == ["2", "1", "3"]


def test_a_report_as_json_and_csv(plane: ControlPlane) -> None:
    rows = json.loads(out(plane, "report", "--by", "day,provider", *RANGE, "--output", "json"))
    assert [(row["day"], row["provider"], row["cost_usd"]) for row in rows] == [
        ("2026-11-02", "azure", "0.000600000"),
        ("2026-11-02", "openai", "1.234567000"),
        ("2026-11-03", "openai", "0.000000400"),
    ]
    found = list(csv.DictReader(io.StringIO(out(plane, "report", "--by", "tag", *RANGE, "--output", "csv"))))
    assert [(row["tag"], row["requests"]) for row in found] == [("nightly", "1"), ("", "2")]
    assert out(plane, "report", *RANGE, "--model", "none") == "(none)\n"


def test_top(plane: ControlPlane) -> None:
    lines = out(plane, "top", *RANGE, "--order", "duration", "--limit", "2").splitlines()
    assert "1 m 05 s" in lines[1]
    assert "400.0 ms" in lines[1]
    assert len(lines) == 3
    (first, *_) = json.loads(out(plane, "top", *RANGE, "--output", "json"))
    assert (first["cost_usd"], first["duration"]) == ("1.234567000", 2_400_000)


def test_compare(plane: ControlPlane) -> None:
    header, azure, openai = out(plane, "compare", "--model", "gpt-4.1", *RANGE).splitlines()
    assert header.split()[0] == "target"
    assert azure.split()[:2] == ["azure/gpt", "0"]
    assert azure.split()[-1] == "100.0"
    assert openai.split()[:3] == ["openai/gpt-4.1", "2", "4115.224667"]
    missing = plane.trunkline("usage", "compare")
    assert missing.exit_code == 2
    assert "say which route with --model" in missing.output


def test_export_as_json_lines(plane: ControlPlane) -> None:
    rows = [json.loads(line) for line in out(plane, "export", *RANGE).splitlines()]
    assert [row["id"] for row in rows] == [record.id for record in RECORDS]
    assert tuple(rows[0]) == RECORD_COLUMNS
    assert rows[0]["failed_attempts"] == [
        {"target_id": "azure/gpt", "credential_index": 0, "duration_us": 0, "status": 429, "reason": "UF"}
    ]
    assert rows[2]["end_user"] == 'Zoë, "the first"'


def test_export_to_files(plane: ControlPlane, tmp_path: Path) -> None:
    for form in ("json", "csv", "parquet"):
        file = tmp_path / f"usage.{form}"
        result = plane.trunkline("usage", "export", *RANGE, "--format", form, "--file", str(file))
        assert (result.exit_code, result.stderr) == (0, f"3 records in {file}\n"), result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["usage.csv", "usage.json", "usage.parquet"]
    with (tmp_path / "usage.csv").open(newline="") as written:
        rows = list(csv.DictReader(written))
    assert [row["end_user"] for row in rows] == ["", "", 'Zoë, "the first"']
    assert [row["stream"] for row in rows] == ["true", "false", "false"]
    table = pyarrow.parquet.read_table(tmp_path / "usage.parquet").to_pylist()
    lines = (tmp_path / "usage.json").read_text().splitlines()
    assert table == [json.loads(line) for line in lines]


def test_exports_run_nothing_and_command_no_terminal(plane: ControlPlane, tmp_path: Path) -> None:
    """Texts of clients and providers are harmless in CSV, unchanged in JSON, and exact in Parquet."""
    evil = usage(
        at=MONDAY_10 + 48 * HOUR, end_user="=cmd|' /C calc'!A0", tag="\x1b]0;x\x07\u2028", model="\u202eevil",
        upstream_request_id="\t@x",
    )  # fmt: skip
    plane.append([evil])
    times = ("--since", "2026-11-04", "--until", "2026-11-05")
    (row,) = csv.DictReader(io.StringIO(out(plane, "export", *times, "--format", "csv")))
    assert (row["end_user"], row["tag"]) == ("'=cmd|' /C calc'!A0", r"\x1b]0;x\x07\u2028")
    assert (row["model"], row["upstream_request_id"]) == (r"\u202eevil", r"\t@x")
    shown = out(plane, "export", *times)
    assert_harmless(shown)
    assert json.loads(shown)["tag"] == evil.tag
    file = tmp_path / "x.parquet"
    out(plane, "export", *times, "--format", "parquet", "--file", str(file))
    (stored,) = pyarrow.parquet.read_table(file).to_pylist()
    assert (stored["tag"], stored["model"], stored["end_user"]) == (evil.tag, evil.model, evil.end_user)
    for verb in (("report", "--by", "model,tag"), ("top",)):
        for form in ("table", "csv", "json"):
            assert_harmless(out(plane, *verb, *times, "--output", form))


def test_a_file_that_cannot_be_written(plane: ControlPlane, tmp_path: Path) -> None:
    result = plane.trunkline("usage", "export", "--file", str(tmp_path / "missing" / "x.csv"), "--format", "csv")
    assert result.exit_code == 1
    assert "No such file or directory" in result.output


def test_parquet_without_pyarrow_says_what_to_install(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = plane.trunkline("usage", "export", "--format", "parquet", "--file", str(tmp_path / "x"))
    assert result.exit_code == 1
    assert "pip install 'trunkline[parquet]'" in result.output
    assert list(tmp_path.iterdir()) == []
    assert "needs --file" in plane.trunkline("usage", "export", "--format", "parquet").output


def test_claims_and_units_are_shown_where_there_are_any(plane: ControlPlane) -> None:
    times = ("--since", "2026-11-06", "--until", "2026-11-07")
    day = MONDAY_10 + 96 * HOUR
    claim = {"capped": True, "claimed_prompt_tokens": 2_000_000_000, "upstream_request_id": "req_1"}
    plane.append([usage(at=day, images=3, **claim), usage(at=day + 1)])
    header, line, total = (each.split() for each in out(plane, "report", *times).splitlines())
    assert header[-5:] == ["hits", "capped", "images", "cached", "percent"]
    assert line[-3:] == total[-3:] == ["1", "3", "10.0"]
    top, first, second = out(plane, "top", *times).splitlines()
    assert top.split()[-6:] == ["capped", "claimed", "prompt", "upstream", "request", "id"]
    assert [line.split()[-3:] for line in (first, second) if "req_1" in line] == [["yes", "2000000000", "req_1"]]
    (row,) = json.loads(out(plane, "report", *times, "--output", "json"))
    assert (row["capped"], row["images"], row["characters"]) == (1, 3, 0)


def test_what_could_not_be_stored_is_reported(plane: ControlPlane) -> None:
    assert out(plane, "refused") == "(none)\n"
    assert "could not be stored" not in plane.trunkline("usage", "report").output
    bad = usage(id="bad", node_id="n" * 129, tag="nightly")
    plane.append([bad, usage(at=MONDAY_10 - HOUR)])
    said = "1 usage records could not be stored and are not included: see `trunkline usage refused`\n"
    assert plane.trunkline("usage", "report", "--output", "json").stderr == said
    assert said in plane.trunkline("status").stdout
    assert json.loads(plane.trunkline("status", "--output", "json").stdout)["refused_records"] == 1
    header, line = out(plane, "refused").splitlines()
    assert header.split() == ["refused", "at", "source", "id", "model", "field", "reason"]
    assert line.split()[1:5] == ["translator-test", "bad", "gpt-4.1", "node_id"]
    (row,) = json.loads(out(plane, "refused", "--output", "json"))
    assert row["record"]["node_id"] == "n" * 129
    assert row["reason"] == "accepted: at most 128 characters, none of them NUL"


def test_flags_that_are_not_accepted(plane: ControlPlane) -> None:
    for arguments, said in (
        (("report", "--by", "colour"), "'colour' is not one of model, route, target"),
        (("report", "--by", "model,model"), "each dimension once"),
        (("report", "--since", "yesterday"), "expected 24h or 7d (ago)"),
        (("report", "--org", "nobody"), 'no organisation "nobody"'),
    ):
        result = plane.trunkline("usage", *arguments)
        assert result.exit_code != 0
        assert said in result.output


@pytest.mark.parametrize("verb", ["report", "top", "compare", "export", "refused"])
def test_help_has_examples(plane: ControlPlane, verb: str) -> None:
    assert f"trunkline usage {verb}" in out(plane, verb, "--help")


@pytest.mark.parametrize(
    ("us", "shown"),
    [(0, ""), (850, "850 µs"), (12_340, "12.3 ms"), (4_560_000, "4.56 s"), (125_000_000, "2 m 05 s")],
)
def test_durations(us: int, shown: str) -> None:
    assert duration(us) == shown


def test_money_is_never_rounded() -> None:
    assert [usd(micro) for micro in (0, 1, 1_234_567, 10**15)] == [
        "0.000000", "0.000001", "1.234567", "1000000000.000000",
    ]  # fmt: skip
    assert [exact_usd(nano) for nano in (0, 400, 2**63 - 1)] == [
        "0.000000000", "0.000000400", "9223372036.854775807",
    ]  # fmt: skip
