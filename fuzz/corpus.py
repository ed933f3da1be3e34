"""Locations of inputs: a few small ones of each target in the repository, and those found by runs next to the
builds.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
#: In the repository; the tests run each.
SEEDS = HERE / "corpus"
#: Inputs that guided runs keep from run to run.
FOUND = HERE / "build" / "corpus"
#: Inputs that broke something.
FINDINGS = HERE / "findings"
DICTIONARIES = HERE / "dictionaries"


def seeds(target: str) -> list[Path]:
    """Returns the inputs in the repository, in a stable order."""
    return sorted(path for path in (SEEDS / target).glob("*") if path.is_file())


def dictionary(target: str) -> Path | None:
    """Tokens of the target's language, in libFuzzer's format."""
    path = DICTIONARIES / f"{target}.dict"
    return path if path.exists() else None


def words(path: Path) -> list[bytes]:
    """Returns the tokens of a dictionary."""
    lines = (line.strip() for line in path.read_text().splitlines())
    texts = [line.removeprefix('"').removesuffix('"') for line in lines if line.startswith('"')]
    return [text.encode("latin-1").decode("unicode_escape").encode("latin-1") for text in texts]
