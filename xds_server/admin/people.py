"""Rules for what people enter about themselves, and how people are rendered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc
from trunkline_proto.admin.v1 import accounts_pb2 as pb

from xds_server.accounts import passwords
from xds_server.accounts.model import Membership, Role, User
from xds_server.admin.problems import Problems
from xds_server.admin.values import quoted
from xds_server.messages import Encoder, number

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,188}[a-z0-9])?")
_MAX_NAME = 100
_ADDRESS_HEADER = "x-trunkline-client-address"

_MEMBERSHIP = Encoder(Membership, pb.Membership, omitted=["organisation_id"])
_USER = Encoder(User, pb.User, given=["has_password", "memberships"], omitted=["password_hash", "version"])


def user(value: User, memberships: Iterable[Membership]) -> pb.User:
    """Renders a user without the password."""
    return _USER(value, has_password=bool(value.password_hash), memberships=map(_MEMBERSHIP, memberships))


def role(word: str) -> pb.Role.ValueType:
    """Returns the number of a role's word; UNSPECIFIED for an empty one."""
    return pb.Role.ValueType(number(pb.Role.DESCRIPTOR, Role(word) if word else None))


def email(text: str) -> str:
    """Returns an address as addresses are compared and stored. Some non-ASCII characters become ASCII in lower
    case.
    """
    return text.strip().lower() if text.isascii() else text


def is_email(text: str) -> bool:
    """Returns whether `text`, in lower case, is an e-mail address."""
    return _EMAIL.fullmatch(text) is not None and ".." not in text


def check_email(text: str, problems: Problems) -> None:
    """Checks an address in lower case. Only ASCII is accepted: two addresses that look alike would be two
    people.
    """
    if not is_email(text):
        problems.note(f"{quoted(text)} is not an e-mail address; accepted: name@example.com, in ASCII")


def check_password(password: str, email: str, problems: Problems) -> None:
    """Checks a new password for the user with this address."""
    if not passwords.is_accepted(password, email):
        problems.note(f"this password is not accepted (not shown); accepted: {passwords.RULE}")


def check_name(text: str, problems: Problems) -> None:
    """Checks a person's name, which may be empty."""
    if len(text) > _MAX_NAME or not text.isprintable() or text != text.strip():
        problems.note(f"accepted: at most {_MAX_NAME} printable characters without blanks around them")


def address_of(context: Context) -> str:
    """Returns the client's address. Envoy, on our Unix socket, gives it in a header; otherwise it is the peer."""
    peer = unquote(context.peer() or "")
    if peer.startswith("unix:"):
        for name, value in context.invocation_metadata() or ():
            if name == _ADDRESS_HEADER and isinstance(value, str):
                return value[:64]
        return "unix"
    return peer.partition(":")[2].rpartition(":")[0]
