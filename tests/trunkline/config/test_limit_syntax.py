"""The only syntax of a limit, in flags, trunkline.yaml and tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.config import document, limit_text
from trunkline.config.loader import parse
from trunkline.config.secrets import Secrets
from trunkline.errors import ConfigError
from trunkline.parameters import LimitFlag

WORDS = [
    "requests/1m=600",
    "cost_usd/month/Europe/Berlin=500.25",
    "tokens/1h@vendor/a=b@c=9",
    "concurrency=20",
    "concurrency:user=2",
    "cost_usd/month/Europe/Berlin:tag@llama3:70b=5",
    "requests/1m=600,soft",
    "cost_usd/day:user=2.5,alerts=0.5/0.8/1,soft",
    "tokens/1h@a,soft=1,alerts=2=9,alerts=0.125",
]


def _file(*limits: str) -> str:
    lines = "".join(f"      - {each}\n" for each in limits)
    return f"version: 1\norganisations:\n  - name: acme\n    limits:\n{lines}"


@pytest.mark.parametrize("word", WORDS)
def test_what_a_table_shows_a_flag_and_a_file_take(word: str) -> None:
    from_flag = document.limit(LimitFlag().convert(word, None, None))
    given = parse(_file(f'"{word}"'), "trunkline.yaml", Secrets({}, Path()))
    assert given.organisations is not None
    (from_file,) = given.organisations[0].limits
    assert document.limit(from_file) == from_flag
    assert limit_text.text(from_flag) == word


def test_both_forms_stand_side_by_side() -> None:
    given = parse(_file("requests/60s=600", "{metric: requests, per: 60s, amount: 600}"), "f", Secrets({}, Path()))
    assert given.organisations is not None
    first, second = given.organisations[0].limits
    assert first == second


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("requests/60s", "expected METRIC/WINDOW=AMOUNT"),
        ("requests=1", "needs a window"),
        ("request/60s=1", "expected one of"),
        ("requests/fortnight=1", "expected a duration"),
        ("cost_usd/day=0.0000001", "decimals"),
        ("requests/60s=many", "expected a number"),
        ("requests/60s:users=1", "expected one of user, tag"),
        ("requests/60s=1,alerts=80", "shares of the amount"),
        ("requests/60s=1,alerts=", "expected a number"),
        ("requests/60s=1,hard", "expected a number"),
    ],
)
def test_a_mistake_is_reported_in_its_line(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(_file("concurrency=1", word), "trunkline.yaml", Secrets({}, Path()))
    assert str(refused.value).startswith("trunkline.yaml:6: organisations[0].limits[1]")
    assert said in str(refused.value)
