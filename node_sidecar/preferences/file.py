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
    maintenance: false              # serve only the owner
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

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from msgspec import UNSET, Meta, Struct, UnsetType, field

from node_sidecar import address
from node_sidecar.errors import SettingsError
from node_sidecar.preferences import located
from node_sidecar.preferences.idle import IdleRule
from node_sidecar.preferences.located import PreferenceError
from node_sidecar.preferences.model import OfferPrice, Preferences, UpstreamPreference
from node_sidecar.preferences.schedule import DAYS, Hours, Schedule
from node_sidecar.preferences.values import (
    Bytes,
    Count,
    Day,
    MicroUsd,
    Minute,
    Percent,
    Seconds,
    StartMinute,
    TimeZone,
)

KINDS = ("vllm", "llama.cpp", "ollama", "sglang", "lm-studio", "tgi", "openai")
_AT_LEAST_ONE = Meta(min_length=1)


class _Upstream(Struct, forbid_unknown_fields=True):
    url: str
    api_key: str | None = None
    kind: str | None = None


class _Price(Struct, forbid_unknown_fields=True):
    input: MicroUsd
    output: MicroUsd


class _Hours(Struct, forbid_unknown_fields=True):
    start: StartMinute = field(name="from")
    end: Minute = field(name="to")
    days: Annotated[list[Day], _AT_LEAST_ONE] = field(default_factory=lambda: list(map(Day, range(len(DAYS)))))


class _Schedule(Struct, forbid_unknown_fields=True):
    hours: Annotated[list[_Hours], _AT_LEAST_ONE]
    time_zone: TimeZone = field(default_factory=lambda: TimeZone.parse("UTC"))


class _Idle(Struct, forbid_unknown_fields=True):
    cpu: Percent | None = None
    gpu: Percent | None = None
    gpu_memory_free: Bytes | None = None
    after: Seconds = Seconds(IdleRule().after)
    recheck: Seconds = Seconds(IdleRule().recheck)


class _File(Struct, forbid_unknown_fields=True):
    upstreams: Annotated[list[str | _Upstream], _AT_LEAST_ONE] | UnsetType = UNSET
    models: Annotated[list[Annotated[str, _AT_LEAST_ONE]], _AT_LEAST_ONE] | UnsetType = UNSET
    prices: Any = UNSET
    concurrency: Count | UnsetType = UNSET
    queue: Count | UnsetType = UNSET
    share: Percent | UnsetType = UNSET
    own_first: bool | UnsetType = UNSET
    maintenance: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    direct: str | UnsetType | None = UNSET
    schedule: _Schedule | UnsetType = UNSET
    idle: _Idle | UnsetType = UNSET
    owner_always: bool | UnsetType = UNSET


#: The mappings that the file may hold, by the keys that lead to them.
_MAPPINGS: Mapping[tuple[str, ...], type[Struct]] = {
    (): _File,
    ("upstreams",): _Upstream,
    ("schedule",): _Schedule,
    ("schedule", "hours"): _Hours,
    ("idle",): _Idle,
}


def parse(
    text: str, environment: Mapping[str, str], base: Preferences | None = None, *, name: str = "node.yaml"
) -> Preferences:
    """Returns the preferences in `text`, which is the file `name`. Keys that it lacks are as in `base`.

    Raises:
        SettingsError: names the file, the line, the key and what would be accepted.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        raise SettingsError(f"{name} is not valid YAML{line}") from error
    try:
        read = fields(content if content is not None else {}, environment)
    except PreferenceError as error:
        line = f" line {located.line_of(text, error.path)}" if error.path else ""
        raise SettingsError(f"{name}{line}: {str(error).removeprefix('node.yaml: ')}") from error
    return replace(base or Preferences(), **read)


def fields(content: Any, environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns the fields of `Preferences` that a mapping with node.yaml's keys sets.

    Raises:
        PreferenceError: names the key and what would be accepted.
    """
    file = located.convert(content, _File, (), _keys)
    given = {key: value for key in file.__struct_fields__ if (value := getattr(file, key)) is not UNSET}
    return {key: _BUILDERS[key](value, environment) if key in _BUILDERS else value for key, value in given.items()}


