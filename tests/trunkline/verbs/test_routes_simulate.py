"""`trunkline routes simulate` against a real control plane."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trunkline.verbs.control_plane import ControlPlane, control_plane
from tests.xds_server.ledger.usage import usage

FILE = """\
version: 1
providers:
  - {{name: a, base_url: "https://a.example/v1"}}
  - {{name: b, base_url: "https://b.example/v1"{credentials}}}
routes:
  - model: gpt
    strategy: {strategy}
    targets:
      - {{provider: a, model: m, price: {{input: 4, output: 8}}}}
      - {{provider: b, model: m, weight: {weight}, price: {{input: 1, output: 2}}}}
  - {{model: another, targets: [{{provider: a, model: m}}]}}
organisations: [{{name: acme}}]
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with two targets that have served 20 requests each: `a` in 1.5 s each, `b` in 0.6 s."""
    directory = tmp_path_factory.mktemp("simulate")
    with control_plane(directory) as made:
        (directory / "now.yaml").write_text(FILE.format(strategy="weighted", weight=1, credentials=""))
        assert made.trunkline("apply", "-f", str(directory / "now.yaml")).exit_code == 0
        times = {"a/m": (1_000_000, 800_000), "b/m": (100_000, 200_000)}
        made.append(
            [
                usage(
                    time.time() - 600, model="gpt", target_id=target, stream=True, cached_tokens=0,
                    first_byte_us=first, duration_us=first + 500_000, cost_nano_usd=cost,
                )
                for target, (first, cost) in times.items()
                for _ in range(50)
            ]
        )  # fmt: skip
        yield made


@pytest.fixture
def proposed(tmp_path: Path) -> Path:
    """A file with a credential whose variable is not set, and not needed."""
    file = tmp_path / "proposed.yaml"
    file.write_text(FILE.format(strategy="fastest", weight=1, credentials=', credentials: ["env:NOT_SET_HERE"]'))
    return file


def test_a_table_has_now_and_proposed_beside_each_other(plane: ControlPlane, proposed: Path) -> None:
    result = plane.trunkline("routes", "simulate", "--file", str(proposed), "--model", "gpt")
    assert result.exit_code == 0, result.output
    heading, of_a, of_b, total, *notes = result.stdout.splitlines()
    for name in (
        "share now",
        "share proposed",
        "cost usd now",
        "cost usd proposed",
        "seconds now",
        "first byte ms",
    ):
        assert name in heading
    assert [line.split()[1] for line in (of_a, of_b, total)] == ["a/m", "b/m", "total"]
    assert "0.05" in total
    assert notes == ["gpt: 100 requests replayed"]


def test_json_has_each_target_by_view(plane: ControlPlane, proposed: Path) -> None:
    result = plane.trunkline("routes", "simulate", "-f", str(proposed), "--since", "1h", "--output", "json")
    gpt, another = json.loads(result.stdout)
    assert (gpt["model"], gpt["requests"], gpt["notes"]) == ("gpt", 100, [])
    shares = {
        each["target"]: [each[view]["share"] for view in ("recorded", "now", "proposed")]
        for each in gpt["targets"]
    }
    assert shares == {"a/m": ["50 %", "50 %", "2 %"], "b/m": ["50 %", "50 %", "98 %"]}
    assert [gpt["total"][view]["cost_usd"] for view in ("recorded", "now", "proposed")] == [0.05, 0.05, 0.0212]
    assert gpt["total"]["now"]["seconds"] == pytest.approx(1.05, rel=0.05)
    assert gpt["total"]["proposed"]["seconds"] == pytest.approx(0.62, rel=0.05)
    assert another["requests"] == 0
    assert "another: " in result.stderr


def test_csv_has_a_line_of_each_target_and_one_of_all(plane: ControlPlane, proposed: Path) -> None:
    result = plane.trunkline("routes", "simulate", "-f", str(proposed), "--model", "gpt", "--output", "csv")
    heading, *lines = result.stdout.splitlines()
    assert heading.startswith("model,organisation,target,share_recorded,share_now,share_proposed,")
    assert [line.split(",")[2] for line in lines] == ["a/m", "b/m", "total"]
    assert result.stderr == "gpt: 100 requests replayed\n"


def test_nothing_is_changed(plane: ControlPlane, proposed: Path) -> None:
    before = plane.trunkline("export").stdout
    assert plane.trunkline("routes", "simulate", "-f", str(proposed)).exit_code == 0
    assert plane.trunkline("export").stdout == before


def test_a_mistake_is_reported_by_its_line(plane: ControlPlane, proposed: Path) -> None:
    proposed.write_text(proposed.read_text().replace("provider: b, model", "provider: c, model"))
    result = plane.trunkline("routes", "simulate", "-f", str(proposed))
    assert result.exit_code == 1
    assert "proposed.yaml:10: " in result.stderr


def test_an_unknown_model_is_reported_with_what_there_is(plane: ControlPlane, proposed: Path) -> None:
    result = plane.trunkline("routes", "simulate", "-f", str(proposed), "--model", "gtp")
    assert (result.exit_code, "did you mean gpt?" in result.stderr) == (1, True), result.stderr
