"""How a value stands in trunkline.yaml: the texts that are accepted, and what is held of them.

Units are resolved here: milliseconds, seconds, micro-USD.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from trunkline_proto.admin.words import PRIVACIES, ROLES, STRATEGIES
from trunkline_proto.policy.words import (
    AFFINITIES,
    CACHE_SCOPES,
    CALENDARS,
    EACHES,
    METRICS,
    PRIORITIES,
    PROMPT_CACHE_KEYS,
    QUOTA_METRICS,
)
from trunkline_proto.words import Words

from trunkline.config import units
from trunkline.config.mapping import Unit
from trunkline.config.secrets import Secrets


def _from_text(read: Callable[[str], int]) -> BeforeValidator:
    """Zero needs no unit; everything else does."""

    def validate(value: Any) -> int:
        return 0 if type(value) is int and value == 0 else read(value if isinstance(value, str) else "")

    return BeforeValidator(validate)


def _in_usd(held: Callable[[Decimal], int]) -> BeforeValidator:
    def validate(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise ValueError("expected an amount in USD, such as 0.15")  # noqa: TRY004 - pydantic reports ValueError
        return held(Decimal(value))

    return BeforeValidator(validate)


def _window(value: Any) -> int | str:
    """Parses seconds, or the name of a calendar window."""
    if value in CALENDARS:
        return str(value)
    seconds = units.seconds(value) if isinstance(value, str) else 0
    if not seconds:
        raise ValueError("expected a duration of 1s or more, such as 60s, 1h or 30d, or day, week or month")
    return seconds


def _quota_window(value: Any) -> int:
    seconds = units.seconds(value) if isinstance(value, str) else 0
    if not seconds:
        raise ValueError("expected a duration of 1s or more, such as 60s or 1d")
    return seconds


def _whole_number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _written_seconds(value: int) -> str:
    return units.duration(value * 1000)


def moment(value: Any) -> int:
    """Parses a date, or a date and time, into Unix seconds; UTC unless it has an offset."""
    try:
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        elif type(value) is datetime.date:
            value = datetime.datetime.combine(value, datetime.time())
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return int(aware.timestamp())
    except (ValueError, AttributeError, OverflowError):
        raise ValueError("expected a date or time such as 2026-12-01 or 2026-12-01T12:00:00Z") from None


def _written_moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _one_of(words: Words[Any]) -> AfterValidator:
    def validate(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return AfterValidator(validate)


def _credential(text: str, info: ValidationInfo) -> str:
    return _secrets(info).credential(text)


def _password(text: str, info: ValidationInfo) -> str:
    return _secrets(info).credential(text) if text else ""


def _value(text: str, info: ValidationInfo) -> str:
    return _secrets(info).value(text)


def _secrets(info: ValidationInfo) -> Secrets:
    assert isinstance(info.context, Secrets)  # noqa: S101 - config.load passes it
    return info.context


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
Milliseconds = Annotated[int, _from_text(units.milliseconds), Unit("_ms", units.duration)]
Seconds = Annotated[int, _from_text(units.seconds), Unit("_seconds", _written_seconds)]
Window = Annotated[int | str, BeforeValidator(_window)]
UnixSeconds = Annotated[int, BeforeValidator(moment), Unit(written=_written_moment)]
MicroUsd = Annotated[int, _in_usd(units.micro_usd), Unit(written=units.usd)]
#: USD per second, held in micro-USD per million seconds.
PerSecond = Annotated[int, _in_usd(units.micro_usd_per_million), Unit(written=units.usd_per_unit)]
Metric = Annotated[str, _one_of(METRICS), METRICS]
Each = Annotated[str, _one_of(EACHES), EACHES]
QuotaMetric = Annotated[str, _one_of(QUOTA_METRICS), QUOTA_METRICS]
Strategy = Annotated[str, _one_of(STRATEGIES), STRATEGIES]
Priority = Annotated[str, _one_of(PRIORITIES), PRIORITIES]
Privacy = Annotated[str, _one_of(PRIVACIES), PRIVACIES]
CacheScope = Annotated[str, _one_of(CACHE_SCOPES), CACHE_SCOPES]
PromptCacheKey = Annotated[str, _one_of(PROMPT_CACHE_KEYS), PROMPT_CACHE_KEYS]
Role = Annotated[str, _one_of(ROLES), ROLES]
Affinity = Annotated[str, _one_of(AFFINITIES), AFFINITIES]
Amount = Annotated[Decimal, AfterValidator(units.bounded)]
#: A fraction of a limit's amount: 0.8 for 80 %.
Share = Annotated[Decimal, AfterValidator(units.share)]
QuotaWindow = Annotated[int, BeforeValidator(_quota_window), Unit("_seconds", _written_seconds)]
#: A whole number of 1 or more; also accepted as text.
QuotaAmount = Annotated[int, BeforeValidator(_whole_number), Field(ge=1)]
#: Where a secret is: `env:NAME` or `file:PATH`.
Credential = Annotated[Text, AfterValidator(_credential)]
Password = Annotated[str, AfterValidator(_password)]
#: An API key itself, or where it is.
KeyValue = Annotated[Text, AfterValidator(_value)]
