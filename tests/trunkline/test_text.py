"""The command's output, whatever texts of others it contains."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st
from trunkline_proto.admin.v1 import admin_pb2 as admin

from tests.trunkline.hostile import HOSTILE, assert_harmless
from trunkline.config.export import route_text
from trunkline.output import render
from trunkline.text import as_json, csv_cell, visible

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("речь-1 日本 é 👍 a\u00a0b", "речь-1 日本 é 👍 a\u00a0b"),
        ("D:\\models\\w", "D:\\models\\w"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\x9b31mb\x7f", r"a\x9b31mb\x7f"),
        ("one\r\ntwo\tthree\x0b", r"one\r\ntwo\tthree\x0b"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
        ("a\u200bd\u200d\ufeff\u00ad\u3164", r"a\u200bd\u200d\ufeff\xad\u3164"),
        ("\U000e0041\ud800", r"\U000e0041\ud800"),
    ],
)
def test_what_is_not_seen_as_itself_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_line_feeds_of_a_text_with_lines() -> None:
    assert visible("a\nb\rc", lines=True) == "a\nb\\rc"


@given(st.text())
def test_any_text(text: str) -> None:
    assert_harmless(visible(text))
    assert "\n" not in visible(text)
    assert_harmless(shown := as_json({text: [text]}))
    assert json.loads(shown) == {text: [text]}


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ('"=1"', '\'"=1"'),
        ("\u201c=1", "'\u201c=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\u22121", "'\u22121"),
        ("\t=1", r"\t=1"),
        ("\r=1", r"\r=1"),
        ("\u200b=1", r"\u200b=1"),
        ("\u3000\uff201", "'\u3000\uff201"),
        ("a;=1", "a;'=1"),  # where the decimal point is a comma, cells end at semicolons
        ("gpt-4.1", "gpt-4.1"),
        ("a=b", "a=b"),
        ("2026-11-02", "2026-11-02"),
    ],
)
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


@given(st.text(st.sampled_from("=+-@\uff1d\uff0b\uff0d\uff20 \t\r\n\"';,|a1\x00\x1b\u2028\u202e")))
def test_no_cell_of_any_text_is_a_formula(text: str) -> None:
    cell = csv_cell(text)
    assert_harmless(cell)
    for part in re.split("[;|,]", cell):
        assert part.lstrip(' "')[:1] not in set("=+-@\uff1d\uff0b\uff0d\uff20")


def test_csv_listings_have_no_formulas_and_keep_numbers() -> None:
    rows = [{"name": "=1", "list": ["-a", "b"], "number": -5, "text": "a\x1b"}]
    assert render(rows, ("name", "list", "number", "text"), "csv").splitlines()[1] == "'=1,\"'-a, b\",-5,a\\x1b"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_yaml_says_reads_back(text: str) -> None:
    stored = admin.Route(model=text, targets=[admin.RouteTarget(provider=text, model="m")])
    assert_harmless(shown := route_text(stored))
    (route,) = yaml.safe_load(shown)["routes"]
    assert route["model"] == route["targets"][0]["provider"] == text


def test_listings() -> None:
    row = {"name": HOSTILE, "models": [HOSTILE, "m"]}
    for output in ("table", "json"):
        assert_harmless(render([row], ("name", "models"), output))
    assert len(render([row], ("name", "models"), "table").splitlines()) == 2
    assert json.loads(render([row], ("name", "models"), "json")) == [row]


def test_everything_is_printed_by_say() -> None:
    """Otherwise names chosen by others would reach a terminal unfiltered."""
    elsewhere = [
        file.relative_to(ROOT).as_posix()
        for file in sorted((ROOT / "trunkline").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"click.echo", "click.secho", "print"}
    ]
    # `trunkline up` prints the line `ready`, with only our own words, and notices, which go through `visible`.
    assert elsewhere == ["trunkline/gateway.py", "trunkline/gateway.py", "trunkline/text.py"]
