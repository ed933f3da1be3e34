"""node.yaml: the owner's preferences in a file.

    upstreams:                      # instead of looking at the default ports of known servers
      - http://127.0.0.1:11434
      - {url: http://127.0.0.1:8000, api_key: env:VLLM_API_KEY, kind: vllm}
    models: ["llama3*", "qwen2.5*"] # which of their models are offered
    prices:                         # USD per million tokens; the first pattern that fits
      "llama3:70b": {input: 0.20, output: 0.60}
      "*": {input: 0.05, output: 0.15}
    concurrency: 8                  # requests at once, 0 for no limit; default: what the local servers can batch
    queue: 32                       # requests that wait
    share: 50%                      # of concurrency, for others than the owner
    own_first: true                 # the owner's requests go before others
    maintenance: false              # serve the owner alone
    paused: false                   # serve nobody
    direct: ""                      # host:port where the gateway reaches this node, instead of tunnels
    schedule:
      time_zone: Europe/Berlin
      hours:
        - {days: [mon, tue, wed, thu, fri], from: "22:00", to: "06:00"}
        - {days: [sat, sun], from: "00:00", to: "24:00"}
    idle: {cpu: 20%, gpu: 10%, gpu_memory_free: 8GiB, after: 5m, recheck: 10m}
    owner_always: false             # the owner is served outside the schedule too

Everything is optional. Secrets are `env:NAME` or `file:PATH`.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from node_sidecar import address
from node_sidecar.errors import SettingsError
from node_sidecar.preferences.idle import IdleRule
from node_sidecar.preferences.model import Preferences, Price, UpstreamPreference
from node_sidecar.preferences.schedule import DAY_MINUTES, DAYS, Hours, Schedule

KINDS = ("vllm", "llama.cpp", "ollama", "sglang", "lm-studio", "tgi", "openai")
_MICRO = 1_000_000
_DURATION = re.compile(r"(\d+)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?(MiB|GiB|MB|GB)")
_BYTES = {"MiB": 2**20, "GiB": 2**30, "MB": 10**6, "GB": 10**9}


def parse(text: str, environment: Mapping[str, str], base: Preferences | None = None) -> Preferences:
    """The preferences in `text`; what it does not say is as in `base`.

    Raises:
        SettingsError: names the key, what it holds and what would be accepted.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise SettingsError(f"node.yaml is not valid YAML{place}") from error
    read = fields(content if content is not None else {}, environment)
    return replace(base or Preferences(), **read)


def fields(content: Any, environment: Mapping[str, str]) -> dict[str, Any]:
    """The fields of `Preferences` that a mapping in node.yaml's words sets. Raises SettingsError as `parse`."""
    entries = _mapping(content, "node.yaml", _READERS)
    return {key: _READERS[key](value, key, environment) for key, value in entries.items()}


def _mapping(value: Any, place: str, keys: Mapping[str, Any] | tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{place}: must be a mapping, not {type(value).__name__}")
    for key in value:
        if key not in keys:
            raise SettingsError(f"{place}: {key!r} is not known; there are {', '.join(keys)}")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise SettingsError(f"{place}: must be a list with at least one entry")
    return value


def _flag(value: Any, place: str, _: Mapping[str, str]) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{place}: {value!r} is neither true nor false")
    return value


def _integer(least: int, most: int) -> Callable[[Any, str, Mapping[str, str]], int]:
    def read(value: Any, place: str, _: Mapping[str, str]) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise SettingsError(f"{place}: {value!r} is not a whole number from {least} to {most}")
        return value

    return read


def _percent(value: Any, place: str, _: Mapping[str, str]) -> float:
    try:
        number = float(str(value).removesuffix("%"))
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 < number <= 100:
        raise SettingsError(f"{place}: {value!r} is not a percentage like 50%")
    return number


def _share(value: Any, place: str, environment: Mapping[str, str]) -> int:
    return max(1, round(_percent(value, place, environment)))


def _seconds(value: Any, place: str) -> float:
    match = _DURATION.fullmatch(str(value))
    if match is None:
        raise SettingsError(f"{place}: {value!r} is not a duration like 30s, 5m or 1h")
    return float(int(match[1]) * _SECONDS[match[2]])


def _models(value: Any, place: str, _: Mapping[str, str]) -> tuple[str, ...]:
    names = _list(value, place)
    if not all(isinstance(name, str) and name for name in names):
        raise SettingsError(f"{place}: must be a list of models' names or patterns")
    return tuple(names)


def usd(value: Any, place: str) -> int:
    """USD per million tokens as micro-USD per million tokens.

    Raises:
        SettingsError: it is not an amount from 0 to 1,000,000 with at most six decimals.
    """
    try:
        amount = Decimal(str(value)) * _MICRO
    except InvalidOperation:
        amount = Decimal(-1)
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount <= Decimal(_MICRO) * _MICRO:
        raise SettingsError(f"{place}: {value!r} is not an amount in USD per million tokens")
    if amount != amount.to_integral_value():
        raise SettingsError(f"{place}: {value!r} has more than six decimals")
    return int(amount)


def _prices(value: Any, place: str, _: Mapping[str, str]) -> dict[str, Price]:
    if not isinstance(value, dict):
        raise SettingsError(f"{place}: must map models to prices, as {{input: 0.20, output: 0.60}}")
    prices = {}
    for model, price in value.items():
        where = f"{place}.{model}"
        entry = _mapping(price, where, ("input", "output"))
        for missing in ("input", "output"):
            if missing not in entry:
                raise SettingsError(f"{where}.{missing}: is missing; write `{missing}: 0` if it is free")
        prices[str(model)] = Price(usd(entry["input"], f"{where}.input"), usd(entry["output"], f"{where}.output"))
    return prices


def _upstreams(value: Any, place: str, environment: Mapping[str, str]) -> tuple[UpstreamPreference, ...]:
    upstreams = []
    for number, given in enumerate(_list(value, place)):
        where = f"{place}[{number}]"
        entry = _mapping({"url": given} if isinstance(given, str) else given, where, ("url", "api_key", "kind"))
        kind = entry.get("kind", "")
        if kind and kind not in KINDS:
            raise SettingsError(f"{where}.kind: {kind!r} is not known; there are {', '.join(KINDS)}")
        url = address.upstream(str(entry.get("url", "")), f"{where}.url")
        upstreams.append(
            UpstreamPreference(url, _secret(entry.get("api_key", ""), f"{where}.api_key", environment), kind)
        )
    return tuple(upstreams)


def _secret(value: Any, place: str, environment: Mapping[str, str]) -> str:
    scheme, _, rest = str(value).partition(":")
    if not value:
        return ""
    if scheme == "env":
        if not environment.get(rest):
            raise SettingsError(f"{place}: the environment has no {rest}")
        return environment[rest]
    if scheme == "file":
        try:
            return Path(rest).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{place}: {rest} cannot be read ({type(error).__name__})") from error
    raise SettingsError(f"{place}: must be env:NAME or file:PATH, so that no key is in this file")


def _direct(value: Any, place: str, _: Mapping[str, str]) -> str:
    return address.host_port(value, place) if value else ""


def _schedule(value: Any, place: str, _: Mapping[str, str]) -> Schedule:
    entry = _mapping(value, place, ("time_zone", "hours"))
    name = str(entry.get("time_zone", "UTC"))
    try:
        zone = UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"{place}.time_zone: {name!r} is not known; it is a name like Europe/Berlin"
        ) from error
    hours = _list(entry.get("hours"), f"{place}.hours")
    return Schedule(zone, name, tuple(_hours(entry, f"{place}.hours[{n}]") for n, entry in enumerate(hours)))


