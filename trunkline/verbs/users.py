"""`trunkline users`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import accounts_pb2 as accounts

from trunkline.client import Control, control_options
from trunkline.groups import SuggestingGroup
from trunkline.output import when
from trunkline.parameters import Seconds
from trunkline.text import say


@click.group(cls=SuggestingGroup)
def users() -> None:
    """People who sign in to the console, and what they may do."""


@users.command(
    "setup-link",
    epilog="""\b
Examples:
  trunkline users setup-link
  trunkline users setup-link --expires 1h
""",
)
@click.option("--expires", type=Seconds(), default=None, help="How long it works.  [default: 1d; at most 7d]")
@control_options
def setup_link(*, control: Control, expires: int | None) -> None:
    """Print a link with which one person becomes the installation's admin. Earlier ones end."""
    with control.connect() as api:
        made = api.CreateSetupLink(accounts.CreateSetupLinkRequest(ttl_seconds=expires or 0))
    say(made.url)
    say(f"works once, until {when(made.expires_at)}", err=True)
