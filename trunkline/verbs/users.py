"""`trunkline users`."""

from __future__ import annotations

from typing import Any

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import ROLES

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render, when
from trunkline.parameters import SecondsFlag
from trunkline.text import say

_COLUMNS = ("id", "email", "name", "memberships", "admin", "disabled", "created_at")
_IMPORTANT = ("email", "memberships", "admin", "disabled")
_role_option = click.option("--role", type=click.Choice(list(ROLES)), help="Their role in the organisation.")


@click.group(cls=SuggestingGroup)
def users() -> None:
    """Manage people who sign in to the console, and their roles."""


@users.command(
    "setup-link",
    epilog="""\b
Examples:
  trunkline users setup-link
  trunkline users setup-link --expires 1h
""",
)
@click.option(
    "--expires", type=SecondsFlag(), default=None, help="Validity of the link.  [default: 1d; at most 7d]"
)
@control_options
def setup_link(*, control: Control, expires: int | None) -> None:
    """Print a link with which one person becomes the installation's admin. Earlier links become invalid."""
    with control.connect() as api:
        made = api.CreateSetupLink(admin.CreateSetupLinkRequest(ttl_seconds=expires or 0))
    _say_link(made.url, made.expires_at)


@users.command(
    "list",
    epilog="""\b
Examples:
  trunkline users list
  trunkline users list --org acme --json
""",
)
@click.option("--org", default="", shell_complete=completion.ORGS, help="Only members of this organisation.")
@output_option
@control_options
def list_users(*, control: Control, org: str, output: str) -> None:
    """List all users with their memberships, and pending invitations."""
    with control.connect() as api:
        found = api.ListUsers(admin.ListUsersRequest(organisation=org)).users
        invited = api.ListInvitations(admin.ListInvitationsRequest(organisation=org)).invitations
    say(render([_row(each) for each in found], _COLUMNS, output, important=_IMPORTANT), lines=True)
    for each in invited:
        until = when(each.expires_at)
        role = f" as {ROLES.word(each.role)} of {each.organisation}" if each.organisation else ""
        say(f"invited: {each.email}{role}, until {until} (invitation {each.id})", err=True)


@users.command(
    epilog="""\b
Examples:
  trunkline users invite bob@example.org --org acme --role operator
  trunkline users invite carol@example.org --admin
"""
)
@click.argument("email")
@click.option("--org", default="", shell_complete=completion.ORGS, help="The organisation that they join.")
@_role_option
@click.option("--admin", "as_admin", is_flag=True, help="Make them an admin of the installation.")
@click.option(
    "--expires", type=SecondsFlag(), default=None, help="Validity of the link.  [default: 7d; at most 30d]"
)
@control_options
def invite(
    *, control: Control, email: str, org: str, role: str | None, as_admin: bool, expires: int | None
) -> None:
    """Print a link with which EMAIL joins. Nothing is sent: pass the link on yourself."""
    wanted = ROLES[role] if role else admin.ROLE_UNSPECIFIED
    request = admin.InviteUserRequest(
        email=email, organisation=org, admin=as_admin, ttl_seconds=expires or 0, role=wanted
    )
    with control.connect() as api:
        made = api.InviteUser(request)
    _say_link(made.url, made.invitation.expires_at)


@users.command(
    epilog="""\b
Examples:
  trunkline users withdraw ab2cd3ef4g
"""
)
@click.argument("invitation")
@control_options
def withdraw(*, control: Control, invitation: str) -> None:
    """Withdraw the INVITATION with this id, which `trunkline users list` shows."""
    with control.connect() as api:
        api.RevokeInvitation(admin.RevokeInvitationRequest(id=invitation))
    say(f"- invitation {invitation}")


