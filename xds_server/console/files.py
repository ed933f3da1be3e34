"""The console's files as they are served: read once, compressed once, addressed by their content.

Everything but the page itself is below `/console/<version>/`, where the version is a digest of all files. A
browser can therefore cache files for a year and still never mixes two versions. The page, `/`, names the version
and is requested again on every visit.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Served types, by file name suffix.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
_REFERENCE = Path(__file__).parents[1] / "rest" / "openapi.json"
_PAGE = "index.html"
#: The placeholder in the page for the files' location.
_PLACE = b"{{files}}"
_ONE_YEAR = 31_536_000
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class File:
    """One file. `compressed` is its gzip form; `digest` is of `content`, hex."""

    content: bytes
    compressed: bytes
    content_type: str
    digest: str
    cache_control: str

    def etag(self, *, compressed: bool) -> str:
        """Returns the entity tag of one form (RFC 9110 section 8.8.3: each form has its own)."""
        return f'"{self.digest}{"-gzip" if compressed else ""}"'


@dataclass(frozen=True, slots=True)
class Files:
    """The served files by path."""

    by_path: Mapping[str, File]
    version: str


def directory() -> Path:
    """Returns where the console's files are: inside this package in a wheel, next to it in a checkout."""
    packaged = Path(__file__).parents[1] / "_console"
    return packaged if packaged.is_dir() else packaged.parents[1] / "console"


def load(root: Path) -> Files:
    """Reads and compresses all files below `root`. Takes some hundredths of a second.

    Raises OSError.
    """
    contents = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in _TYPES and path.is_file()
    }
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = digest.hexdigest()[:_DIGITS]
    page = contents.pop(_PAGE).replace(_PLACE, f"/console/{version}".encode())
    lasting = f"public, max-age={_ONE_YEAR}, immutable"
    served = {f"/console/{version}/{name}": file(name, each, lasting) for name, each in contents.items()}
    return Files({"/": file(_PAGE, page, "no-cache"), **served}, version)


def reference() -> File:
    """Returns the OpenAPI document of the Admin API."""
    return file(_REFERENCE.name, _REFERENCE.read_bytes(), "no-cache")


def file(name: str, content: bytes, cache_control: str) -> File:
    """Returns a file as it is served; its name's suffix determines its type."""
    return File(
        content=content,
        compressed=gzip.compress(content, 9, mtime=0),
        content_type=_TYPES.get(Path(name).suffix, "application/json"),
        digest=hashlib.sha256(content).hexdigest()[: 2 * _DIGITS],
        cache_control=cache_control,
    )
