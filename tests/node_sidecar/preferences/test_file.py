from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from node_sidecar.errors import SettingsError
from node_sidecar.preferences import file
from node_sidecar.preferences.idle import IdleRule
from node_sidecar.preferences.model import OfferPrice, Preferences, UpstreamPreference
from node_sidecar.preferences.schedule import Hours

DOCUMENTED = "\n".join(
    line.removeprefix("    ") for line in (file.__doc__ or "").splitlines() if line.startswith("    ")
)


def test_the_documented_file_is_valid_and_names_every_key() -> None:
    preferences = file.parse(DOCUMENTED, {"VLLM_API_KEY": "k"})
    assert preferences.upstreams == (
        UpstreamPreference("http://127.0.0.1:11434"),
        UpstreamPreference("http://127.0.0.1:8000", "k", "vllm"),
    )
    assert preferences.models == ("llama3*", "qwen2.5*")
    assert preferences.prices == {"llama3:70b": OfferPrice(200_000, 600_000), "*": OfferPrice(50_000, 150_000)}
    assert (preferences.concurrency, preferences.queue, preferences.share) == (8, 32, 50)
    assert preferences.schedule is not None
    assert preferences.schedule.hours == (
        Hours(frozenset(range(5)), 1320, 360),
        Hours(frozenset({5, 6}), 0, 1440),
    )
    assert preferences.idle == IdleRule(20, 10, 8 << 30, 300, 600)
    assert set(yaml.safe_load(DOCUMENTED)) == set(Preferences.__dataclass_fields__)


def test_the_owners_guide_shows_every_key_too() -> None:
    guide = (Path(__file__).parents[3] / "docs/node.md").read_text()
    shown = guide.split("```yaml\n")[1].split("```")[0]
    assert file.parse(shown, {"VLLM_API_KEY": "k"}) == file.parse(DOCUMENTED, {"VLLM_API_KEY": "k"})
    assert set(yaml.safe_load(shown)) == set(Preferences.__dataclass_fields__)


def test_an_empty_file_changes_nothing() -> None:
    assert file.parse("", {}) == Preferences()
    assert file.parse("# nothing yet\n", {}, Preferences(concurrency=3)) == Preferences(concurrency=3)


def test_the_first_price_that_fits_counts() -> None:
    preferences = file.parse('prices: {"a*": {input: 1, output: 0}, "*": {input: 0, output: "0.000001"}}', {})
    assert preferences.price("abc") == OfferPrice(1_000_000, 0)
    assert preferences.price("b") == OfferPrice(0, 1)


def test_hours_without_quotes_mean_what_they_say() -> None:
    """YAML 1.1 reads 22:00 as a number in base 60."""
    preferences = file.parse("schedule: {hours: [{from: 22:00, to: 06:00}]}", {})
    assert preferences.schedule is not None
    assert preferences.schedule.hours == (Hours(frozenset(range(7)), 1320, 360),)


def test_a_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    preferences = file.parse(f"upstreams: [{{url: 'http://h:1/v1/', api_key: 'file:{tmp_path}/key'}}]", {})
    assert preferences.upstreams == (UpstreamPreference("http://h:1", "secret"),)
    assert "secret" not in repr(preferences)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML at line"),
        ("[1]", "node.yaml: must be a mapping"),
        ("concurency: 3", "'concurency' is not known"),
        ("concurrency: -1", "concurrency: -1 is not a whole number"),
        ("concurrency: true", "concurrency: True is not a whole number"),
        ("share: 0%", "share: '0%' is not a percentage"),
        ("share: lots", "share: 'lots' is not a percentage"),
        ("paused: maybe", "paused: must be true or false, not text"),
        ("models: []", "models: must be a list"),
        ("prices: 5", "prices: must map"),
        ("prices: {m: {in: 5}}", "prices.m: 'in' is not known"),
        ("prices: {m: {input: 5}}", "prices.m.output: is missing; write `output: 0` if it is free"),
        ("prices: {m: {output: 5}}", "prices.m.input: is missing; write `input: 0` if it is free"),
        ("prices: {m: {}}", "prices.m.input: is missing"),
        ("prices: {m: {input: -1, output: 1}}", "prices.m.input: -1 is not an amount"),
        ("prices: {m: {input: .nan, output: 1}}", "prices.m.input: nan is not an amount"),
        ("prices: {m: {input: '0.0000001', output: 1}}", "more than six decimals"),
        ("upstreams: [ftp://x]", r"upstreams\[0\].url: 'ftp://x' is not a local server's URL"),
        (
            "upstreams: [{url: 'http://x', api_key: sk-secret}]",
            r"upstreams\[0\].api_key: must be env:NAME or file",
        ),
        ("upstreams: [{url: 'http://x', api_key: 'env:NO'}]", "the environment has no NO"),
        ("upstreams: [{url: 'http://x', kind: gpt}]", r"upstreams\[0\].kind: 'gpt' is not known"),
        ("direct: 'nowhere'", "direct: 'nowhere' is not host:port"),
        ("schedule: {hours: [{from: '25:00', to: '26:00'}]}", r"schedule.hours\[0\].from: '25:00' is not a time"),
        ("schedule: {hours: [{from: '10:00'}]}", r"schedule.hours\[0\].to: is missing"),
        ("schedule: {hours: [{from: '24:00', to: '06:00'}]}", "24:00 is only an end"),
        ("schedule: {hours: []}", "schedule.hours: must be a list"),
        ("schedule: {time_zone: Mars/Base, hours: [{from: 1:00, to: 2:00}]}", "schedule.time_zone: 'Mars/Base'"),
        ("schedule: {hours: [{days: [xyz], from: 1:00, to: 2:00}]}", "'xyz' is not one of mon"),
        ("schedule:", "schedule: must be a mapping, not null"),
        (
            "upstreams: {url: 'http://x', api_key: sk-secret}",
            "upstreams: must be a list with at least one entry, not a",
        ),
        ("upstreams: [[sk-secret]]", r"upstreams\[0\]: must be a URL, or a mapping with a url, not a list"),
        ("upstreams: [{}]", r"upstreams\[0\].url: is missing"),
        ("upstreams: [{adress: x}]", r"upstreams\[0\]: 'adress' is not known; there are url, api_key, kind"),
        ("schedule: {hours: [{until: 1:00}]}", r"hours\[0\]: 'until' is not known; there are from, to, days"),
        ("direct: 5", "direct: must be text, not a number"),
        ("idle: {}", "idle: needs cpu or gpu"),
        ("idle: {cpu: 20, after: soon}", "idle.after: 'soon' is not a duration"),
    ],
)
def test_what_cannot_work_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        file.parse(text, {})
    assert "sk-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("queue: 4\nshare: 0%\n", 2),
        ("queue: 4\n\n# a comment\nconcurency: 3\n", 4),
        ("prices:\n  a: {input: 1, output: 1}\n  b:\n    input: 1\n    output: -1\n", 5),
        ("prices:\n  a: {input: 1, output: 1}\n  b:\n    input: 1\n", 3),
        ("upstreams:\n  - http://a\n  - ftp://b\n", 3),
        ("schedule:\n  hours:\n    - from: 1:00\n      to: 2:00\n    - from: 24:00\n      to: 2:00\n", 5),
    ],
)
def test_the_line_is_named(text: str, line: int) -> None:
    with pytest.raises(SettingsError, match=rf"^flags.yaml line {line}: ") as raised:
        file.parse(text, {}, name="flags.yaml")
    assert "node.yaml" not in str(raised.value)
