"""`trunkline up` checks its configuration file before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from trunkline.__main__ import main


def up(tmp_path: Path, text: str) -> str:
    """Returns the output for a configuration file that is refused."""
    file = tmp_path / "trunkline.yaml"
    file.write_text(text)
    result = CliRunner().invoke(main, ["up", "--data-dir", str(tmp_path / "data"), "--config", str(file)])
    assert result.exit_code == 1
    assert not (tmp_path / "data").exists()
    return result.output


def test_a_mistake_in_the_file_is_named_before_anything_starts(tmp_path: Path) -> None:
    said = up(tmp_path, "version: 1\nroutes:\n  - model: m\n   targets: []\n")
    assert said.startswith(f"Error: {tmp_path}/trunkline.yaml:4: not valid YAML: ")


def test_a_missing_variable_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    text = "version: 1\nproviders: [{name: a, base_url: http://h/v1, credentials: [env:ABSENT]}]\n"
    assert "the environment variable ABSENT is not set" in up(tmp_path, text)
