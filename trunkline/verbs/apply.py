"""`trunkline apply`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from trunkline import changes, conflicts
from trunkline.client import Control, control_options
from trunkline.config import document, loader
from trunkline.config.located import located
from trunkline.errors import ControlError
from trunkline.parameters import SecondsFlag
from trunkline.text import say


@click.command(
    epilog="""\b
Examples:
  trunkline apply -f trunkline.yaml --dry-run
  trunkline apply -f trunkline.yaml
  trunkline apply -f trunkline.yaml --prune
  trunkline export > trunkline.yaml
"""
)
@click.option("--file", "-f", type=click.Path(path_type=Path), required=True, help="The trunkline.yaml to apply.")
@click.option("--dry-run", is_flag=True, help="Print the difference and change nothing.")
@click.option("--take-over", is_flag=True, help="Make the file the manager of every object that it names.")
@click.option("--prune", is_flag=True, help="Remove objects that the file manages but no longer names.")
@click.option(
    "--wait",
    type=SecondsFlag(),
    default="10s",
    show_default=True,
    help="How long to wait for a control plane that is starting or being restarted after a crash.",
)
@control_options
def apply(*, control: Control, file: Path, dry_run: bool, take_over: bool, prune: bool, wait: int) -> None:
    """Apply a file to the gateway.

    Prints the difference (+ created, ~ updated, - removed, ! left as it is) or `no changes`, then which Envoys and
    translators run it. Exit code 2: a client rejected it and keeps its last good configuration, or something
    differs from the file.

    A file manages the objects that it created. Objects created or changed by other commands are left alone without
    --take-over. Objects that the file no longer names stay without --prune, and sections (providers, routes,
    organisations) that are not in the file are never pruned.
    """
    given, positions = loader.read(file)
    request = document.request(given)
    request.dry_run, request.take_over, request.prune = dry_run, take_over, prune
    try:
        with dataclasses.replace(control, wait=wait).connect() as api:
            answer = api.Apply(request)
    except ControlError as error:
        raise ControlError(located(str(error), positions, str(file))) from error
    warnings = [located(each, positions, str(file)) for each in answer.warnings]
    say(changes.summary(answer.changes, answer.conflicts), lines=True)
    if dry_run or not answer.changes:
        changes.warn(warnings)
    else:
        changes.report(answer.propagation, warnings)
    if conflicts.unmet(answer.conflicts):
        raise click.exceptions.Exit(changes.IN_PART)
