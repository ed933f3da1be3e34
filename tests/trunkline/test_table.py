"""Tables in terminals of any width: whatever they contain, no line is wider."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trunkline.table import Column, cut, pairs, table, width_of

NAMES = Column("name", ["rig", "a-machine-with-a-name-that-is-long-beyond-reason-and-goes-on-and-on"], 0)
MODELS = Column("models", ["llama3:70b", "模型-一二三四五六七八九十模型-一二三四五六七八九十"], 1)
NUMBERS = Column("in flight", ["3", "123456"], 2, right=True)
EMPTY = Column("owner key", ["", ""], 1)
ID = Column("id", ["nd-abcdefgh234567ab", "nd-abcdefgh234567ac"], 9)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    shown = table([NAMES, MODELS, NUMBERS, EMPTY, ID], width)
    assert all(width_of(line) <= width for line in shown.splitlines()), shown
    assert "--wide shows all" in " ".join(shown.split())


def test_nothing_is_cut_without_a_limit() -> None:
    shown = table([NAMES, MODELS, NUMBERS, EMPTY, ID], None)
    for each in (NAMES, MODELS, NUMBERS, EMPTY, ID):
        assert each.title in shown
        assert all(cell in shown for cell in each.cells)
    assert "…" not in shown


def test_what_fits_is_shown_as_it_is() -> None:
    shown = table([Column("name", ["rig"]), Column("in flight", ["3"], right=True)], 80)
    assert shown == "name  in flight\nrig           3"


def test_empty_columns_go_first_then_the_least_important() -> None:
    head = table([NAMES, EMPTY, MODELS, NUMBERS, ID], 80).splitlines()[0]
    assert head.split() == ["name", "models", "in", "flight", "id"]
    head = table([NAMES, EMPTY, MODELS, NUMBERS, ID], 60).splitlines()[0]
    assert head.split() == ["name", "models", "in", "flight"]


def test_numbers_are_never_cut() -> None:
    shown = table([NAMES, Column("cost", ["1.000000001", "123456789.000000001"], 1, right=True)], 45)
    assert "123456789.000000001" in shown


def test_wide_characters_line_up() -> None:
    lines = table([Column("model", ["模型", "ab"]), Column("x", ["1", "2"])], None).splitlines()
    assert [width_of(line[: line.index(last)]) for line, last in zip(lines, "x12", strict=True)] == [7, 7, 7]
    assert width_of("e\u0301") == 1
    assert cut("模型模型", 5) == "模型…"


def test_long_values_of_one_object_go_on_below() -> None:
    shown = pairs([("name", "rig"), ("reason", "the driver does not answer " * 4)], 40)
    lines = shown.splitlines()
    assert lines[0] == "name    rig"
    assert len(lines) > 3
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith(" " * 8) for line in lines[2:])


@given(
    st.lists(st.lists(st.text(max_size=50), min_size=3, max_size=3), min_size=1, max_size=6),
    st.integers(min_value=8, max_value=150),
)
def test_any_cells_fit(cells: list[list[str]], width: int) -> None:
    columns = [Column(f"c{number}", each, number) for number, each in enumerate(cells)]
    assert all(width_of(line) <= width for line in table(columns, width).split("\n"))
