"""`trunkline import`."""

from __future__ import annotations

from pathlib import Path

import click

from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.importing.findings import Grade
from trunkline.importing.litellm import convert
from trunkline.output import render
from trunkline.text import say

_COLUMNS = ("grade", "setting", "what_becomes_of_it")


@click.group("import", cls=SuggestingGroup)
def import_() -> None:
    """Import configurations of other gateways as trunkline.yaml: litellm."""


@import_.command(
    epilog="""\b
Examples:
  trunkline import litellm config.yaml > trunkline.yaml
  trunkline import litellm config.yaml --write trunkline.yaml --org acme
  trunkline import litellm config.yaml --report json | jq '.[] | select(.grade == "manual")'
"""
)
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--org", default="default", show_default=True, help="The organisation that gets its keys and budgets."
)
@click.option("--write", type=click.Path(path_type=Path), help="The file to write.  [default: stdout]")
@click.option("--force", is_flag=True, help="Replace an existing file of --write.")
@click.option(
    "--report",
    type=click.Choice(["table", "json", "csv"]),
    help="Print only the result for each setting, in this format.  [default: the file, and a table on stderr]",
)
def litellm(config: Path, org: str, write: Path | None, force: bool, report: str | None) -> None:
    """Convert LiteLLM's CONFIG to a trunkline.yaml, and report the result for each of its settings.

    A setting is imported exactly or approximately, needs manual work (manual), or has no counterpart
    (unsupported). Keys are never copied: the file refers to environment variables. Try it with `trunkline apply -f
    trunkline.yaml --dry-run`.
    """
    imported = convert(config, org)
    rows = [
        {"grade": str(each.grade), "setting": each.path, "what_becomes_of_it": each.detail}
        for each in imported.findings.found
    ]
    if report is not None:
        say(render(rows, _COLUMNS, report, important=_COLUMNS), lines=True)
        return
    if write is None:
        say(imported.text, lines=True, nl=False)
    else:
        if write.exists() and not force:
            raise UsageError(f"{write} exists: give --force to replace it")
        write.write_text(imported.text, encoding="utf-8")
    say(render(rows, _COLUMNS, "table", important=_COLUMNS), lines=True, err=True)
    counts = imported.findings.counts
    say(", ".join(f"{counts[grade]} {grade}" for grade in Grade), err=True)
