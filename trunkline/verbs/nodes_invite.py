"""`trunkline nodes invite`."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import VISIBILITIES

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.errors import UsageError
from trunkline.join_commands import IMAGE, TUNNEL_URL, JoinCommands
from trunkline.output import output_option, render, when
from trunkline.parameters import SecondsFlag
from trunkline.text import as_json, say


@click.command(
    epilog="""\b
Examples:
  trunkline nodes invite --org acme
  trunkline nodes invite --org acme --owner-key jane --visibility private --ttl 1d
  trunkline nodes invite --org acme --require-approval --url https://gateway.example.org:8443
  trunkline nodes invite --org acme --output json | jq -r .commands.docker
"""
)
@click.option(
    "--org",
    shell_complete=completion.ORGS,
    required=True,
    help="The organisation that the machine belongs to.",
)
@click.option("--owner-key", default="", help="Name of the owner's API key.  [default: the organisation]")
@click.option(
    "--ttl", type=SecondsFlag(), default="1h", show_default=True, help="Validity of the token; at most 30d."
)
@click.option(
    "--visibility", type=click.Choice(list(VISIBILITIES)), default="organisation", show_default=True,
    help="Who may use the node: its owner's key, its organisation, or everybody.",
)  # fmt: skip
@click.option("--require-approval", is_flag=True, help="The node serves nobody before `trunkline nodes approve`.")
@click.option("--name", default="", help="Name of the node.  [default: the machine's own name]")
@click.option("--url", default="", help="URL at which it reaches the gateway.  [default: the one of --tunnel-url]")
@click.option("--image", default=IMAGE, show_default=True, help="Image for the docker command.")
@output_option
@control_options
def invite(
    *,
    control: Control,
    org: str,
    owner_key: str,
    ttl: int,
    visibility: str,
    require_approval: bool,
    name: str,
    url: str,
    image: str,
    output: str,
) -> None:
    """Create a single-use token with which one machine joins, and print the command to run there.

    The token is printed only on stdout, and stored as a hash.
    """
    url = url.rstrip("/")
    if url and not TUNNEL_URL.fullmatch(url):
        raise UsageError(f"--url: expected https://HOST:PORT, not {url!r}")
    request = admin.InviteNodeRequest(
        organisation=org,
        owner_key=owner_key,
        visibility=VISIBILITIES[visibility],
        ttl_seconds=ttl,
        require_approval=require_approval,
        name=name,
    )
    with control.connect() as api, names.suggesting(api, "organisation", org):
        answer = api.InviteNode(request)
    invitation = JoinCommands(answer.token, url or answer.join_url, when(answer.expires_at) or "", image)
    if _is_loopback(invitation.url):
        say(
            f"warning: {invitation.url} is this machine alone; for others run the gateway with --tunnel-listen on "
            "an address that they reach, or give that with --url",
            err=True,
        )
    say(f"+ join token of {org}, for one machine until {invitation.expires}; not shown again:", err=True)
    if output == "json":
        shown = {
            "token": invitation.token,
            "url": invitation.url,
            "commands": invitation.commands(),
            "expires_at": invitation.expires,
        }
        say(as_json(shown), lines=True)
    elif output == "csv":
        rows = [{"for": place, "command": command} for place, command in invitation.commands().items()]
        say(render(rows, ("for", "command"), output), lines=True)
    else:
        say(invitation.text(), lines=True)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