def _keys(path: located.Path) -> tuple[str, ...]:
    mapping = _MAPPINGS.get(tuple(step for step in path if isinstance(step, str)), _Price)
    return mapping.__struct_encode_fields__


def _address(check: Callable[[str, str], str], text: str, path: located.Path) -> str:
    name = located.place(path)
    try:
        return check(text, name)
    except SettingsError as error:
        raise PreferenceError(path, str(error).removeprefix(f"{name}: ")) from error


def _prices(given: Any, _: Mapping[str, str]) -> dict[str, OfferPrice]:
    if not isinstance(given, dict):
        raise PreferenceError(("prices",), "must map models to prices, as {input: 0.20, output: 0.60}")
    prices = {}
    for model, content in given.items():
        price = located.convert(content, _Price, ("prices", str(model)), _keys)
        prices[str(model)] = OfferPrice(int(price.input), int(price.output))
    return prices


def _upstreams(given: list[str | _Upstream], environment: Mapping[str, str]) -> tuple[UpstreamPreference, ...]:
    return tuple(_upstream(each, ("upstreams", number), environment) for number, each in enumerate(given))


def _upstream(given: str | _Upstream, path: located.Path, environment: Mapping[str, str]) -> UpstreamPreference:
    entry = _Upstream(given) if isinstance(given, str) else given
    if entry.kind and entry.kind not in KINDS:
        raise PreferenceError((*path, "kind"), f"{entry.kind!r} is not known; there are {', '.join(KINDS)}")
    url = _address(address.upstream, entry.url, (*path, "url"))
    return UpstreamPreference(url, _secret(entry.api_key or "", (*path, "api_key"), environment), entry.kind or "")


def _secret(reference: str, path: located.Path, environment: Mapping[str, str]) -> str:
    """Returns what `env:NAME` or `file:PATH` refers to. No error shows `reference`, which may be a key itself."""
    scheme, _, rest = reference.partition(":")
    if not reference:
        return ""
    if scheme == "env":
        if not environment.get(rest):
            raise PreferenceError(path, f"the environment has no {rest}")
        return environment[rest]
    if scheme == "file":
        try:
            return Path(rest).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PreferenceError(path, f"{rest} cannot be read ({type(error).__name__})") from error
    raise PreferenceError(path, "must be env:NAME or file:PATH, so that no key is in this file")


def _direct(given: str | None, _: Mapping[str, str]) -> str:
    return _address(address.host_port, given, ("direct",)) if given else ""


def _schedule(given: _Schedule, _: Mapping[str, str]) -> Schedule:
    hours = (Hours(frozenset(map(int, each.days)), int(each.start), int(each.end)) for each in given.hours)
    return Schedule(given.time_zone.zone, given.time_zone.name, tuple(hours))


def _idle(given: _Idle, _: Mapping[str, str]) -> IdleRule:
    if given.cpu is None and given.gpu is None and given.gpu_memory_free is None:
        raise PreferenceError(("idle",), "needs cpu or gpu, as a percentage, or gpu_memory_free, as 8GiB")
    return IdleRule(given.cpu, given.gpu, given.gpu_memory_free, given.after, given.recheck)


#: For each key whose value differs in `Preferences`: a function that converts the file's value.
_BUILDERS: Mapping[str, Callable[[Any, Mapping[str, str]], Any]] = {
    "upstreams": _upstreams,
    "models": lambda given, _: tuple(given),
    "prices": _prices,
    "concurrency": lambda given, _: int(given),
    "queue": lambda given, _: int(given),
    "share": lambda given, _: max(1, round(given)),
    "direct": _direct,
    "schedule": _schedule,
    "idle": _idle,
}
