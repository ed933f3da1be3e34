"""The console's files as browsers and caches get them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping

import pytest

from tests.xds_server.rest.conftest import Rest, rest
from xds_server.console.files import directory, load

__all__ = ["rest"]


async def get(rest: Rest, path: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = rest.session.request(
        method, f"http://rest{path}", headers=names, skip_auto_headers=["accept-encoding"], auto_decompress=False
    )
    async with asked as response:
        return response.status, response.headers, await response.read()


async def _script(rest: Rest) -> str:
    _, _, page = await get(rest, "/")
    found = re.search(rb'src="(/console/[0-9a-f]{16}/src/main.js)"', page)
    assert found is not None
    return found[1].decode()


async def test_the_page_is_asked_for_anew_and_its_files_are_kept(rest: Rest) -> None:
    status, headers, page = await get(rest, "/")
    assert (status, headers["content-type"], headers["cache-control"]) == (
        200,
        "text/html; charset=utf-8",
        "no-cache",
    )
    assert b"{{" not in page
    status, headers, _ = await get(rest, await _script(rest))
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_every_file_that_the_page_names_is_served(rest: Rest) -> None:
    _, _, page = await get(rest, "/")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
    assert len(named) > 5
    for path in named:
        assert (await get(rest, path))[0] == 200, path


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
    ],
)
async def test_it_is_compressed_for_those_who_take_it(rest: Rest, accepted: str, compressed: bool) -> None:
    _, _, plain = await get(rest, "/")
    _, headers, content = await get(rest, "/", accept_encoding=accepted)
    assert headers.get("content-encoding") == ("gzip" if compressed else None)
    assert headers["vary"] == "accept-encoding"
    assert (gzip.decompress(content) if compressed else content) == plain


async def test_what_a_browser_has_is_not_sent_again(rest: Rest) -> None:
    _, headers, _ = await get(rest, "/", accept_encoding="gzip")
    etag = headers["etag"]
    _, plain, _ = await get(rest, "/")
    assert re.fullmatch('"[0-9a-f-]+gzip"', etag)
    assert plain["etag"] != etag
    for given in (etag, f'"other", W/{etag}', "*"):
        status, headers, content = await get(rest, "/", accept_encoding="gzip", if_none_match=given)
        assert (status, headers["etag"], content) == (304, etag, b"")
        assert "content-security-policy" in headers
    assert (await get(rest, "/", if_none_match=etag))[0] == 200


async def test_head_tells_the_size_alone(rest: Rest) -> None:
    _, got, content = await get(rest, "/")
    status, headers, none = await get(rest, "/", "HEAD")
    assert (status, none, headers["content-length"]) == (200, b"", str(len(content)))
    assert headers["etag"] == got["etag"]


async def test_a_page_takes_nothing_from_elsewhere_and_is_shown_nowhere_else(rest: Rest) -> None:
    for path in ("/", await _script(rest)):
        _, headers, _ = await get(rest, path)
        policy = headers["content-security-policy"].split("; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= set(
            policy
        )
        assert "require-trusted-types-for 'script'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/console/",
        "/console/0000000000000000/src/main.js",
        "/console/../pyproject.toml",
        "/console/%2e%2e/x",
    ],
)
async def test_what_is_no_file_of_the_console_needs_the_token(rest: Rest, path: str) -> None:
    assert (await rest("GET", path, token=None)).status == 401


def test_another_content_is_another_address() -> None:
    files = load(directory())
    assert {path.split("/")[2] for path in files.by_path if path != "/"} == {files.version}
    assert not [path for path in files.by_path if path.endswith((".json", ".d.ts", ".map"))]
    assert any(path.endswith("preact.LICENSE.txt") for path in files.by_path)
