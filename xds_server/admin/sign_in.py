"""The Admin service's methods for signing in and out."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import accounts_pb2 as pb, admin_pb2_grpc

from xds_server.accounts import guesses, links
from xds_server.accounts.caller import Caller, current
from xds_server.accounts.errors import ForbiddenError, SignInError, TooManyGuessesError
from xds_server.accounts.links import Link, Purpose
from xds_server.accounts.model import User
from xds_server.accounts.passwords import Passwords
from xds_server.accounts.sessions import Lifetime
from xds_server.admin import people, values
from xds_server.admin.calls import Changes, actor_of
from xds_server.admin.problems import checking
from xds_server.errors import InUseError, InvalidFieldError, UnauthenticatedError
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore, accounts, writing
from xds_server.store.records import Actor

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

#: Trailing metadata with which the REST server sets or ends the browser's cookie: the value and its seconds.
SET_SESSION = "x-trunkline-set-session"


class SignInMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that deals with signing in and out."""

    _store: AsyncStore
    _changes: Changes
    _passwords: Passwords
    _lifetime: Lifetime
    _console: str

    @reporting
    async def GetSignInOptions(
        self, request: pb.GetSignInOptionsRequest, context: Context
    ) -> pb.GetSignInOptionsResponse:
        """Returns the ways to sign in, for callers without an account too."""
        has_users = await self._store.read(accounts.has_users)
        gateway = (await self._store.load()).gateway
        return pb.GetSignInOptionsResponse(
            needs_setup=not has_users,
            password=not gateway.accounts.sso_only,
            oidc=[pb.SignInProvider(name=each.name, title=each.title or each.name) for each in gateway.oidc],
        )

    @reporting
    async def CreateSetupLink(
        self, request: pb.CreateSetupLinkRequest, context: Context
    ) -> pb.CreateSetupLinkResponse:
        """Creates a set-up link, which replaces earlier ones. Personal tokens may not."""
        require_no_token(current(), "make a set-up link")
        maker = current().user_id
        default, longest = links.LIFETIMES[Purpose.SETUP]
        with checking() as problems:
            values.number(
                request.ttl_seconds, 0, longest, f"seconds (0 = {default:,})", problems.at("ttl_seconds")
            )

        def work(transaction: Transaction) -> tuple[Link, str]:
            writing.account_links.remove_all(transaction, Purpose.SETUP)
            ttl = request.ttl_seconds or default
            return writing.account_links.create(
                transaction, Link(Purpose.SETUP, admin=True, created_by=maker), ttl
            )

        link, value = (await self._changes.write(actor_of(context), work)).value
        url = links.url(await self.console(), Purpose.SETUP, value)
        return pb.CreateSetupLinkResponse(url=url, expires_at=link.expires_at)

    @reporting
    async def RedeemSetupLink(self, request: pb.RedeemSetupLinkRequest, context: Context) -> pb.SignInResponse:
        """Creates the admin whom a set-up link stands for, and signs in. Raises LinkError."""
        email = people.email(request.email)
        with checking() as problems:
            people.check_email(email, problems.at("email"))
            people.check_name(request.name, problems.at("name"))
            people.check_password(request.password, email, problems.at("password"))
        # A caller without a link does not make the gateway hash anything.
        await self._store.write("setup", lambda tx: writing.account_links.find(tx, Purpose.SETUP, request.token))
        hashed = await self._passwords.hash(request.password)

        def work(transaction: Transaction) -> tuple[User, str]:
            writing.account_links.use(transaction, Purpose.SETUP, request.token)
            wanted = User("", email, request.name, admin=True, password_hash=hashed)
            user = writing.users.create(transaction, wanted)
            return user, self._begin(transaction, user)

        user, value = (await self._changes.write(Actor(f"user:{email}"), work)).value
        return await self._signed_in(user, value, context)

    @reporting
    async def SignIn(self, request: pb.SignInRequest, context: Context) -> pb.SignInResponse:
        """Signs in with a password. Raises SignInError or TooManyGuessesError, also for an unknown account."""
        email = people.email(request.email)
        await self.require_passwords()
        user = await self.check_password(email, request.password, context)

        def work(transaction: Transaction) -> tuple[User, str]:
            writing.sessions.forget_attempts(transaction, guesses.account(email))
            writing.sessions.take_attempt_back(transaction, guesses.address(people.address_of(context)))
            known = unchanged(transaction, user)
            return known, self._begin(transaction, known)

        user, value = (await self._store.write(Actor(f"user:{email}"), work)).value
        return await self._signed_in(user, value, context)

    @reporting
    async def SignOut(self, request: pb.SignOutRequest, context: Context) -> pb.SignOutResponse:
        """Ends the caller's session, or all sessions of the user, and removes the cookie."""
        caller = current()

        def work(transaction: Transaction) -> int:
            if caller.user is not None and request.everywhere:
                return writing.sessions.end_all(transaction, caller.user.id)
            return writing.sessions.end(transaction, caller.session_hash)

        ended = (await self._store.write(actor_of(context), work)).value
        set_session(context, "", 0)
        return pb.SignOutResponse(ended=ended)

    @reporting
    async def GetMe(self, request: pb.GetMeRequest, context: Context) -> pb.GetMeResponse:
        """Returns the caller with their memberships, or `machine` for the admin token."""
        caller = current()
        shown = people.user(caller.user, caller.memberships) if caller.user is not None else None
        return pb.GetMeResponse(user=shown, machine=caller.machine, expires_at=caller.expires_at)

    @reporting
    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: Context
    ) -> pb.ChangePasswordResponse:
        """Changes the caller's password, ends their other sessions, and replaces the one in use."""
        user, session = require_session(current())
        with checking() as problems:
            people.check_password(request.password, user.email, problems.at("password"))
        if not user.password_hash:  # a session, which ends, would become a password, which lasts
            raise InUseError("you sign in through an identity provider: ask an admin for a link to set a password")
        try:
            await self.check_password(user.email, request.current, context)
        except SignInError:
            raise InvalidFieldError(["current: this is not your password"]) from None
        hashed = await self._passwords.hash(request.password)

        def work(transaction: Transaction) -> tuple[int, str]:
            known = writing.users.get(transaction, user.id)
            if known.password_hash != user.password_hash:
                raise InUseError("the password was changed meanwhile: sign in again")
            writing.users.set_password(transaction, known, hashed)
            writing.sessions.forget_attempts(transaction, guesses.account(user.email))
            writing.personal_tokens.forget_devices(transaction, user)
            ended = writing.sessions.end_all(transaction, user.id, but=session)
            # Somebody else may have learned this session's value.
            return ended, self._begin(transaction, known)

        ended, value = (await self._changes.write(actor_of(context), work)).value
        set_session(context, value, self._lifetime.absolute)
        return pb.ChangePasswordResponse(ended=ended)

    async def require_passwords(self) -> None:
        """Raises SignInError if only identity providers sign users in (`sso_only`)."""
        if (await self._store.load()).gateway.accounts.sso_only:
            raise SignInError("passwords are not accepted here: sign in through an identity provider")

    async def check_password(self, email: str, password: str, context: Context) -> User:
        """Returns the user. An account that does not exist, is disabled or has no password fails in the same way
        and as slowly.

        Raises SignInError, TooManyGuessesError.
        """
        subjects = {
            guesses.account(email): guesses.ACCOUNT,
            guesses.address(people.address_of(context)): guesses.ADDRESS,
        }

        def count(transaction: Transaction) -> int:
            return writing.sessions.count_attempt(transaction, subjects)

        wait = (await self._store.write("sign-in", count)).value
        if wait:
            raise TooManyGuessesError(wait)
        user = await self._store.read(lambda snapshot: accounts.user_of_email(snapshot, email))
        known = user.password_hash if user is not None and not user.disabled else ""
        if not await self._passwords.matches(password, known) or user is None:
            raise _WRONG
        return user

    async def console(self) -> str:
        """Returns the console's URL as people reach it, without a trailing slash."""
        return (await self._store.load()).gateway.accounts.console_url or self._console.rstrip("/")

    def _begin(self, transaction: Transaction, user: User) -> str:
        """Returns the value of a new session, which replaces the one that the browser had."""
        return writing.sessions.begin(transaction, user, self._lifetime, instead_of=current().session_hash)

    async def _signed_in(
        self, user: User, value: str, context: Context, *more: tuple[str, str]
    ) -> pb.SignInResponse:
        """Returns the answer to every call that begins a session. `more` are further trailing metadata."""
        set_session(context, value, self._lifetime.absolute, *more)
        memberships = await self._store.read(lambda snapshot: accounts.memberships(snapshot, user.id))
        expires_at = int(time.time()) + self._lifetime.absolute
        return pb.SignInResponse(user=people.user(user, memberships), expires_at=expires_at)


