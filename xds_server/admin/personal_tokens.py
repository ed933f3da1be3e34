"""The Admin service's methods for personal tokens, and for programs on other machines that need one."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trunkline_proto.admin.v1 import accounts_pb2 as pb

from xds_server.accounts.caller import current
from xds_server.accounts.errors import LinkError
from xds_server.accounts.model import DeviceLogin, PersonalToken, User
from xds_server.admin import people, values
from xds_server.admin.calls import actor_of
from xds_server.admin.people import Context
from xds_server.admin.problems import checking
from xds_server.admin.sign_in import SignInMethods, require_session
from xds_server.errors import UnauthenticatedError
from xds_server.messages import Encoder
from xds_server.rpc.reporting import reporting
from xds_server.store import accounts, writing
from xds_server.store.records import Actor

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_DAY = 86_400
_TTL, _MAX_TTL = 90 * _DAY, 366 * _DAY
_DEVICE_SECONDS, _INTERVAL_SECONDS = 600, 3
_MAX_CLIENT = 100

_TOKEN = Encoder(PersonalToken, pb.PersonalToken, omitted=["user_id"])


class PersonalTokenMethods(SignInMethods):
    """The part of the service that deals with personal tokens."""

    @reporting
    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensResponse:
        """Returns the caller's own tokens that have not expired."""
        user = _user()
        found = await self._store.read(lambda view: accounts.personal_tokens(view, user.id))
        now = time.time()
        return pb.ListTokensResponse(tokens=[_TOKEN(each) for each in found if each.expires_at > now])

    @reporting
    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenResponse:
        """Creates a token and returns its value once. Needs a session, so that tokens cannot create tokens."""
        user, _ = require_session(current())
        with checking() as problems:
            values.name(request.name, problems.at("name"))
            values.number(request.ttl_seconds, 0, _MAX_TTL, f"seconds (0 = {_TTL:,})", problems.at("ttl_seconds"))

        def work(transaction: Transaction) -> tuple[PersonalToken, str]:
            return writing.personal_tokens.create(transaction, user, request.name, request.ttl_seconds or _TTL)

        token, value = (await self._changes.write(actor_of(context), work)).value
        return pb.CreateTokenResponse(token=_TOKEN(token), value=value)

    @reporting
    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Context) -> pb.RevokeTokenResponse:
        """Revokes one of the caller's own tokens."""
        user = _user()
        await self._changes.write(
            actor_of(context), lambda tx: writing.personal_tokens.revoke(tx, user, request.id)
        )
        return pb.RevokeTokenResponse()

    @reporting
    async def BeginDeviceLogin(
        self, request: pb.BeginDeviceLoginRequest, context: Context
    ) -> pb.BeginDeviceLoginResponse:
        """Begins a program's sign-in, with its address and the name that it states."""
        with checking() as problems:
            if len(request.client) > _MAX_CLIENT or not request.client.isprintable():
                problems.at("client").note(f"accepted: at most {_MAX_CLIENT} printable characters")
        address = people.address_of(context)

        def work(transaction: Transaction) -> tuple[DeviceLogin, str]:
            return writing.personal_tokens.begin_device(transaction, request.client, address, _DEVICE_SECONDS)

        login, value = (await self._store.write("device", work)).value
        return pb.BeginDeviceLoginResponse(
            device_code=value,
            user_code=login.user_code,
            url=f"{await self.console()}/#device={login.user_code}",
            expires_at=login.expires_at,
            interval_seconds=_INTERVAL_SECONDS,
        )

    @reporting
    async def PollDeviceLogin(
        self, request: pb.PollDeviceLoginRequest, context: Context
    ) -> pb.PollDeviceLoginResponse:
        """Returns the token once after the approval, or `pending` before it. Raises LinkError."""
        approved = await self._store.read(lambda view: accounts.device_login(view, request.device_code))
        if approved is not None and not approved.user_id and approved.expires_at > time.time():
            return pb.PollDeviceLoginResponse(pending=True)

        def work(transaction: Transaction) -> tuple[User, PersonalToken, str] | None:
            login = writing.personal_tokens.poll_device(transaction, request.device_code)
            if login is None:
                return None
            user = writing.users.get(transaction, login.user_id)
            if user.disabled:
                raise LinkError("the account that approved this is disabled")
            transaction.actor = f"user:{user.email}"
            name = f"login-{login.user_code.lower()}"
            return user, *writing.personal_tokens.create(transaction, user, name, _TTL)

        found = (await self._changes.write(Actor("device"), work)).value
        if found is None:
            return pb.PollDeviceLoginResponse(pending=True)
        user, token, value = found
        return pb.PollDeviceLoginResponse(value=value, token=_TOKEN(token), email=user.email)

    @reporting
    async def ShowDeviceLogin(
        self, request: pb.ShowDeviceLoginRequest, context: Context
    ) -> pb.ShowDeviceLoginResponse:
        """Describes the program that waits for an approval, without deciding."""
        require_session(current())

        def work(transaction: Transaction) -> DeviceLogin:
            return writing.personal_tokens.waiting_device(transaction, request.user_code)

        login = (await self._store.write("device", work, dry_run=True)).value
        return pb.ShowDeviceLoginResponse(client=login.client, address=login.address, expires_at=login.expires_at)

    @reporting
    async def DecideDeviceLogin(
        self, request: pb.DecideDeviceLoginRequest, context: Context
    ) -> pb.DecideDeviceLoginResponse:
        """Approves or refuses a program's sign-in. Needs a session."""
        user, _ = require_session(current())

        def work(transaction: Transaction) -> None:
            writing.personal_tokens.decide_device(transaction, request.user_code, user, approve=request.approve)

        await self._store.write(actor_of(context), work)
        return pb.DecideDeviceLoginResponse()


def _user() -> User:
    """Returns the calling user. Raises UnauthenticatedError for the admin token."""
    user = current().user
    if user is None:
        raise UnauthenticatedError("this needs a user: the admin token has no personal tokens")
    return user
