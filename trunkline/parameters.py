"""Types of flags: durations, dimensions, limits and route targets."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel, ValidationError

from trunkline.config import limit_syntax, model, notations, units


class SecondsFlag(click.ParamType[int]):
    """Parses `30s`, `2m`, `1h` or `30d` into whole seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else units.seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Expiry(click.ParamType[int]):
    """Parses `90d` from now on, a date, a date and time, or `never` into Unix seconds; 0 for never."""

    name = "DURATION|DATE|never"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "never":
            return 0
        try:
            return int(time.time()) + units.seconds(value)
        except ValueError:
            pass
        try:
            return notations.moment(value)
        except ValueError:
            self.fail(
                f"{value!r}: expected a duration such as 90d, a date such as 2027-01-01 or 2027-01-01T12:00:00Z "
                "(UTC unless it says otherwise), or never",
                param,
                ctx,
            )


class Milliseconds(click.ParamType[int]):
    """Like SecondsFlag, also accepting `500ms`, in milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else units.milliseconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Names(click.ParamType[tuple[str, ...]]):
    """Parses a comma-separated list of known names without duplicates."""

    name = "DIMENSION,…"

    def __init__(self, known: Collection[str]) -> None:
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        chosen, comma, last = incomplete.rpartition(",")
        taken = chosen.split(",")
        return [
            CompletionItem(f"{chosen}{comma}{each}")
            for each in self._known
            if each.startswith(last) and each not in taken
        ]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        chosen = tuple(each.strip() for each in str(value).split(",") if each.strip())
        for each in chosen:
            if each not in self._known:
                self.fail(f"{each!r} is not one of {', '.join(self._known)}", param, ctx)
        if len(set(chosen)) < len(chosen):
            self.fail("each dimension once", param, ctx)
        return chosen


class LimitFlag(click.ParamType[model.LimitSpec]):
    """Parses `requests/60s=600`, `cost_usd/month/Europe/Berlin=500,alerts=0.8/1`, `tokens/60s:user@gpt-4.1=100000`
    or `concurrency=20`.
    """

    name = "METRIC[/WINDOW[/TIME_ZONE]][:user|:tag][@MODEL]=AMOUNT[,alerts=SHARE/…][,soft]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> model.LimitSpec:
        try:
            given = limit_syntax.whole(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return _validate(self, model.LimitSpec, given, param, ctx)


class QuotaFlag(click.ParamType[model.QuotaSpec]):
    """Parses `requests/60s=600` or `tokens/1d=1000000`."""

    name = "METRIC/WINDOW=AMOUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> model.QuotaSpec:
        try:
            given = limit_syntax.whole(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return _validate(self, model.QuotaSpec, given, param, ctx)


class CredentialQuotaFlag(click.ParamType[tuple[int, model.QuotaSpec]]):
    """Parses `2:requests/60s=600`, a quota of the second credential."""

    name = "POSITION:METRIC/WINDOW=AMOUNT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, model.QuotaSpec]:
        position, colon, text = str(value).partition(":")
        if not colon or not position.isdecimal() or int(position) < 1:
            self.fail("expected POSITION:METRIC/WINDOW=AMOUNT, such as 1:requests/60s=600", param, ctx)
        return int(position), QuotaFlag().convert(text, param, ctx)


class LimitName(click.ParamType[model.LimitSpec]):
    """Like LimitFlag, without the amount."""

    name = "METRIC[/WINDOW[/TIME_ZONE]][:user|:tag][@MODEL]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> model.LimitSpec:
        return _validate(self, model.LimitSpec, {**limit_syntax.fields(str(value)), "amount": 0}, param, ctx)


class Usd(click.ParamType[int]):
    """Parses an amount in USD such as `0.05` into micro-USD."""

    name = "USD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else units.micro_usd(Decimal(value))
        except (InvalidOperation, ValueError):
            self.fail(f"{value!r}: expected an amount in USD of at most 6 decimals, such as 0.05", param, ctx)


class TargetFlag(click.ParamType[model.TargetSpec]):
    """Parses `PROVIDER/MODEL` or `nodes/MODEL`; units of prices are those of trunkline.yaml."""

    name = (
        "PROVIDER/MODEL[,weight=N][,tier=N][,context=N][,paused]"
        "[,price=IN:OUT[,cached=IN][,request=USD][,from=DATE][,…]]"
    )

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> model.TargetSpec:
        place, *options = str(value).split(",")
        provider, slash, name = place.partition("/")
        if not slash:
            self.fail("expected PROVIDER/MODEL or nodes/MODEL", param, ctx)
        fields: dict[str, Any] = {"nodes": name} if provider == "nodes" else {"provider": provider, "model": name}
        price: dict[str, Any] = {}
        for option in options:
            key, _, text = option.partition("=")
            if option == "paused":
                fields["paused"] = True
            elif key == "price":
                paid, _, generated = text.partition(":")
                fields["price"] = price
                price |= {"input": self._usd(paid, param, ctx), "output": self._usd(generated, param, ctx)}
            elif key in _PRICE_OPTIONS:
                price[_PRICE_OPTIONS[key]] = text if key == "from" else self._usd(text, param, ctx)
            elif key in _COUNTS and text.isdecimal():
                fields[key] = int(text)
            else:
                counts, prices = (f"{each}=N" for each in _COUNTS), (f"{each}=…" for each in _PRICE_OPTIONS)
                known = ", ".join([*counts, "paused", "price=IN:OUT", *prices])
                self.fail(f"{option}: expected {known}", param, ctx)
        if price and "price" not in fields:
            self.fail(f"{', '.join(_PRICE_OPTIONS)} belong to a price: add price=IN:OUT", param, ctx)
        return _validate(self, model.TargetSpec, fields, param, ctx)

    def _usd(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return Decimal(text)
        except InvalidOperation:
            self.fail("price=IN:OUT are USD per million tokens, such as price=2.00:8.00", param, ctx)


_COUNTS = ("weight", "tier", "context")
#: Options other than `price=IN:OUT` → the field of config.model.PriceSpec.
_PRICE_OPTIONS = {
    "cached": "cached_input",
    "from": "valid_from",
    **{
        name: name
        for name in model.PriceSpec.model_fields
        if name not in {"input", "output", "cached_input", "valid_from", "images", "tiers", "service_tiers"}
    },
}

_Model = TypeVar("_Model", bound=BaseModel)


def _validate(
    flag: click.ParamType[_Model],
    of: type[_Model],
    fields: Mapping[str, Any],
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> _Model:
    try:
        return of.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = first["ctx"]["error"] if first["type"] == "value_error" else first["msg"]
        where = ".".join(map(str, first["loc"]))
        flag.fail(f"{where}: {said}" if where else str(said), param, ctx)
