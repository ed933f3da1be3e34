"""`trunkline export`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.client import Control, control_options
from trunkline.config.export import text
from trunkline.text import say


@click.command(
    epilog="""\b
Examples:
  trunkline export > trunkline.yaml
  trunkline export --managed-by api
  TRUNKLINE_CONTROL=gateway:18000 TRUNKLINE_ADMIN_TOKEN=… trunkline export
"""
)
@click.option(
    "--managed-by",
    metavar="api|file|file:NAME",
    default="",
    help="Only objects managed by the API, by files, or by one file.  [default: everything]",
)
@control_options
def export(*, control: Control, managed_by: str) -> None:
    """Print the gateway's state as a file for `apply`.

    The file never contains credentials or key values; where they are left out, `apply` keeps the stored ones.
    """
    with control.connect() as api:
        say(text(api.Export(admin.ExportRequest(managed_by=managed_by)).document), lines=True, nl=False)
