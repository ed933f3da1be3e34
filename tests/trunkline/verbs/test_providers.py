"""A provider's stored credentials and its address, against a real control plane."""

from __future__ import annotations

from pathlib import Path

from tests.trunkline.verbs.control_plane import control_plane

REFUSED = (
    "base_url: the stored credentials were given for https://a.example and would go to another host, port or "
    "scheme; give `credentials` again (--credential), or remove them (--clear-credentials; in a file "
    "`credentials: []`)"
)


def test_a_provider_moves_only_with_its_credentials(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-of-the-first-host")
    credential = f"file:{tmp_path}/key"
    file = tmp_path / "trunkline.yaml"
    moved = "version: 1\nproviders:\n  - name: p\n    base_url: https://b.example/v1\n"

    with control_plane(tmp_path) as plane:
        added = plane.trunkline(
            "providers", "add", "p", "--base-url", "https://a.example/v1", "--credential", credential
        )
        assert added.exit_code == 0, added.output

        refused = plane.trunkline("providers", "update", "p", "--base-url", "https://b.example/v1")
        assert (refused.exit_code, refused.output) == (1, f"Error: provider.{REFUSED}\n")
        file.write_text(moved)
        for dry_run in ([], ["--dry-run"]):
            refused = plane.trunkline("apply", "-f", str(file), "--take-over", *dry_run)
            assert (refused.exit_code, refused.output) == (1, f"Error: {file}:4: providers[0].{REFUSED}\n")

        assert plane.trunkline("providers", "update", "p", "--base-url", "https://a.example/v2").exit_code == 0
        file.write_text(f"{moved}    credentials: [{credential}]\n")
        assert plane.trunkline("apply", "-f", str(file), "--take-over").exit_code == 0
        back = ("providers", "update", "p", "--base-url", "https://a.example/v1")
        assert "is managed by the file" in plane.trunkline(*back).output
        assert plane.trunkline(*back, "--take-over").exit_code == 1
        assert plane.trunkline(*back, "--take-over", "--clear-credentials").exit_code == 0
        with plane.store() as store:
            assert store.load().providers["p"].credentials == ()
