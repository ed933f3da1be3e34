"""Runs every input of the corpus through its target, and checks that targets can fail."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from fuzz import corpus, native, targets
from translator.bodies.json_body import JsonBody
from translator.checks.frames import FrameReader
from translator.ledger import lines

IN_C = [f"c/{name}" for name in native.targets()]


@pytest.mark.parametrize("target", targets.names())
def test_the_corpus_holds(target: str) -> None:
    check = targets.load(target).check
    check(b"")
    taken = [check(path.read_bytes()) for path in corpus.seeds(target)]
    assert any(taken), "every input is refused: the corpus is older than what it is for"


@pytest.mark.compiler
@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", IN_C)
def test_the_corpus_in_c_holds(target: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    program = native.program(target.partition("/")[2], guided=False)
    done = subprocess.run([program, tmp_path, corpus.SEEDS / target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{1 + len(corpus.seeds(target))} runs\n"


@pytest.mark.parametrize("target", [*targets.names(), *IN_C])
def test_every_target_has_a_corpus(target: str) -> None:
    assert corpus.seeds(target)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in corpus.SEEDS.rglob("*") if path.is_file()) < 64 * 1024


def test_every_corpus_and_dictionary_has_its_target() -> None:
    known = {*targets.names(), *IN_C}
    assert {
        str(path.parent.relative_to(corpus.SEEDS)) for path in corpus.SEEDS.rglob("*") if path.is_file()
    } == known
    for path in corpus.DICTIONARIES.rglob("*.dict"):
        assert str(path.relative_to(corpus.DICTIONARIES).with_suffix("")) in known
        assert corpus.words(path)


@pytest.mark.parametrize(
    ("target", "of", "name", "wrong"),
    [
        ("body", JsonBody, "model_value", lambda self: (0, 1)),
        ("frames", FrameReader, "feed", lambda self, data: iter([(len(data), None)])),
        ("lines", lines, "parse", lambda line: None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_oracle_notices(
    target: str, of: object, name: str, wrong: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of, name, wrong)
    module = targets.load(target)
    with pytest.raises((AssertionError, ValueError)):
        _check_all(module, target)


def _check_all(module: ModuleType, target: str) -> None:
    for path in corpus.seeds(target):
        module.check(path.read_bytes())
