"""Files that are no valid trunkline.yaml are refused quickly, with the reason, and without filling memory."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from trunkline.config import loader
from trunkline.config.document import request
from trunkline.config.secrets import Secrets
from trunkline.errors import ConfigError

ROUTE = "version: 1\nroutes:\n  - model: m\n    targets: [{nodes: m%s}]\n"
LIMIT = "version: 1\norganisations:\n  - name: a\n    limits: [{metric: requests, per: 60s, amount: %s}]\n"
#: Each level repeats the one before nine times, by aliases or by merging.
LAUGHS = "a0: &a0 [1, 2]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 30)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"t.yaml:\d+: more than 1,000,000 values, including repeated ones"),
        (MERGES, r"t.yaml:\d+: more than 1,000,000 values, including repeated ones"),
        ("a: &a [*a]\n", "t.yaml:1: an alias refers to its own container"),
        ("a: &a {<<: [*a, *a], b: 1}\n", "a: unknown field"),
        ("a: " + "[" * 20_000, "t.yaml: values are nested too deeply"),
        (ROUTE % f", weight: {'9' * 5_000}", "t.yaml:4: not a valid int: "),
        (
            ROUTE % f", weight: {'9' * 4_000}",
            "t.yaml:4: not a valid int: it is larger than any number here may be",
        ),
        (ROUTE % f", weight: 0x{'f' * 1_000}", "t.yaml:4: not a valid int"),
        (ROUTE % ", weight: 5000000000", "a number in the file is too large: Value out of range"),
        (ROUTE % ", weight: 2026-13-01", "t.yaml:4: not a valid timestamp: month must be in 1..12"),
        (ROUTE % ", price: {input: 1.0e+999999999}", "price.input: expected a number of at most 18 digits"),
        (
            ROUTE % ", price: {input: 12345678901234567.0, output: 0}",
            r"price.input: expected an amount of at most [\d.]+ USD",
        ),
        (LIMIT % "1.0e+999999999", "amount: expected a number of at most 18 digits"),
        (LIMIT % "'1e999999999'", "amount: expected a number of at most 18 digits"),
        (LIMIT.replace("60s", "9" * 6_000 + "d") % 1, "per: expected a number of at most 18 digits"),
        ("!!python/object/apply:os.system ['true']", "t.yaml:1: expected the fields"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        request(loader.parse(text, "t.yaml", Secrets({}, Path())))
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("kind", ["endless", "sparse", "pipe"])
def test_files_without_an_end(tmp_path: Path, kind: str) -> None:
    file, writing = tmp_path / "t.yaml", None
    if kind == "endless":
        file = Path("/dev/zero")
    elif kind == "sparse":
        with file.open("wb") as made:
            made.truncate(1 << 40)
    else:
        os.mkfifo(file)
        writing = threading.Thread(target=_pour, args=(file,))
        writing.start()
    with pytest.raises(ConfigError, match="larger than the 16,777,216 bytes that are accepted"):
        loader.load(file, {})
    if writing is not None:
        writing.join(60)


def _pour(file: Path) -> None:
    """Writes more than is accepted, until the reader is gone."""
    try:
        with file.open("wb") as pipe:
            while True:
                pipe.write(b"a: 1\n" * 10_000)
    except BrokenPipeError:
        return


def test_a_secret_without_an_end() -> None:
    with pytest.raises(ValueError, match="cannot read /dev/zero: larger than the 65,536 bytes"):
        Secrets({}, Path()).credential("file:/dev/zero")


@pytest.mark.slow
def test_as_much_as_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("version: 1\n" + "#" * (loader.MAX_BYTES - 11))
    assert loader.load(file, {}).routes is None
