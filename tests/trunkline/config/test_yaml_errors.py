"""Errors about text that is not YAML: what happened, where, and what to do."""

from __future__ import annotations

import pytest

from trunkline.config import positions
from trunkline.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("routes:\n  - model: m\n   targets: []\n", 3, "the line is indented otherwise than the fields"),
        ("routes:\n    - model: m\n  - model: n\n", 3, "the line is indented otherwise than the fields"),
        ("routes: []\n- model: m\n", 2, "the line is indented otherwise than the fields"),
        ("version: 1\n  routes: []\n", 2, "the line is indented too far"),
        ("name: a: b\n", 1, "has to stand in quotes"),
        ("routes:\n\tmodel: m\n", 2, "indent with spaces, not with tabs"),
        ("name: @team\n", 1, "put a text that begins with this character in quotes"),
        ("models: [a\nname: b\n", 2, "a bracket is open: close it, or put a comma before this"),
        ("price: {input: 1\nname: b\n", 2, "a bracket is open"),
        ("models: ]\n", 1, "a bracket or a comma is missing"),
        ("models: [\n", 2, "a bracket or a comma is missing"),
        ("routes:\n  model: m\n  targets\n", 4, "after a field's name come a colon and a blank"),
        ("name: 'a\n", 2, "a quotation mark is open: close it"),
        ("models: *\n", 1, "put a text that begins with `*` in quotes"),
        ("models: *all\n", 1, "put a text that begins with `*` in quotes"),
        ('name: "D:\\models"\n', 1, "single quotes"),
        ("version: 1\n---\nversion: 1\n", 2, "only one document is read"),
    ],
)
def test_advice_follows_what_the_parser_says(text: str, line: int, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        positions.load(text, "trunkline.yaml")
    said = str(caught.value)
    assert said.startswith(f"trunkline.yaml:{line}: not valid YAML: ")
    assert advice in said
    assert "\n" not in said


def test_a_control_character_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^trunkline\.yaml:2: the control character #x07: remove it$"):
        positions.load("version: 1\nname: a\x07b\n", "trunkline.yaml")
