"""`trunkline apply`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import changes
from trunkline.client import Control, control_options
from trunkline.config import document, loader
from trunkline.parameters import Seconds
from trunkline.text import say


@click.command(
    epilog="""\b
Examples:
  trunkline apply -f trunkline.yaml --dry-run
  trunkline apply -f trunkline.yaml
  trunkline export > trunkline.yaml
"""
)
@click.option("--file", "-f", type=click.Path(path_type=Path), required=True, help="The trunkline.yaml to apply.")
@click.option("--dry-run", is_flag=True, help="Print the difference and change nothing.")
@click.option("--wait", type=Seconds(), default=0, help="How long to wait for a control plane that is starting.")
@control_options
def apply(*, control: Control, file: Path, dry_run: bool, wait: int) -> None:
    """Make the gateway what a file says.

    Prints the difference (+ created, ~ updated, - deleted) or `no changes`, then which Envoys and translators took
    it. Exit code 2: a client refused it; the last good configuration keeps serving there.

    A section (providers, routes, organisations) that is not in the file is left alone; what a section does not
    name is removed, except for the organisation `default`, which goes with `trunkline orgs remove default`.
    """
    given = loader.load(file)
    with dataclasses.replace(control, wait=wait).connect() as api:
        stored = api.Export(admin.ExportRequest()).document
        wanted = document.desired(given, stored)
        answer = api.Apply(admin.ApplyRequest(document=wanted, dry_run=dry_run))
    say(changes.difference(answer.changes), lines=True)
    if dry_run or not answer.changes:
        for warning in answer.warnings:
            say(f"warning: {warning}", err=True)
        return
    changes.report(answer.propagation, answer.warnings)
