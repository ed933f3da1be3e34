"""People as identity providers know them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from sqlmodel import col, delete, select

from xds_server.accounts.errors import SignInError
from xds_server.accounts.links import Purpose
from xds_server.accounts.model import Role, User
from xds_server.accounts.oidc import claims
from xds_server.accounts.oidc.claims import Person
from xds_server.accounts.settings import IdentityProvider
from xds_server.errors import InUseError
from xds_server.store import accounts
from xds_server.store.account_tables import AccountLinkRow, IdentityRow, OidcUsedRow
from xds_server.store.writing import account_links, members, users
from xds_server.store.writing.transaction import Transaction


def use_state(transaction: Transaction, hash_: bytes, seconds: int) -> None:
    """Uses up a `state`: if it comes back twice, the second time is refused. Raises SignInError."""
    now = transaction.now
    transaction.session.exec(delete(OidcUsedRow).where(col(OidcUsedRow.expires_at) <= now))
    if transaction.session.get(OidcUsedRow, hash_) is not None:
        raise SignInError("this sign-in has been used already: begin again on the sign-in page")
    transaction.session.add(OidcUsedRow(hash=hash_, expires_at=now + seconds))
    transaction.session.flush()


def user_of(
    transaction: Transaction, person: Person, provider: IdentityProvider, issuers: Collection[str]
) -> User:
    """Returns the user of a person, with the current grants of their groups. `issuers` are all that exist.

    The user is created if somebody has invited them, if a group grants something, or if they may sign up. Raises
    SignInError for anybody else, and for a disabled user.
    """
    granted = claims.grants(provider, person.groups)
    row = transaction.session.get(IdentityRow, (person.issuer, person.subject))
    if row is not None:
        user = users.get(transaction, row.user_id)
    else:
        linked = _linked(transaction, person, issuers)
        user = linked or _made(transaction, person, provider, welcome=granted.anything)
        transaction.session.add(IdentityRow(issuer=person.issuer, subject=person.subject, user_id=user.id))
        transaction.session.flush()
    if user.disabled:
        raise SignInError("this account is disabled")
    user = _accepted(transaction, user) if person.email == user.email else user
    return _granted(transaction, user, granted)


def _linked(transaction: Transaction, person: Person, issuers: Collection[str]) -> User | None:
    """Returns the account with the address, which the provider has verified. Its creator may have been somebody
    else, so its password, sessions and tokens end.

    Raises SignInError if another identity of a configured provider has the account: an address may have a new
    owner, and of two providers one may be wrong.
    """
    user = users.find(transaction, person.email) if person.email else None
    if user is None or user.disabled:
        return user
    of_user = select(IdentityRow.issuer).where(IdentityRow.user_id == user.id)
    if set(transaction.session.exec(of_user).all()).intersection(issuers):
        raise SignInError(
            f"the account {user.email} is another identity's: sign in as before, or ask an admin to remove it"
        )
    if user.password_hash:
        users.end_sign_ins(transaction, user)
        user = users.set_password(transaction, user, "")
    return user


def _made(transaction: Transaction, person: Person, provider: IdentityProvider, *, welcome: bool) -> User:
    sign_up = claims.may_sign_up(provider, person.email)
    if not person.email:
        raise SignInError("the identity provider has not verified your e-mail address")
    if not (welcome or sign_up or _invitations(transaction, person.email)):
        raise SignInError("nobody has invited this account: ask an owner of your organisation")
    user = users.create(transaction, User("", person.email, person.name))
    if sign_up and provider.sign_up.organisation in transaction.organisation_ids:
        role = provider.sign_up.role or Role.MEMBER
        members.put(transaction, provider.sign_up.organisation, user, role)
    return user


def _invitations(transaction: Transaction, email: str) -> list[AccountLinkRow]:
    wanted = select(AccountLinkRow).where(
        AccountLinkRow.purpose == Purpose.INVITE.value,
        AccountLinkRow.email == email,
        AccountLinkRow.expires_at > transaction.now,
    )
    return list(transaction.session.exec(wanted.order_by(col(AccountLinkRow.created_at))).all())


def _accepted(transaction: Transaction, user: User) -> User:
    """Accepts the user's invitations."""
    for row in _invitations(transaction, user.email):
        link = accounts.LINK.decode_row(row)
        account_links.remove(transaction, link.id)
        if not link.organisation_id or link.organisation_id in transaction.organisation_ids.values():
            user = users.join(transaction, user, link)
    return user


def _granted(transaction: Transaction, user: User, granted: claims.Grants) -> User:
    for organisation, role in granted.roles.items():
        if organisation not in transaction.organisation_ids:
            continue
        if role is None:
            members.remove(transaction, organisation, user)
        else:
            members.put(transaction, organisation, user, role)
    if granted.admin is None or granted.admin == user.admin:
        return user
    if not granted.admin:
        try:
            users.check_another_admin(transaction, user)
        except InUseError:
            return user
    return users.change(transaction, dataclasses.replace(user, admin=granted.admin))