_WRONG = SignInError("the e-mail address or the password is wrong")


def unchanged(transaction: Transaction, checked: User) -> User:
    """Returns the user whose password was just checked, as they are now. Raises SignInError if they were disabled,
    or the password was changed, in between.
    """
    known = writing.users.get(transaction, checked.id)
    if known.disabled or known.password_hash != checked.password_hash:
        raise _WRONG
    return known


def set_session(context: Context, value: str, seconds: int, *more: tuple[str, str]) -> None:
    """Makes the REST server set the browser's cookie; an empty value ends the session."""
    context.set_trailing_metadata(((SET_SESSION, f"{value} {seconds}"), *more))


def require_session(caller: Caller) -> tuple[User, bytes]:
    """Returns the user and the hash of their session.

    Raises UnauthenticatedError for a token: a leaked token must not become more than it is.
    """
    if caller.user is None or not caller.session_hash:
        raise UnauthenticatedError("this needs a user who is signed in; a token is not enough")
    return caller.user, caller.session_hash


def require_no_token(caller: Caller, what: str) -> None:
    """Raises ForbiddenError for a personal token: a finder must not be able to turn it into a lasting account."""
    if caller.user is not None and not caller.session_hash:
        raise ForbiddenError(f"a personal token cannot {what}: do it in the console, or with the admin token")