def _hours(value: Any, place: str) -> Hours:
    entry = _mapping(value, place, ("days", "from", "to"))
    days = frozenset(_day(day, f"{place}.days") for day in _list(entry.get("days", list(DAYS)), f"{place}.days"))
    start, end = _minute(entry.get("from"), f"{place}.from"), _minute(entry.get("to"), f"{place}.to")
    if start == DAY_MINUTES:
        raise SettingsError(f"{place}.from: 24:00 is only an end")
    return Hours(days, start, end)


def _day(value: Any, place: str) -> int:
    if value not in DAYS:
        raise SettingsError(f"{place}: {value!r} is not one of {', '.join(DAYS)}")
    return DAYS.index(value)


def _minute(value: Any, place: str) -> int:
    # YAML 1.1 reads 22:00 without quotes as the number 1320 in base 60, which happens to be the minute.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_MINUTES:
        return value
    match = re.fullmatch(r"(\d\d?):(\d\d)", str(value))
    minute = int(match[1]) * 60 + int(match[2]) if match is not None and int(match[2]) < 60 else -1
    if not 0 <= minute <= DAY_MINUTES:
        raise SettingsError(f"{place}: {value!r} is not a time from 00:00 to 24:00")
    return minute


def _idle(value: Any, place: str, environment: Mapping[str, str]) -> IdleRule:
    limits = ("cpu", "gpu", "gpu_memory_free")
    entry = _mapping(value, place, (*limits, "after", "recheck"))
    default = IdleRule()
    if all(entry.get(key) is None for key in limits):
        raise SettingsError(f"{place}: needs cpu or gpu, as a percentage, or gpu_memory_free, as 8GiB")
    percents = {
        key: _percent(entry[key], f"{place}.{key}", environment) if entry.get(key) is not None else None
        for key in ("cpu", "gpu")
    }
    free = entry.get("gpu_memory_free")
    times = {
        key: _seconds(entry[key], f"{place}.{key}") if key in entry else getattr(default, key)
        for key in ("after", "recheck")
    }
    return IdleRule(
        percents["cpu"],
        percents["gpu"],
        None if free is None else _bytes(free, f"{place}.gpu_memory_free"),
        times["after"],
        times["recheck"],
    )


def _bytes(value: Any, place: str) -> int:
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise SettingsError(f"{place}: {value!r} is not a size like 512MiB or 8GiB")
    return int(Decimal(match[1]) * _BYTES[match[2]])


_READERS: dict[str, Callable[[Any, str, Mapping[str, str]], Any]] = {
    "upstreams": _upstreams,
    "models": _models,
    "prices": _prices,
    "concurrency": _integer(0, 100_000),
    "queue": _integer(0, 100_000),
    "share": _share,
    "own_first": _flag,
    "maintenance": _flag,
    "paused": _flag,
    "direct": _direct,
    "schedule": _schedule,
    "idle": _idle,
    "owner_always": _flag,
}
