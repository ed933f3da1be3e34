"""Served, unserved and unknown paths are distinguished; docs/endpoints.md says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from translator import endpoints, unserved
from translator.endpoints import ENDPOINTS, MODEL
from translator.unserved import UNSERVED, Unserved

DOCS = Path(__file__).parents[2] / "docs/endpoints.md"
#: Paths of the resources of OpenAI's own client.
_PATH = re.compile(r'f?"(/[a-z_]+(?:/[^"\s]*)?)"')


def clients_paths() -> Iterator[str]:
    for file in sorted((Path(openai.__file__).parent / "resources").rglob("*.py")):
        for path in _PATH.findall(file.read_text(encoding="utf-8")):
            yield "/v1" + re.sub(r"\{[^}]*\}", "x", path)


@pytest.mark.parametrize("path", sorted(set(clients_paths())))
def test_every_endpoint_of_openais_client_is_served_or_named(path: str) -> None:
    if endpoints.find(path.encode()) is None:
        assert unserved.refusal("POST", path.encode()).code == "endpoint_not_served"


@pytest.mark.parametrize("known", UNSERVED, ids=lambda each: each.path)
def test_a_refusal_names_the_endpoint_and_says_what_to_do(known: Unserved) -> None:
    for path in (f"{known.path.rstrip('/')}/x/y", *([known.path] if known.path[-1] != "/" else [])):
        refusal = unserved.refusal("PUT", path.encode())
        assert (refusal.status, refusal.code) == (404, "endpoint_not_served")
        assert refusal.message.startswith(f"PUT {path} ({known.name}) is not served by this gateway.")
        assert known.instead in refusal.message


def test_the_closest_name_counts() -> None:
    assert "compaction" in unserved.refusal("POST", b"/v1/responses/compact").message
    assert "stored responses" in unserved.refusal("GET", b"/v1/responses/resp_1/other").message


@pytest.mark.parametrize("path", [b"/v1/filesystem", b"/v1/batches2", b"/apis", b"/", b"*", b"/v1/chat/\xff"])
def test_paths_that_only_look_alike_are_unknown(path: bytes) -> None:
    refusal = unserved.refusal("GET", path)
    assert (refusal.status, refusal.code) == (404, "unknown_url")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (b"/chat/completions", "POST /v1/chat/completions"),
        (b"/v1/v1/chat/completions", "POST /v1/chat/completions"),
        (b"/openai/v1/embeddings", "POST /v1/embeddings"),
        (b"/v1/responses/", "POST /v1/responses"),
        (b"/v1/embeddings/", "POST /v1/embeddings"),
        (b"/v1/models/", "GET /v1/models"),
        (b"/models", "GET /v1/models"),
    ],
)
def test_a_base_url_that_is_not_quite_right_is_recognised(path: bytes, meant: str) -> None:
    assert f"Did you mean {meant}?" in unserved.refusal("GET", path).message


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the table below a heading of the docs."""
    section = DOCS.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_docs_list_what_is_served() -> None:
    documented = {(row[0], row[1]) for row in rows("Served")}
    assert documented == {(", ".join(each.methods), each.path) for each in (*ENDPOINTS, MODEL)}


def test_the_docs_list_what_is_not_served() -> None:
    documented = {(row[0], row[1]) for row in rows("Not served")}
    assert documented == {
        (f"{each.path.rstrip('/')}/…" if each.path[-1] == "/" else each.path, each.name) for each in UNSERVED
    }
