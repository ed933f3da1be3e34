"""The golden files equal the results of the real way, and the cases use every option of trunkline.yaml."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from trunkline_proto.words import Words

from tests.golden import case, likeness, written
from tests.golden.case import Case
from tests.golden.readable import Reader, UnreadableError
from trunkline.config.model import FileSpec
from xds_server.model import Visibility
from xds_server.protocol.snapshot import CLUSTER, Resource
from xds_server.resources.settings import EdgeSettings

#: The maximum number of lines of a difference that are shown.
_SHOWN = 60

Options = set[tuple[str, ...]]


@pytest.fixture(scope="module")
def empty() -> written.Sections:
    return written.empty()


@pytest.fixture(scope="module")
def every_case() -> list[Case]:
    return [case.read(source) for source in case.cases()]


@pytest.mark.slow
@pytest.mark.parametrize("source", case.cases(), ids=lambda source: source.stem)
def test_the_configuration_is_the_golden_one(source: Path, empty: written.Sections) -> None:
    target = written.golden(source)
    before = target.read_text() if target.exists() else ""
    now = written.rendered(source, empty)
    if now != before:
        lines = list(
            difflib.unified_diff(before.splitlines(), now.splitlines(), target.name, "now", n=2, lineterm="")
        )
        more = [f"… {len(lines) - _SHOWN} more lines"] if len(lines) > _SHOWN else []
        text = "\n".join([*lines[:_SHOWN], *more])
        pytest.fail(f"{text}\n\nIf this is what the change is to do: `make golden`, and commit.", pytrace=False)


def test_every_golden_file_has_its_case() -> None:
    assert written.orphans() == []


def test_what_an_endpoint_says_is_read() -> None:
    """The module, or a header or log line of Envoy, must read all that an endpoint states; nothing else would."""
    root = Path(__file__).parents[2]
    module = "".join(each.read_text() for each in (root / "envoy" / "module").glob("*.c"))
    resources = "".join(each.read_text() for each in (root / "xds_server" / "resources").glob("*.py"))
    golden = "".join(written.golden(each).read_text() for each in case.cases())
    blocks = re.findall(r"filter_metadata:\n( +)trunkline:\n((?:\1  \S.*\n)+)", golden)
    said = {line.strip().partition(":")[0] for _, block in blocks for line in block.splitlines()}
    said |= set(re.findall(r"filter_metadata\.trunkline\.(\w+):", golden))
    assert {"target", "dress", "credential", "node"} <= said
    read = {key for key in said if f'SPAN("{key}")' in module or f"{{METADATA}}:{key})%" in resources}
    assert said == read, "envoy/module/attempt.c"


def test_every_option_stands_in_a_case(every_case: list[Case]) -> None:
    """Some case has every field of the YAML model, and every word that a field accepts."""
    used: Options = set()
    for each in every_case:
        for file in each.files:
            used.update(_used(file))
    missing = _options(FileSpec) - used
    assert not missing, f"write a case in tests/golden for {sorted(missing)}, then `make golden`"


@pytest.mark.slow
def test_every_setting_of_the_edge_differs_in_a_case(every_case: list[Case]) -> None:
    edges = [case.run(each).edge for each in every_case if each.header.flags]
    same = {
        field.name
        for field in dataclasses.fields(EdgeSettings)
        if all(getattr(edge, field.name) == getattr(EdgeSettings(), field.name) for edge in edges)
    }
    assert not same, f"write a case in tests/golden with the flag for {sorted(same)}, then `make golden`"


def test_nodes_of_every_visibility_stand_in_a_case(every_case: list[Case]) -> None:
    assert {node.visibility for each in every_case for node in each.header.nodes} == set(Visibility)


def test_no_golden_file_holds_a_secret() -> None:
    texts = {source.name: written.golden(source).read_text() for source in case.cases()}
    assert any("<env:" in text for text in texts.values())
    assert any("<PEM" in text for text in texts.values())
    for name, text in texts.items():
        assert "secret-value-of-" not in text, name
        assert "-----BEGIN" not in text, name


@pytest.mark.slow
def test_two_runs_give_the_same_text(empty: written.Sections) -> None:
    source = case.DIRECTORY / "audiences.yaml"
    assert written.rendered(source, empty) == written.rendered(source, empty)


@pytest.mark.parametrize(
    ("type_url", "body"),
    [(CLUSTER, bytes(Cluster(name="a")) + b"\xfa\xff\x03\x01x"), ("type.googleapis.com/envoy.Nothing", b"")],
    ids=["a field", "a type"],
)
def test_nothing_unknown_is_dropped(type_url: str, body: bytes) -> None:
    with pytest.raises(UnreadableError):
        Reader({}).resource(Resource.of(type_url, "a", body))


def test_a_likeness_says_everything_that_differs() -> None:
    model = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": [{"f": 1}], "g": 0}
    value = {"a": 1, "b": {"c": [1, 2, 3], "d": "y"}, "e": [{"f": 2}], "h": {"i": 1}, "g": False}
    assert dict(likeness.differences(value, model)) == {
        "b.c": [1, 2, 3], "b.d": "y", "e[0].f": 2, "h": {"i": 1}, "g": False,
    }  # fmt: skip
    assert dict(likeness.differences({}, {"a": 1})) == {"a": likeness.ABSENT}
    assert list(likeness.differences(model, model)) == []


def _options(model: type[BaseModel]) -> Options:
    """Returns (model, field) for all fields, and (model, field, word) for listed words."""
    found: Options = set()
    for name, field in model.model_fields.items():
        found.add((model.__name__, name))
        found |= {(model.__name__, name, word) for word in _words(field)}
        for inner in _models(field.annotation):
            found |= _options(inner)
    return found


def _used(value: BaseModel) -> Iterator[tuple[str, ...]]:
    for name in value.model_fields_set:
        yield type(value).__name__, name
        given = getattr(value, name)
        for each in _each(given):
            if isinstance(each, BaseModel):
                yield from _used(each)
            elif isinstance(each, str) and each in _words(type(value).model_fields[name]):
                yield type(value).__name__, name, each


def _each(given: Any) -> Iterable[Any]:
    match given:
        case list():
            return given
        case dict():
            return given.values()
        case _:
            return [given]


def _words(field: FieldInfo) -> set[str]:
    return {word for each in field.metadata if isinstance(each, Words) for word in each}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)
