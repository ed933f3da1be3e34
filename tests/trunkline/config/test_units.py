from __future__ import annotations

from decimal import Decimal

import pytest

from trunkline.config import units


@pytest.mark.parametrize(
    ("text", "ms"), [("500ms", 500), ("90s", 90_000), ("2m", 120_000), ("1h", 3_600_000), ("30d", 2_592_000_000)]
)
def test_durations_go_both_ways(text: str, ms: int) -> None:
    assert units.milliseconds(text) == ms
    assert units.duration(ms) == text


@pytest.mark.parametrize("text", ["", "30", "s", "1.s", ".5s", "-1s", " 1s", "1s ", "1w", "1s\n", "1s30s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        units.milliseconds(text)


def test_seconds_are_whole() -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        units.seconds("1500ms")


@pytest.mark.parametrize(("usd", "micro"), [("2", 2_000_000), ("0.15", 150_000), ("0.000001", 1), ("100", 10**8)])
def test_money_goes_both_ways(usd: str, micro: int) -> None:
    assert units.micro_usd(Decimal(usd)) == micro
    assert f"{units.usd(micro):f}" == usd


@pytest.mark.parametrize("usd", ["-1", "0.0000001", "NaN", "Infinity"])
def test_other_amounts_are_refused(usd: str) -> None:
    with pytest.raises(ValueError, match="at most 6 decimals"):
        units.micro_usd(Decimal(usd))


def test_a_fraction_of_a_second_is_milliseconds() -> None:
    assert units.milliseconds("1.5s") == 1500
    with pytest.raises(ValueError, match="whole milliseconds"):
        units.milliseconds("0.5ms")
