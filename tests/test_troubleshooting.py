"""docs/troubleshooting.md lists exactly the error codes that clients may get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()

_PATTERNS = {
    "translator/**/*.py": (
        r'Refusal\(\s*\d+,\s*"([a-z_]+)"',
        r'\bcode(?:: str)? ?= ?(?:kind ?= ?)?"([a-z_]+)"',
        r'_wrong\([^,]+, "([a-z_]+)"',
    ),
    "xds_server/resources/*.py": (
        r'\bcode="([a-z_]+)"',
        r'^ {4}\d{3}: \(.*"([a-z_]+)"\),$',
        r'^ {8}"([a-z]+_[a-z_]+)",\n {4}\),',
        r'_unavailable\((?:name|"none"), message, "([a-z_]+)"',
    ),
    # A string that begins with the member is what is looked for in a target's answer.
    "envoy/module/*.c": (r'"(?:requests|[a-z_]+_error)",\s*"([a-z_]+)"\)', r'(?<!")\\"code\\":\\"([a-z_]+)\\"'),
}


def codes() -> Iterator[str]:
    for files, patterns in _PATTERNS.items():
        for file in ROOT.glob(files):
            for pattern in patterns:
                yield from re.findall(pattern, file.read_text(), re.MULTILINE)


def test_every_code_is_documented() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)` \| \d", PAGE, re.MULTILINE)) | {
        "unavailable",
        "deadline_exceeded",
        "not_found",
    } == set(codes())
