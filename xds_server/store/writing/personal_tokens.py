"""Changes personal tokens, and programs that wait for one."""

from __future__ import annotations

import secrets

from sqlmodel import col, delete, select

from xds_server.accounts import guesses, tokens
from xds_server.accounts.errors import LinkError
from xds_server.accounts.model import DeviceLogin, PersonalToken, User
from xds_server.errors import AlreadyExistsError, InUseError, NotFoundError
from xds_server.store import accounts, api_keys, views
from xds_server.store.account_tables import DeviceLoginRow, PersonalTokenRow
from xds_server.store.records import Action, ObjectType
from xds_server.store.writing import makers
from xds_server.store.writing.transaction import Transaction

#: Tokens of one user; waiting programs, in all and from one address.
_MAX, _MAX_WAITING, _MAX_PER_ADDRESS = 100, 1_000, 30
#: No vowels, which form words, and no characters that look alike (RFC 8628, 6.1).
_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"


def create(transaction: Transaction, user: User, name: str, ttl_seconds: int) -> tuple[PersonalToken, str]:
    """Creates a token. Returns it, and its value, which is stored nowhere.

    Raises AlreadyExistsError for the name, InUseError if the user has too many, ForbiddenError for a user who was
    removed or disabled meanwhile.
    """
    makers.require(makers.caller(transaction, user.id).is_somebody)
    now = transaction.now
    _forget(transaction)
    of_user = select(PersonalTokenRow.name).where(PersonalTokenRow.user_id == user.id)
    names = transaction.session.exec(of_user).all()
    if name in names:
        raise AlreadyExistsError(f'you have a token "{name}": revoke it first, or choose another name')
    if len(names) >= _MAX:
        raise InUseError(f"you have {_MAX} tokens: revoke some first")
    value = tokens.new(tokens.TokenKind.PERSONAL)
    token = PersonalToken(f"pat_{api_keys.new_id()}", user.id, name, now, now + ttl_seconds)
    transaction.session.add(PersonalTokenRow(**accounts.PERSONAL_TOKEN.encode(token), hash=tokens.hash_of(value)))
    transaction.session.flush()
    transaction.record(
        Action.CREATE,
        ObjectType.TOKEN,
        f"{user.email}/{name}",
        None,
        views.personal_token(token),
        organisation_id="",
    )
    return token, value


def revoke(transaction: Transaction, user: User, token_id: str) -> None:
    """Revokes a token. Raises NotFoundError for a token that is not the user's."""
    row = transaction.session.get(PersonalTokenRow, token_id)
    if row is None or row.user_id != user.id:
        raise NotFoundError(f"you have no token {token_id[:80]}")
    token = accounts.PERSONAL_TOKEN.decode_row(row)
    transaction.session.delete(row)
    transaction.session.flush()
    transaction.record(
        Action.REVOKE,
        ObjectType.TOKEN,
        f"{user.email}/{token.name}",
        views.personal_token(token),
        None,
        organisation_id="",
    )


def revoke_all(transaction: Transaction, user: User) -> None:
    """Revokes all tokens of a user who may not call any more."""
    of_user = select(PersonalTokenRow.id).where(PersonalTokenRow.user_id == user.id)
    for token_id in transaction.session.exec(of_user.order_by(col(PersonalTokenRow.id))).all():
        revoke(transaction, user, token_id)


def note_use(transaction: Transaction, token_id: str) -> None:
    """Stores the time of a token's use, if the token still exists."""
    row = transaction.session.get(PersonalTokenRow, token_id)
    if row is not None:
        row.used_at = transaction.now
        transaction.session.add(row)


def begin_device(transaction: Transaction, client: str, address: str, ttl_seconds: int) -> tuple[DeviceLogin, str]:
    """Registers a waiting program. Returns it, and the value with which it polls. Raises InUseError if too many
    wait.
    """
    _forget(transaction)
    waiting = [guesses.network(each) for each in transaction.session.exec(select(DeviceLoginRow.address)).all()]
    if len(waiting) >= _MAX_WAITING or waiting.count(guesses.network(address)) >= _MAX_PER_ADDRESS:
        raise InUseError("too many programs wait to be approved: try again in some minutes")
    value = tokens.new(tokens.TokenKind.DEVICE)
    code = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(8))
    login = DeviceLogin(f"{code[:4]}-{code[4:]}", client, address, "", transaction.now + ttl_seconds)
    transaction.session.add(DeviceLoginRow(**accounts.DEVICE_LOGIN.encode(login), hash=tokens.hash_of(value)))
    transaction.session.flush()
    return login, value


def waiting_device(transaction: Transaction, user_code: str) -> DeviceLogin:
    """Returns a waiting program that nobody has decided about. Raises NotFoundError."""
    return accounts.DEVICE_LOGIN.decode_row(_waiting(transaction, user_code))


def decide_device(transaction: Transaction, user_code: str, user: User, *, approve: bool) -> None:
    """Approves or denies a waiting program. Raises NotFoundError if it does not wait, or was decided about,
    ForbiddenError for a user who was removed or disabled meanwhile.
    """
    makers.require(makers.caller(transaction, user.id).is_somebody)
    row = _waiting(transaction, user_code)
    if approve:
        row.user_id = user.id
        transaction.session.add(row)
    else:
        transaction.session.delete(row)
    transaction.session.flush()


def poll_device(transaction: Transaction, value: str) -> DeviceLogin | None:
    """Returns an approved program once; None while nobody has decided. Raises LinkError."""
    row = transaction.session.get(DeviceLoginRow, tokens.hash_of(value))
    if row is None or row.expires_at <= transaction.now:
        raise LinkError("this was refused, has expired, or was used already: begin again with `trunkline login`")
    if not row.user_id:
        return None
    login = accounts.DEVICE_LOGIN.decode_row(row)
    transaction.session.delete(row)
    transaction.session.flush()
    return login


def forget_devices(transaction: Transaction, user: User) -> None:
    """Withdraws the user's approvals that no program has used yet."""
    transaction.session.exec(delete(DeviceLoginRow).where(col(DeviceLoginRow.user_id) == user.id))


def _waiting(transaction: Transaction, user_code: str) -> DeviceLoginRow:
    code = user_code.strip().upper()
    row = transaction.session.exec(select(DeviceLoginRow).where(DeviceLoginRow.user_code == code)).first()
    if row is None or row.user_id or row.expires_at <= transaction.now:
        raise NotFoundError("no program waits with this code: it was mistyped, has expired, or was decided")
    return row


def _forget(transaction: Transaction) -> None:
    """Removes what has expired."""
    now = transaction.now
    transaction.session.exec(delete(PersonalTokenRow).where(col(PersonalTokenRow.expires_at) <= now))
    transaction.session.exec(delete(DeviceLoginRow).where(col(DeviceLoginRow.expires_at) <= now))
