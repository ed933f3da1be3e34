"""Parses prices of the Admin API into the model's; notes every problem under its field's path."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from trunkline_proto.policy.v1 import policy_pb2

from xds_server.admin import values
from xds_server.admin.problems import Problems
from xds_server.prices import ContextTier, ImagePrice, ServiceTier, TargetPrice, TokenRates

_MAX_IMAGES, _MAX_TIERS, _MAX_SERVICE_TIERS = 64, 8, 16
_MAX_PROMPT = 1_000_000_000
_DEFAULT_IMAGE = "default"
_SERVICE_TIER = re.compile(r"[a-z0-9_-]{1,32}")
_IMAGE = re.compile(r"[a-z0-9x._:-]{1,32}(/[a-z0-9._-]{1,32})?")


def _per_million(unit: str, *fields: str) -> values.Ranges:
    return dict.fromkeys(fields, (0, values.MAX_AMOUNT, f"micro-USD per million {unit}"))


def _each(unit: str, field: str) -> values.Ranges:
    return {field: (0, values.MAX_AMOUNT, f"micro-USD per {unit}")}


_RATES: values.Ranges = _per_million(
    "tokens", "input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input",
    "audio_output",
)  # fmt: skip
_PRICE: values.Ranges = {
    **_RATES,
    **_per_million("seconds", "audio_second_input", "audio_second_output"),
    **_per_million("characters", "character"),
    **_each("request", "request"),
    **_each("search unit", "search_unit"),
}


def price(message: policy_pb2.Price, problems: Problems) -> TargetPrice:
    """Parses a price. `problems` is at the message."""
    for given, missing in (("input", "output"), ("output", "input")):
        if message.HasField(given) and not message.HasField(missing):  # type: ignore[arg-type]
            problems.at(missing).note(
                f"missing next to `{given}`; accepted: a price, or 0 where {missing} tokens are free"
            )
    values.moment(message.valid_from, problems.at("valid_from"))
    return TargetPrice(
        **_stated(values.numbers(message, _PRICE, problems)),
        valid_from=message.valid_from,
        images=_images(message.images, problems),
        tiers=_tiers(message.tiers, problems),
        service_tiers=_service_tiers(message.service_tiers, problems),
    )


def _images(messages: Collection[policy_pb2.ImagePrice], problems: Problems) -> tuple[ImagePrice, ...]:
    values.at_most(messages, _MAX_IMAGES, problems.at("images"))
    names = [each.name for each in messages]
    _distinct(names, problems, "images")
    if names and _DEFAULT_IMAGE not in names:
        problems.at("images").note(
            f"none is called `{_DEFAULT_IMAGE}`, so other images would be free; accepted: one that is"
        )
    for index, each in enumerate(messages):
        here = problems.at("images", index)
        if not _IMAGE.fullmatch(each.name):
            here.at("name").note(
                f"{values.quoted(each.name)} is not accepted; accepted: SIZE/QUALITY such as 1024x1024/high, "
                f"SIZE, QUALITY or `{_DEFAULT_IMAGE}`"
            )
        values.number(each.price, 0, values.MAX_AMOUNT, "micro-USD per image", here.at("price"))
    return tuple(ImagePrice(each.name, each.price) for each in messages)


def _tiers(messages: Collection[policy_pb2.ContextTier], problems: Problems) -> tuple[ContextTier, ...]:
    values.at_most(messages, _MAX_TIERS, problems.at("tiers"))
    parsed: list[ContextTier] = []
    for index, each in enumerate(messages):
        here = problems.at("tiers", index)
        values.number(each.above, 1, _MAX_PROMPT, "prompt tokens", here.at("above"))
        if parsed and each.above <= parsed[-1].above:
            here.at("above").note("not more than that of the tier before; accepted: tiers in rising order")
        parsed.append(ContextTier(each.above, _rates(each.rates, here.at("rates"))))
    return tuple(parsed)


def _service_tiers(messages: Collection[policy_pb2.ServiceTier], problems: Problems) -> tuple[ServiceTier, ...]:
    values.at_most(messages, _MAX_SERVICE_TIERS, problems.at("service_tiers"))
    _distinct((each.name for each in messages), problems, "service_tiers")
    parsed = []
    for index, each in enumerate(messages):
        here = problems.at("service_tiers", index)
        if not _SERVICE_TIER.fullmatch(each.name):
            here.at("name").note(
                f"{values.quoted(each.name)} is not accepted; accepted: 1 to 32 of a-z, 0-9, `-`, `_`"
            )
        parsed.append(ServiceTier(each.name, _rates(each.rates, here.at("rates")), _tiers(each.tiers, here)))
    return tuple(parsed)


def _rates(message: policy_pb2.Rates, problems: Problems) -> TokenRates:
    for field in ("input", "output"):
        if not message.HasField(field):
            problems.at(field).note(f"missing; accepted: a price, or 0 where {field} tokens are free")
    return TokenRates(**_stated(values.numbers(message, _RATES, problems)))


def _stated(numbers: dict[str, Any]) -> dict[str, Any]:
    """Returns the two rates that have no fallback."""
    return {name: 0 if value is None and name in {"input", "output"} else value for name, value in numbers.items()}


def _distinct(names: Iterable[str], problems: Problems, field: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            problems.at(field, index).at("name").note(f"{values.quoted(name)} is given twice; accepted: each once")
        seen.add(name)
