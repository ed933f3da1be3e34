"""The Admin service's methods for users and their memberships."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trunkline_proto.admin.v1 import accounts_pb2 as pb

from xds_server.accounts.caller import Caller, current
from xds_server.accounts.errors import ForbiddenError
from xds_server.accounts.model import Membership, Role, User
from xds_server.admin import enums, people
from xds_server.admin.calls import actor_of
from xds_server.admin.links import LinkMethods
from xds_server.admin.people import Context
from xds_server.admin.problems import checking
from xds_server.admin.sign_in import require_no_token
from xds_server.errors import NotFoundError
from xds_server.quoting import quoted
from xds_server.rpc.reporting import reporting
from xds_server.store import accounts, writing

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction


class UserMethods(LinkMethods):
    """Methods that manage users and their memberships."""

    @reporting
    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """Returns the users whose memberships the caller decides about; all users for an admin."""
        caller = current()
        shown = []
        for each in await self._store.read(accounts.users):
            seen = _decided(caller, each.memberships)
            if request.organisation:
                seen = [one for one in seen if one.organisation == request.organisation]
            if seen or (caller.is_admin and not request.organisation):
                shown.append(people.user(each.user, seen))
        return pb.ListUsersResponse(users=shown)

    @reporting
    async def PutMember(self, request: pb.PutMemberRequest, context: Context) -> pb.PutMemberResponse:
        """Sets a role. An owner changes existing members only; others join by invitation."""
        with checking() as problems:
            role = enums.optional(Role, request, "role")
            if role is None:
                problems.at("role").note(f"accepted: {', '.join(pb.Role.keys()[1:])}")
        caller = current()
        if role is Role.OWNER:
            require_no_token(caller, "make an owner")

        def work(transaction: Transaction) -> User:
            user = _member(transaction, caller, request.organisation, request.user)
            assert role is not None  # noqa: S101 - checked above
            writing.members.put(transaction, request.organisation, user, role)
            return user

        user = (await self._changes.write(actor_of(context), work)).value
        memberships = await self._store.read(lambda view: accounts.memberships(view, user.id))
        return pb.PutMemberResponse(user=people.user(user, _decided(caller, memberships)))

    @reporting
    async def RemoveMember(self, request: pb.RemoveMemberRequest, context: Context) -> pb.RemoveMemberResponse:
        """Ends a membership, and revokes the member's own keys of the organisation."""
        caller = current()

        def work(transaction: Transaction) -> int:
            user = _member(transaction, caller, request.organisation, request.user)
            return writing.members.remove(transaction, request.organisation, user)

        revoked = (await self._changes.write(actor_of(context), work)).value
        return pb.RemoveMemberResponse(revoked_keys=revoked)

    @reporting
    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        """Changes the fields that are given. The only admin cannot be disabled or demoted."""
        with checking() as problems:
            people.check_name(request.name, problems.at("name"))
        if request.admin:
            require_no_token(current(), "make an admin")

        def work(transaction: Transaction) -> User:
            before = writing.users.of_reference(transaction, request.user)
            after = replace(
                before,
                name=request.name if request.HasField("name") else before.name,
                admin=request.admin if request.HasField("admin") else before.admin,
                disabled=request.disabled if request.HasField("disabled") else before.disabled,
            )
            if not after.admin or after.disabled:
                writing.users.check_another_admin(transaction, before)
            if after.disabled and not before.disabled:
                writing.users.end_access(transaction, before)
            return writing.users.change(transaction, after)

        user = (await self._changes.write(actor_of(context), work)).value
        memberships = await self._store.read(lambda view: accounts.memberships(view, user.id))
        return pb.UpdateUserResponse(user=people.user(user, memberships))

    @reporting
    async def RemoveUser(self, request: pb.RemoveUserRequest, context: Context) -> pb.RemoveUserResponse:
        """Removes a user with their sessions and tokens, and revokes their own keys. The only admin stays."""

        def work(transaction: Transaction) -> int:
            return writing.users.remove(transaction, writing.users.of_reference(transaction, request.user))

        revoked = (await self._changes.write(actor_of(context), work)).value
        return pb.RemoveUserResponse(revoked_keys=revoked)


def _decided(caller: Caller, memberships: tuple[Membership, ...]) -> list[Membership]:
    """Returns the memberships in organisations in which the caller decides who is a member."""
    return [each for each in memberships if caller.role_in(each.organisation) is Role.OWNER]


def _member(transaction: Transaction, caller: Caller, organisation: str, reference: str) -> User:
    """Returns the user. For an owner, it must be a member of the organisation: other users are reported as
    nonexistent.

    Raises NotFoundError, ForbiddenError.
    """
    organisation_id = transaction.organisation_id(organisation)
    if caller.is_admin:
        return writing.users.of_reference(transaction, reference)
    hidden = NotFoundError(f"no member {quoted(reference)} of {organisation}: other users join by invitation")
    try:
        user = writing.users.of_reference(transaction, reference)
    except NotFoundError:
        raise hidden from None
    if writing.members.role_in(transaction, organisation_id, user) is None:
        raise hidden
    _require_owner(transaction, organisation_id, caller)
    return user


def _require_owner(transaction: Transaction, organisation_id: str, caller: Caller) -> None:
    """Checks again inside the transaction: of two owners who remove each other, one is too late."""
    user = caller.user
    if user is None or writing.members.role_in(transaction, organisation_id, user) is not Role.OWNER:
        raise ForbiddenError("your role no longer allows this; it needs the role owner")
