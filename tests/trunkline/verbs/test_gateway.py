"""`trunkline gateway`, and the same object in a file, against a real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trunkline.verbs.control_plane import ControlPlane, control_plane

SET = ("gateway", "set", "--cors-origin", "https://app.example.com", "--default", "moderations=omni")
WRONG = """\
version: 1
cors:
  origins:
    - https://app.example.com/page
  max_age: 400d
defaults:
  moderations: omni
  batches: omni
"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with control_plane(tmp_path) as running:
        yield running


def test_what_is_set_is_shown_and_the_rest_stays(plane: ControlPlane) -> None:
    assert plane.trunkline("gateway", "show").output == "cors: {}\ndefaults: {}\ncache: {}\nalerts: {}\n"

    result = plane.trunkline(*SET)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "~ gateway\n    cors.origins: (default) -> ['https://app.example.com']\n"
        "    defaults.moderations: (default) -> omni\n"
    )
    plane.trunkline("gateway", "set", "--cors-max-age", "1h", "--default", "/v1/images/generations=gpt-image-1")
    shown = plane.trunkline("gateway", "show").output
    assert shown == (
        "cors:\n  origins:\n  - https://app.example.com\n  max_age: 1h\n"
        "defaults:\n  moderations: omni\n  images/generations: gpt-image-1\n"
        "# cors, defaults: managed by api\n"
    )
    assert shown in plane.trunkline("export").output

    removed = plane.trunkline("gateway", "set", "--no-cors", "--default", "moderations=")
    assert removed.exit_code == 0, removed.output
    assert plane.trunkline("gateway", "show").output.startswith("defaults:\n  images/generations: gpt-image-1\n")


def test_a_wrong_change_is_explained(plane: ControlPlane) -> None:
    wrong = {
        (): "nothing to change",
        ("--no-cors", "--cors-max-age", "1h"): "--no-cors cannot be combined with",
        ("--default", "moderations"): "write ENDPOINT=MODEL",
        ("--default", "batches=m"): 'no endpoint "batches" takes a model; accepted: chat/completions, ',
        ("--cors-origin", "app.example.com"): "write https://app.example.com",
        ("--cors-origin", "https://app.example.com/page"): "an origin has no path: write https://app.example.com",
    }
    for arguments, said in wrong.items():
        result = plane.trunkline("gateway", "set", *arguments)
        assert result.exit_code != 0
        assert said in result.output
    assert plane.trunkline("gateway", "show").output == "cors: {}\ndefaults: {}\ncache: {}\nalerts: {}\n"


def test_a_mistake_in_a_file_is_reported_at_its_line(plane: ControlPlane, tmp_path: Path) -> None:
    file = tmp_path / "trunkline.yaml"
    file.write_text(WRONG)
    result = plane.trunkline("apply", "-f", str(file))
    assert result.exit_code == 1
    assert f"{file}:4: cors.origins[0]: an origin has no path: write https://app.example.com; " in result.output
    assert f"{file}:5: cors.max_age: 400d is out of range; accepted: 0s to 30d" in result.output
    assert f'{file}:8: defaults.batches: no endpoint "batches" takes a model' in result.output


def test_a_file_and_a_command(plane: ControlPlane, tmp_path: Path) -> None:
    file = tmp_path / "trunkline.yaml"
    file.write_text("version: 1\ndefaults: {moderations: other}\n")
    assert plane.trunkline(*SET).exit_code == 0
    left = plane.trunkline("apply", "-f", str(file))
    assert left.exit_code == 2
    assert "! gateway" in left.output
    assert "moderations: omni\n" in plane.trunkline("gateway", "show").output

    taken = plane.trunkline("apply", "-f", str(file), "--take-over")
    assert taken.exit_code == 0, taken.output
    assert "    defaults.moderations: omni -> other\n" in taken.output
    assert plane.trunkline("gateway", "show").output == (
        "cors:\n  origins:\n  - https://app.example.com\n"
        "defaults:\n  moderations: other\n"
        "# cors: managed by api\n# defaults: managed by file:trunkline\n"
    )
    assert "no changes" in plane.trunkline("apply", "-f", str(file)).output

    refused = plane.trunkline(*SET)
    assert refused.exit_code == 1
    assert 'is managed by the file "trunkline"' in refused.output
    assert plane.trunkline(*SET, "--take-over").exit_code == 0
    file.write_text("version: 1\nproviders: []\n")
    assert "no changes" in plane.trunkline("apply", "-f", str(file)).output
    assert "moderations: omni\n" in plane.trunkline("gateway", "show").output


def test_the_password_of_the_caches_store_is_never_shown(plane: ControlPlane, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-secret\n")
    file = tmp_path / "trunkline.yaml"
    file.write_text("version: 1\ncache: {store: 'redis://u@cache.example/0', password: file:secret}\n")
    applied = plane.trunkline("apply", "-f", str(file))
    assert applied.exit_code == 0, applied.output
    with plane.store() as store:
        assert store.load().gateway.cache_password == "a-secret"
    exported = plane.trunkline("export").output
    assert "# cache.password: stored; left out here, which keeps it\n" in exported
    file.write_text(exported)
    assert "no changes" in plane.trunkline("apply", "-f", str(file)).output

    secret.write_text("another-secret")
    given = plane.trunkline("gateway", "set", "--cache-password", f"file:{secret}", "--take-over")
    assert given.output.startswith("~ gateway\n    cache.password: given (not shown)\n")
    shown = [plane.trunkline(*words).output for words in (("gateway", "show"), ("audit",), ("export",))]
    assert not any("secret" in text for text in (*shown, applied.output, exported))
    with plane.store() as store:
        assert store.load().gateway.cache_password == "another-secret"
    assert plane.trunkline("gateway", "set", "--no-cache-password").exit_code == 0
    file.write_text("version: 1\ncache: {store: 'redis://u@cache.example/0', password: a-secret}\n")
    refused = plane.trunkline("apply", "-f", str(file))
    assert refused.exit_code == 1
    assert "a-secret" not in refused.output
    with plane.store() as store:
        assert store.load().gateway.cache_password == ""
