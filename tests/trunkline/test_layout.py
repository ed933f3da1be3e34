from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.errors import UsageError
from trunkline.layout import Layout


def test_a_path_too_long_for_sockets_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ("x" * 107))
    with pytest.raises(UsageError, match="choose a shorter --data-dir"):
        layout.prepare()
    assert not layout.data_dir.exists()


def test_what_is_inside_belongs_to_its_owner(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    layout.prepare()
    layout.prepare()
    assert {path.stat().st_mode & 0o777 for path in (layout.data_dir, layout.run, layout.log("x").parent)} == {
        0o700
    }


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(UsageError, match="choose another --data-dir"):
        Layout(tmp_path / "data").prepare()
