"""The Admin service's methods for invitations and password resets."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trunkline_proto.admin.v1 import accounts_pb2 as pb

from xds_server.accounts import links
from xds_server.accounts.caller import current
from xds_server.accounts.errors import ForbiddenError, LinkError
from xds_server.accounts.links import Link, Purpose
from xds_server.accounts.model import Role, User
from xds_server.admin import enums, people, values
from xds_server.admin.calls import actor_of
from xds_server.admin.people import Context
from xds_server.admin.problems import Problems, checking
from xds_server.admin.sign_in import SignInMethods, require_no_token, unchanged
from xds_server.errors import NotFoundError
from xds_server.messages import Encoder
from xds_server.quoting import quoted
from xds_server.rpc.reporting import reporting
from xds_server.store import accounts, writing
from xds_server.store.connection import DatabaseSnapshot
from xds_server.store.records import Action, Actor

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_INVITATION = Encoder(
    Link,
    pb.Invitation,
    given=["organisation", "role"],
    omitted=["created_by", "organisation_id", "purpose", "role", "user_id"],
)


class LinkMethods(SignInMethods):
    """Methods for invitations, and for links to set a new password."""

    @reporting
    async def InviteUser(self, request: pb.InviteUserRequest, context: Context) -> pb.InviteUserResponse:
        """Creates an invitation and returns its link, which is stored only as a hash."""
        email, caller = people.email(request.email), current()
        with checking() as problems:
            people.check_email(email, problems.at("email"))
            role = enums.read(Role, request, "role", Role.MEMBER, problems)
            ttl = _ttl(Purpose.INVITE, request.ttl_seconds, problems)
        if request.admin or role is Role.OWNER:
            require_no_token(caller, "invite admins or owners")
        if not caller.is_admin and (request.admin or not request.organisation):
            raise ForbiddenError("only an installation admin invites without an organisation, or as an admin")

        def work(transaction: Transaction) -> tuple[Link, str]:
            organisation_id = transaction.organisation_id(request.organisation) if request.organisation else ""
            link = Link(
                Purpose.INVITE,
                email=email,
                organisation_id=organisation_id,
                role=role.value if organisation_id else "",
                admin=request.admin,
                created_by=caller.user_id,
            )
            made, value = writing.account_links.create(transaction, link, ttl)
            writing.account_links.record(transaction, Action.CREATE, made)
            return made, value

        link, value = (await self._changes.write(actor_of(context), work)).value
        url = links.url(await self.console(), Purpose.INVITE, value)
        return pb.InviteUserResponse(invitation=_invitation(link, request.organisation), url=url)

    @reporting
    async def ListInvitations(
        self, request: pb.ListInvitationsRequest, context: Context
    ) -> pb.ListInvitationsResponse:
        """Returns the open invitations to the organisations that the caller owns; all invitations for an admin."""
        names, caller = (await self._store.load()).owners, current()
        found = await self._store.read(lambda view: accounts.links(view, Purpose.INVITE, int(time.time())))
        shown = [
            _invitation(each, names.get(each.organisation_id, ""))
            for each in found
            if caller.role_in(names.get(each.organisation_id, "")) is Role.OWNER
        ]
        wanted = request.organisation
        return pb.ListInvitationsResponse(
            invitations=[each for each in shown if wanted in {"", each.organisation}]
        )

    @reporting
    async def RevokeInvitation(
        self, request: pb.RevokeInvitationRequest, context: Context
    ) -> pb.RevokeInvitationResponse:
        """Removes an invitation. One that the caller does not decide about is reported as nonexistent."""
        names, caller = (await self._store.load()).owners, current()

        def work(transaction: Transaction) -> None:
            link = writing.account_links.of_id(transaction, Purpose.INVITE, request.id)
            organisation = names.get(link.organisation_id, "") if link is not None else ""
            if link is None or caller.role_in(organisation) is not Role.OWNER:
                raise NotFoundError(f"no invitation {quoted(request.id)}")
            writing.account_links.remove(transaction, link.id)
            writing.account_links.record(transaction, Action.REVOKE, link)

        await self._changes.write(actor_of(context), work)
        return pb.RevokeInvitationResponse()

    @reporting
    async def ShowLink(self, request: pb.ShowLinkRequest, context: Context) -> pb.ShowLinkResponse:
        """Describes an invitation or reset link to its holder, without using it up. Raises LinkError."""

        def read(view: DatabaseSnapshot) -> pb.ShowLinkResponse:
            link = accounts.link(view, request.token, int(time.time()))
            if link is None or link.purpose is Purpose.SETUP:
                raise LinkError(
                    f"this link was used, has expired or is another gateway's: {Purpose.INVITE.another}"
                )
            known = accounts.user_of_email(view, link.email)
            return pb.ShowLinkResponse(
                email=link.email,
                organisation=accounts.organisation_names(view).get(link.organisation_id, ""),
                role=people.role(link.role),
                admin=link.admin,
                has_password=known is not None and bool(known.password_hash),
                expires_at=link.expires_at,
            )

        return await self._store.read(read)

    @reporting
    async def AcceptInvitation(self, request: pb.AcceptInvitationRequest, context: Context) -> pb.SignInResponse:
        """Uses the link up and signs in. An existing user proves their password, and a new one sets it."""
        await self.require_passwords()
        link = await self._link(Purpose.INVITE, request.token)
        known = await self._store.read(lambda view: accounts.user_of_email(view, link.email))
        with checking() as problems:
            people.check_name(request.name, problems.at("name"))
            if known is None:
                people.check_password(request.password, link.email, problems.at("password"))
        # A user who has an account but no password signs in through the identity provider to accept the
        # invitation.
        hashed = "" if known is not None else await self._passwords.hash(request.password)
        if known is not None:
            known = await self.check_password(link.email, request.password, context)

        def work(transaction: Transaction) -> tuple[User, str]:
            used = writing.account_links.use(transaction, Purpose.INVITE, request.token)
            if known is None:
                user = writing.users.create(transaction, User("", used.email, request.name, password_hash=hashed))
            else:
                user = unchanged(transaction, known)
            user = writing.users.join(transaction, user, used)
            return user, self._begin(transaction, user)

        user, value = (await self._changes.write(Actor(f"user:{link.email}"), work)).value
        return await self._signed_in(user, value, context)

    @reporting
    async def ResetUser(self, request: pb.ResetUserRequest, context: Context) -> pb.ResetUserResponse:
        """Creates a reset link, which replaces earlier ones of the user. The password stays until it is used."""
        require_no_token(current(), "reset passwords")
        maker = current().user_id
        with checking() as problems:
            ttl = _ttl(Purpose.RESET, request.ttl_seconds, problems)

        def work(transaction: Transaction) -> tuple[Link, str]:
            user = writing.users.of_reference(transaction, request.user)
            writing.account_links.remove_all(transaction, Purpose.RESET, user_id=user.id)
            link = Link(Purpose.RESET, email=user.email, user_id=user.id, created_by=maker)
            return writing.account_links.create(transaction, link, ttl)

        link, value = (await self._changes.write(actor_of(context), work)).value
        url = links.url(await self.console(), Purpose.RESET, value)
        return pb.ResetUserResponse(url=url, expires_at=link.expires_at)

    @reporting
    async def RedeemReset(self, request: pb.RedeemResetRequest, context: Context) -> pb.SignInResponse:
        """Uses the link up, sets the password, and ends all sessions of the user before it signs in."""
        await self.require_passwords()
        link = await self._link(Purpose.RESET, request.token)
        with checking() as problems:
            people.check_password(request.password, link.email, problems.at("password"))
        hashed = await self._passwords.hash(request.password)

        def work(transaction: Transaction) -> tuple[User, str]:
            used = writing.account_links.use(transaction, Purpose.RESET, request.token)
            user = writing.users.get(transaction, used.user_id)
            if user.disabled:
                raise LinkError(f"this account is disabled: {Purpose.RESET.another}")
            writing.sessions.end_all(transaction, user.id)
            writing.personal_tokens.forget_devices(transaction, user)
            user = writing.users.set_password(transaction, user, hashed)
            return user, self._begin(transaction, user)

        user, value = (await self._changes.write(Actor(f"user:{link.email}"), work)).value
        return await self._signed_in(user, value, context)

    async def _link(self, purpose: Purpose, value: str) -> Link:
        """Returns the link that a value opens; it is not used up yet. Callers check this first, so that nobody
        without a valid link can make the gateway hash passwords.

        Raises LinkError.
        """
        link = await self._store.read(lambda view: accounts.link(view, value, int(time.time())))
        if link is None or link.purpose is not purpose:
            raise LinkError(f"this link was used, has expired or is another gateway's: {purpose.another}")
        return link


def _invitation(link: Link, organisation: str) -> pb.Invitation:
    return _INVITATION(link, organisation=organisation, role=people.role(link.role))


def _ttl(purpose: Purpose, given: int, problems: Problems) -> int:
    default, longest = links.LIFETIMES[purpose]
    values.number(given, 0, longest, f"seconds (0 = {default:,})", problems.at("ttl_seconds"))
    return given or default
