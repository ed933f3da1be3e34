"""A control plane accepts every piece of trunkline.yaml that the documentation shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.xds_server.store.databases import new_sqlite
from trunkline.config import document, loader
from trunkline.config.secrets import Secrets
from xds_server.admin.apply import Mode, apply
from xds_server.store import Store

ROOT = Path(__file__).parent.parent
#: docs/node.md shows node.yaml; see tests/node_sidecar/preferences/test_file.py.
PAGES = [ROOT / "README.md", *(each for each in sorted((ROOT / "docs").glob("*.md")) if each.name != "node.md")]
_FENCE = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Pieces of larger objects, by their first field: the object around them.
_AROUND: Mapping[str, str] = {
    "price": "routes: [{model: m, targets: [{nodes: m, %s}]}]",
    "targets": "routes: [{model: m, %s}]",
    "keys": "organisations: [{name: acme, %s}]",
}


class Environment(dict[str, str]):
    """An environment that has every variable."""

    def __missing__(self, name: str) -> str:
        return f"value-of-{name.lower()}-in-the-tests"

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]


def pieces(text: str) -> Iterator[str]:
    """Yields each piece of a block: several that begin with the same field are alternatives."""
    lines = text.splitlines()
    fields = [line.partition(":")[0] for line in lines if re.match(r"\w", line)]
    if len(fields) == len(set(fields)):
        yield text
        return
    starts = [number for number, line in enumerate(lines) if re.match(r"\w", line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield "\n".join(lines[start:end])


def whole(piece: str) -> dict[str, Any]:
    """Returns the piece as a complete file: with the objects around it, and the providers that it names."""
    found: dict[str, Any] = yaml.safe_load(piece)
    first = next(iter(found))
    if first in _AROUND:
        inner = yaml.safe_dump(found, default_flow_style=True, width=10_000).strip()[1:-1]
        found = yaml.safe_load(_AROUND[first] % inner)
    found.setdefault("version", 1)
    providers = found.setdefault("providers", [])
    known = {each["name"] for each in providers}
    for name in sorted(
        {
            target["provider"]
            for route in found.get("routes", [])
            for target in route["targets"]
            if "provider" in target
        }
        - known
    ):
        providers.append({"name": name, "base_url": "https://provider.example/v1"})
    return found


SHOWN = [
    pytest.param(piece, id=f"{page.name}-{number}")
    for page in PAGES
    for number, piece in enumerate(piece for block in _FENCE.findall(page.read_text()) for piece in pieces(block))
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory = tmp_path_factory.mktemp("documented")
    opened = Store.open(new_sqlite(directory / "trunkline.db"), key_file=directory / "secret.key")
    yield opened
    opened.close()


@pytest.mark.parametrize("piece", SHOWN)
def test_a_piece_of_the_file_is_accepted(piece: str, store: Store) -> None:
    file = loader.parse(yaml.safe_dump(whole(piece)), "trunkline.yaml", Secrets(Environment(), ROOT))
    # Nothing stays, so that each piece is accepted by an empty control plane, whatever the order of the tests.
    store.write("docs", lambda tx: apply(tx, document.request(file).document, Mode(prune=True)), dry_run=True)


def test_there_is_something_to_check() -> None:
    assert len(SHOWN) > 20
