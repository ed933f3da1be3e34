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
  TRUNKLINE_CONTROL=gateway:18000 TRUNKLINE_ADMIN_TOKEN=… trunkline export
"""
)
@control_options
def export(*, control: Control) -> None:
    """Print the gateway's state as a file for `apply`.

    Credentials and key values are never in it; where they are left out, `apply` keeps the stored ones.
    """
    with control.connect() as api:
        say(text(api.Export(admin.ExportRequest()).document), lines=True, nl=False)
