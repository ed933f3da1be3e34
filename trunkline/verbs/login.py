"""`trunkline login` and `trunkline logout`."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import grpc
from trunkline_proto.admin.v1 import admin_pb2 as admin, admin_pb2_grpc

from trunkline import login_file
from trunkline.channel import CA_VARIABLE, Trust, opened
from trunkline.client import Control
from trunkline.errors import ControlError
from trunkline.login_file import Login
from trunkline.output import when
from trunkline.text import say

_CALL_SECONDS = 30.0


@click.command(
    epilog="""\b
Examples:
  trunkline login https://gateway.example.org:8081
  trunkline login
"""
)
@click.argument("url", required=False)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="The data directory of the gateway, if neither URL nor TRUNKLINE_CONTROL names one.",
)
@click.option(
    "--control-ca-file",
    type=click.Path(path_type=Path),
    help=f"CAs (PEM) to trust if URL is https://.  [default: ${CA_VARIABLE}, or public ones]",
)
def login(*, url: str | None, data_dir: Path, control_ca_file: Path | None) -> None:
    """Sign in to the gateway at URL by approval in the console.

    Prints a link and a code, and waits. The token is stored only for this user of this machine. Commands use it if
    neither a data directory nor TRUNKLINE_ADMIN_TOKEN has another one. It is valid for 90 days, with your role.
    """
    address = url or Control.address_of(data_dir)
    client = f"trunkline login of {getpass.getuser()} on {socket.gethostname()}"[:100]
    with _anybody(address, Trust.of(ca=control_ca_file)) as api:
        begun = api.BeginDeviceLogin(admin.BeginDeviceLoginRequest(client=client), timeout=_CALL_SECONDS)
        say(
            f"Open {begun.url}\nand approve the code {begun.user_code}, until {when(begun.expires_at)}.",
            lines=True,
        )
        poll = admin.PollDeviceLoginRequest(device_code=begun.device_code)
        while (answer := api.PollDeviceLogin(poll, timeout=_CALL_SECONDS)).pending:
            time.sleep(begun.interval_seconds)
    path = login_file.store(Login(address, answer.value, answer.email, answer.token.id))
    say(f"signed in as {answer.email} until {when(answer.token.expires_at)}; the token is in {path}")


@click.command(
    epilog="""\b
Examples:
  trunkline logout
"""
)
@click.option(
    "--control-ca-file",
    type=click.Path(path_type=Path),
    help=f"CAs (PEM) to trust.  [default: ${CA_VARIABLE}, or public ones]",
)
def logout(*, control_ca_file: Path | None) -> None:
    """Revoke the token of `trunkline login`, and remove it from this machine."""
    known = login_file.load()
    if not known.token:
        say("nobody is signed in")
        return
    try:
        control = Control(known.control, known.token, trust=Trust.of(ca=control_ca_file))
        with control.connect() as api:
            api.RevokeToken(admin.RevokeTokenRequest(id=known.token_id))
    except ControlError as error:
        say(f"the token is removed here, but was not revoked: {error}", err=True)
    login_file.remove()
    say(f"signed out {known.email}")


@contextmanager
def _anybody(address: str, trust: Trust) -> Iterator[admin_pb2_grpc.AdminStub]:
    """Yields the Admin API without a token. Raises ControlError for any failed call."""
    with opened(address, trust, ()) as channel:
        try:
            yield admin_pb2_grpc.AdminStub(channel)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise ControlError(f"cannot reach {address}: is it the address of --admin-listen?") from error
            raise ControlError(error.details() or error.code().name) from error
