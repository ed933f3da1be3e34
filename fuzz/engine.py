"""Runs one Python target in this process: with atheris if it is installed, else with `guided`.

python -m fuzz.engine TARGET SECONDS
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import sys
from pathlib import Path

import structlog

from fuzz import corpus, targets
from fuzz.guided import Guided


def main() -> None:
    """Runs one target. Exits with a status other than 0 if it failed; standard error has the details."""
    # The code under test logs its input thousands of times a second.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target, seconds = sys.argv[1], float(sys.argv[2])
    if has_atheris():
        _atheris(target, seconds)
    else:
        _guided(target, seconds)


def has_atheris() -> bool:
    """Returns whether atheris is installed. It is not in requirements.lock, because it has no wheels for many
    systems.
    """
    return importlib.util.find_spec("atheris") is not None


def _atheris(target: str, seconds: float) -> None:
    import atheris  # noqa: PLC0415 - it may be absent

    with atheris.instrument_imports(include=["translator", "node_sidecar", "xds_server.ledger", "h2", "hpack"]):
        check = targets.load(target).check
    found = corpus.FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    dictionary = corpus.dictionary(target)
    flags = [f"-dict={dictionary}"] if dictionary else []
    flags += [f"-max_total_time={round(seconds)}", f"-artifact_prefix={_findings(target)}/", "-max_len=4096"]
    atheris.Setup([sys.argv[0], str(found), str(corpus.SEEDS / target), *flags], check)
    atheris.Fuzz()


def _guided(target: str, seconds: float) -> None:
    module = targets.load(target)
    dictionary = corpus.dictionary(target)
    guided = Guided(module.check, module.UNDER_TEST, corpus.words(dictionary) if dictionary else ())
    try:
        guided.fuzz([path.read_bytes() for path in corpus.seeds(target)], seconds)
    except BaseException:
        path = _findings(target) / f"crash-{hashlib.sha256(guided.last).hexdigest()[:16]}"
        path.write_bytes(guided.last)
        sys.stderr.write(f"the input is in {path}\n")
        raise
    sys.stderr.write(f"Done {guided.runs} runs\n")


def _findings(target: str) -> Path:
    directory = corpus.FINDINGS / target
    directory.mkdir(parents=True, exist_ok=True)
    return directory


if __name__ == "__main__":
    main()