@users.command(
    epilog="""\b
Examples:
  trunkline users role bob@example.org --org acme --role owner
  trunkline users role bob@example.org --org acme --none
  trunkline users role bob@example.org --admin
  trunkline users role bob@example.org --no-admin
"""
)
@click.argument("user", shell_complete=completion.USERS)
@click.option("--org", default="", shell_complete=completion.ORGS, help="The organisation of the role.")
@_role_option
@click.option(
    "--none", "leaves", is_flag=True, help="Remove them from the organisation; their own keys are revoked."
)
@click.option(
    "--admin/--no-admin", "as_admin", default=None, help="Make them an admin of the installation, or no longer."
)
@control_options
def role(*, control: Control, user: str, org: str, role: str | None, leaves: bool, as_admin: bool | None) -> None:
    """Set the role of USER in an organisation, or as an admin of the installation."""
    if bool(org) != (role is not None or leaves) or (role is not None and leaves):
        raise UsageError("give --org with --role or with --none, such as --org acme --role operator")
    if not org and as_admin is None:
        raise UsageError("say what to change, such as --org acme --role operator, or --admin")
    with control.connect() as api, names.suggesting(api, "user", user):
        if leaves:
            gone = api.RemoveMember(admin.RemoveMemberRequest(organisation=org, user=user))
            say(f"- member {org}/{user}, {gone.revoked_keys} keys revoked")
        elif role is not None:
            api.PutMember(admin.PutMemberRequest(organisation=org, user=user, role=ROLES[role]))
            say(f"~ member {org}/{user}: {role}")
        if as_admin is not None:
            api.UpdateUser(admin.UpdateUserRequest(user=user, admin=as_admin))
            say(f"~ user {user}: {'an admin' if as_admin else 'no admin'}")


@users.command(
    epilog="""\b
Examples:
  trunkline users disable bob@example.org
"""
)
@click.argument("user", shell_complete=completion.USERS)
@control_options
def disable(*, control: Control, user: str) -> None:
    """Disable USER: end their sessions and tokens, revoke their own keys, and refuse sign-in."""
    _change(control, user, disabled=True)
    say(f"~ user {user}: disabled")


@users.command(
    epilog="""\b
Examples:
  trunkline users enable bob@example.org
"""
)
@click.argument("user", shell_complete=completion.USERS)
@control_options
def enable(*, control: Control, user: str) -> None:
    """Let USER sign in again. Revoked keys stay revoked."""
    _change(control, user, disabled=False)
    say(f"~ user {user}: enabled")


@users.command(
    epilog="""\b
Examples:
  trunkline users remove bob@example.org
"""
)
@click.argument("user", shell_complete=completion.USERS)
@control_options
def remove(*, control: Control, user: str) -> None:
    """Remove USER for good, and revoke their own keys."""
    with control.connect() as api, names.suggesting(api, "user", user):
        gone = api.RemoveUser(admin.RemoveUserRequest(user=user))
    say(f"- user {user}, {gone.revoked_keys} keys revoked")


@users.command(
    epilog="""\b
Examples:
  trunkline users reset bob@example.org
"""
)
@click.argument("user", shell_complete=completion.USERS)
@click.option(
    "--expires", type=SecondsFlag(), default=None, help="Validity of the link.  [default: 1d; at most 7d]"
)
@control_options
def reset(*, control: Control, user: str, expires: int | None) -> None:
    """Print a link with which USER sets another password, which ends their sessions."""
    with control.connect() as api, names.suggesting(api, "user", user):
        made = api.ResetUser(admin.ResetUserRequest(user=user, ttl_seconds=expires or 0))
    _say_link(made.url, made.expires_at)


def _change(control: Control, user: str, **given: Any) -> None:
    with control.connect() as api, names.suggesting(api, "user", user):
        api.UpdateUser(admin.UpdateUserRequest(user=user, **given))


def _say_link(url: str, expires_at: int) -> None:
    say(url)
    say(f"works once, until {when(expires_at)}", err=True)


def _row(user: admin.User) -> dict[str, Any]:
    return {
        **{name: getattr(user, name) for name in ("id", "email", "name", "admin", "disabled")},
        "memberships": [f"{each.organisation}: {ROLES.word(each.role)}" for each in user.memberships],
        "created_at": when(user.created_at),
    }
