"""`envoy/module/rendezvous.c` in Python, with the mathematical library."""

from __future__ import annotations

from math import inf, log2

_BITS = 2**64


def mix(number: int) -> int:
    """Returns splitmix64's word for `number`."""
    number = (number + 0x9E3779B97F4A7C15) % _BITS
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % _BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB % _BITS
    return number ^ number >> 31


def name(text: str) -> int:
    """Returns the number of a cluster or an address: FNV-1a."""
    number = 0xCBF29CE484222325
    for byte in text.encode():
        number = (number ^ byte) * 0x100000001B3 % _BITS
    return number


def draw(number: int, text: str, weight: float) -> float:
    """Returns what the candidate `text` draws."""
    return -log2((mix(number ^ mix(name(text))) | 1) / _BITS) / weight if weight else inf
