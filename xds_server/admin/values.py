"""Rules for single values: names, models, URLs, keys, numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.message import Message
from trunkline_proto.policy.endpoints import ENDPOINTS

from xds_server import quoting
from xds_server.admin.problems import Problems

#: Re-exported for modules that check values.
quoted = quoting.quoted

NAME_RULE = "1 to 63 of a-z, 0-9, `-`, `_`, `.`, other than `.` and `..`"
MODEL_RULE = "1 to 200 printable characters without blanks around them"
CREDENTIAL_RULE = "1 to 4,096 printable ASCII characters without whitespace"
KEY_RULE = "16 to 512 printable ASCII characters without whitespace"

_NAME = re.compile(r"[a-z0-9._-]{1,63}")
#: Parts of paths that every HTTP client removes, so that REST could not name such an object.
_NOT_IN_PATHS = frozenset({".", ".."})
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")
#: An endpoint at the end of a base URL.
_ENDPOINT = re.compile(rf"(/(?:{'|'.join(map(re.escape, ENDPOINTS))}))/*$")
_REPEATED = re.compile(r"(/v\d+\w*)(?=\1(?:/|$))")
_CREDENTIAL = re.compile(r"[!-~]{1,4096}")
_KEY = re.compile(r"[!-~]{16,512}")

#: The machine's own zone, and the system's further sets, one of which counts leap seconds.
_ZONES_OF_A_MACHINE = ("localtime", "Factory", "posix/", "posixrules", "right/")

#: Field → minimum, maximum and unit.
Ranges: TypeAlias = Mapping[str, tuple[int, int, str]]

#: Fits a signed 64-bit column with room for sums.
MAX_AMOUNT = 10**15
_LAST_SECOND = 253_402_300_799  # 9999-12-31


class Period(Protocol):
    """A message with the times between which a report is asked for."""

    @property
    def since(self) -> int:
        """Unix seconds; 0 is the first record."""

    @property
    def until(self) -> int:
        """Unix seconds; 0 is now."""


def is_name(text: str) -> bool:
    """Returns whether a text satisfies NAME_RULE."""
    return _NAME.fullmatch(text) is not None and text not in _NOT_IN_PATHS


def name(text: str, problems: Problems) -> None:
    """Checks that a text satisfies NAME_RULE."""
    if not is_name(text):
        problems.note(f"{quoted(text)} is not a name; accepted: {NAME_RULE}")


def model(text: str, problems: Problems) -> None:
    """Checks that a text satisfies MODEL_RULE."""
    # The plain blank is the only white space that counts as printable.
    if text != text.strip() or not text.isprintable() or not 1 <= len(text) <= 200:
        problems.note(f"{quoted(text)} is not accepted; accepted: {MODEL_RULE}")


def base_url(text: str, problems: Problems) -> str:
    """Returns the URL's canonical form, without a trailing slash. Problems never quote the URL: it may hold a
    password.
    """
    rule = "accepted: http(s)://host[:port][/path], without user, query and fragment"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        problems.note(f"not a URL; {rule}")
        return text
    if not all("!" <= character <= "~" for character in text):
        problems.note(f"only printable ASCII characters without whitespace; {rule}")
    elif parts.scheme not in {"http", "https"}:
        problems.note(f"the scheme must be http or https; {rule}")
    elif "@" in parts.netloc:
        problems.note(f"a user or password does not belong here, use `credentials`; {rule}")
    elif "?" in text or "#" in text:
        problems.note(f"a query or fragment is not accepted; {rule}")
    elif not _HOST.fullmatch(parts.netloc.removesuffix(f":{port}")) or port == 0:
        problems.note(f"no valid host and port; {rule}")
    elif not _PATH.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/")):
        problems.note(f"the path has characters or segments that are not accepted; {rule}")
    elif (endpoint := _ENDPOINT.search(parts.path)) is not None:
        problems.note(f"ends with {endpoint[1]}, which the gateway appends; give only the part before it")
    elif (repeated := _REPEATED.search(parts.path)) is not None:
        problems.note(f"has {repeated[1]} twice; give it once")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def path(text: str, problems: Problems) -> None:
    """Checks a path that is appended to a URL; empty for none."""
    if len(text) > 1024 or not _PATH.fullmatch(text) or {".", ".."} & set(text.split("/")):
        problems.note(
            f"{quoted(text)} is not accepted; accepted: a path such as /models, without query and fragment"
        )


def credential(text: str, problems: Problems) -> None:
    """Checks a provider's credential by CREDENTIAL_RULE. The problem does not show it."""
    if not _CREDENTIAL.fullmatch(text):
        problems.note(f"this value is not accepted (not shown); accepted: {CREDENTIAL_RULE}")


def key_value(text: str, problems: Problems) -> None:
    """Checks the value of an API key by KEY_RULE. The problem does not show it."""
    if not _KEY.fullmatch(text):
        problems.note(f"this value is not accepted (not shown); accepted: {KEY_RULE}")


def number(value: int, least: int, most: int, unit: str, problems: Problems) -> None:
    """Checks a number against its range, ends included. `unit` may be empty, or say what a special value means."""
    if not least <= value <= most:
        problems.note(f"{value} is out of range; accepted: {least:,} to {most:,}{' ' + unit if unit else ''}")


def numbers(message: Message, ranges: Ranges, problems: Problems) -> dict[str, Any]:
    """Returns the fields that `ranges` names, checked; None for an absent one. `problems` is at the message."""
    found: dict[str, Any] = {}
    for field, (least, most, unit) in ranges.items():
        value = getattr(message, field)
        number(value, least, most, unit, problems.at(field))
        descriptor = message.DESCRIPTOR.fields_by_name[field]
        found[field] = value if not descriptor.has_presence or message.HasField(field) else None
    return found


def at_most(items: Collection[object], most: int, problems: Problems) -> None:
    """Checks the number of items."""
    if len(items) > most:
        problems.note(f"{len(items)} items; accepted: at most {most}")


def unique(names: Iterable[Hashable], problems: Problems, field: str, part: str) -> None:
    """Checks that no two items of `field` have one name. `part` is the field of an item that has the name."""
    first_of: dict[Hashable, int] = {}
    for index, name in enumerate(names):
        first = first_of.setdefault(name, index)
        if first != index:
            problems.at(field, index).at(part).note(f"the same as {field}[{first}]; accepted: each once")


def period(message: Period, problems: Problems) -> None:
    """Checks the times between which a report is asked for. `problems` is at the message."""
    for field, value in (("since", message.since), ("until", message.until)):
        number(value, 0, _LAST_SECOND, "Unix seconds", problems.at(field))
    if 0 < message.until <= message.since:
        problems.at("until").note("not after `since`; accepted: a later time, or 0 = up to now")


def expiry(value: int, problems: Problems) -> None:
    """Checks an expiry in Unix seconds; 0 is never."""
    number(value, 0, _LAST_SECOND, "(Unix seconds; 0 = never)", problems)


def moment(value: int, problems: Problems) -> None:
    """Checks a time in Unix seconds; 0 is none."""
    number(value, 0, _LAST_SECOND, "(Unix seconds; 0 = none given)", problems)


def time_zone(text: str, problems: Problems) -> None:
    """Checks that a time zone is known by its IANA name, and so is the same on every machine."""
    try:
        ZoneInfo(text)
        is_known = not text.startswith(_ZONES_OF_A_MACHINE)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # also raised for a path, or a folder of zones
        is_known = False
    if not is_known:
        problems.note(f"{quoted(text)} is not a time zone; accepted: an IANA name such as Europe/Berlin, or UTC")
