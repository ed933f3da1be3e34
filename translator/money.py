"""Money in nano-USD: integers from the price to the record, rounded once per request.

A price is in micro-USD per million tokens, as in the configuration. That equals nano-USD per thousand tokens, so a
product of a price and tokens is in thousandths of a nano-USD.
"""

from __future__ import annotations

#: Nano-USD of a micro-USD.
MICRO = 1_000
#: Nano-USD of a USD.
USD = 1_000_000_000
#: The most that one request can cost or earn: 10,000 USD. Sums of 900,000 such requests fit into 64 bits.
MAX = 10_000 * USD


def nano_usd(thousandths: int) -> int:
    """Returns nano-USD, rounded half up, of an amount in thousandths of a nano-USD."""
    return (thousandths + 500) // 1_000


def usd(nano: int) -> str:
    """Returns USD to the cent, with more decimals if rounding would hide something, such as `0.50` or
    `0.000125`.
    """
    dollars, rest = divmod(nano, USD)
    return f"{dollars}.{f'{rest:09}'.rstrip('0').ljust(2, '0')}"


def micro_usd(nano: int) -> int:
    """Returns micro-USD, rounded half up, for readers of the older field."""
    return (nano + 500) // 1_000
