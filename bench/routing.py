"""Draws how the strategies follow simulated targets: `python -m bench.routing` writes docs/images/routing-*.svg.

The traffic is that of tests/xds_server/routing/simulation.py: without a gateway or a clock, identical in every
run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.xds_server.routing.simulation import Behaviour, Script, Simulated, route, simulate
from xds_server.model import Strategy
from xds_server.prices import TargetPrice

IMAGES = Path(__file__).parents[1] / "docs" / "images"

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 220, 48, 34, 30
_FONT = 'font-family="sans-serif" font-size="12"'
_COLOURS = ("#1f77b4", "#d95f02", "#2ca02c")


@dataclass(frozen=True)
class Scene:
    """Targets by name with their behaviour; `marks` are (second, text) in the chart."""

    name: str
    title: str
    strategy: Strategy
    scripts: dict[str, Script]
    seconds: int
    rate: float
    marks: Sequence[tuple[int, str]] = ()
    prices: Sequence[TargetPrice | tuple[TargetPrice, ...]] = ()

    def run(self) -> Simulated:
        return simulate(
            route(self.strategy, list(self.scripts), self.prices),
            list(self.scripts.values()),
            self.seconds,
            self.rate,
        )


def _steady(first: float, **more: float) -> Script:
    behaviour = Behaviour(first, **more)
    return lambda _: behaviour


def _between(begin: float, end: float, then: Behaviour, otherwise: Behaviour) -> Script:
    return lambda now: then if begin <= now < end else otherwise


def _wandering(phase: float) -> Script:
    """Varies times by a fifth and cache hits by a tenth."""

    def behaviour(now: float) -> Behaviour:
        wave = math.sin(phase + now / 20)
        return Behaviour(0.4 * (1 + 0.2 * wave), noise=0.6, cached_share=0.5 + 0.05 * wave)

    return behaviour


_CACHED = TargetPrice(input=1_000_000, cached_input=100_000, output=1_000_000)
SCENES = (
    Scene(
        "fastest",
        "fastest, 50 requests/s: a becomes ten times slower for a minute",
        Strategy.FASTEST,
        {"a": _between(60, 120, Behaviour(2.0), Behaviour(0.2)), "b": _steady(0.5)},
        240,
        50,
        ((60, "a is slow"), (120, "a is quick")),
    ),
    Scene(
        "failing",
        "fastest, 20 requests/s: a fails for a minute",
        Strategy.FASTEST,
        {"a": _between(60, 120, Behaviour(0.2, failures=1.0), Behaviour(0.2)), "b": _steady(0.5)},
        240,
        20,
        ((60, "a fails"), (120, "a serves")),
    ),
    Scene(
        "cheapest",
        "cheapest, 20 requests/s: a has the higher list price, and its cache is cold for a minute",
        Strategy.CHEAPEST,
        {
            "a": _between(60, 120, Behaviour(0.4, token=0.002), Behaviour(0.4, token=0.002, cached_share=0.8)),
            "b": _steady(0.4, token=0.002),
        },
        240,
        20,
        ((60, "a's cache is cold"), (120, "a's cache is warm")),
        (_CACHED, TargetPrice(input=600_000, output=1_000_000)),
    ),
    Scene(
        "price",
        "cheapest, 20 requests/s: a's price rises at a second known in advance",
        Strategy.CHEAPEST,
        {"a": _steady(0.4), "b": _steady(0.4)},
        120,
        20,
        ((60, "a's price rises"),),
        (
            (
                TargetPrice(input=1_000_000, output=4_000_000),
                TargetPrice(input=3_000_000, output=9_000_000, valid_from=60),
            ),
            TargetPrice(input=2_000_000, output=6_000_000),
        ),
    ),
    Scene(
        "balanced",
        "balanced, 20 requests/s: a costs half, and becomes slow for a minute",
        Strategy.BALANCED,
        {
            "a": _between(60, 120, Behaviour(2.0, token=0.002), Behaviour(0.6, token=0.002)),
            "b": _steady(0.4, token=0.002),
        },
        240,
        20,
        ((60, "a is slow"), (120, "a is quick")),
        (TargetPrice(input=500_000, output=2_000_000), TargetPrice(input=1_000_000, output=4_000_000)),
    ),
    *(
        Scene(
            f"{strategy}-noise",
            f"{strategy}, 50 requests/s: two targets alike, with noise in times and cache hits, for ten minutes",
            strategy,
            {"a": _wandering(0.0), "b": _wandering(2.0)},
            600,
            50,
            prices=(_CACHED, _CACHED),
        )
        for strategy in (Strategy.FASTEST, Strategy.CHEAPEST, Strategy.BALANCED)
    ),
)


def picture(scene: Scene, run: Simulated) -> str:
    """Returns an SVG of each target's share of requests per second."""
    across = (_WIDTH - _LEFT - 12) / scene.seconds
    down = _HEIGHT - _TOP - _BOTTOM

    def x(second: float) -> float:
        return round(_LEFT + second * across, 1)

    def y(share: float) -> float:
        return round(_TOP + (1 - share) * down, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="13">{scene.title}</text>',
    ]
    for share in (0, 0.5, 1):
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{y(share)}" y2="{y(share)}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(share) + 4}" text-anchor="end">{share:.0%}</text>')
    parts += [
        f'<text x="{x(second)}" y="{_HEIGHT - 10}" text-anchor="middle">{second} s</text>'
        for second in range(0, scene.seconds + 1, 60)
    ]
    for second, words in scene.marks:
        parts.append(
            f'<line x1="{x(second)}" x2="{x(second)}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#888" '
            'stroke-dasharray="3 3"/>'
        )
        parts.append(f'<text x="{x(second) + 4}" y="{_TOP + 60}" fill="#555">{words}</text>')
    for name, colour in zip(scene.scripts, _COLOURS, strict=False):
        points = " ".join(f"{x(second)},{y(shares[f'{name}/m'])}" for second, shares in enumerate(run.shares))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        end = run.shares[-1][f"{name}/m"]
        parts.append(
            f'<text x="{_WIDTH - 24}" y="{y(end) + (14 if end > 0.5 else -5)}" fill="{colour}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Writes all charts."""
    IMAGES.mkdir(exist_ok=True)
    for scene in SCENES:
        run = scene.run()
        (IMAGES / f"routing-{scene.name}.svg").write_text(picture(scene, run))
        print(f"{scene.name}: the best target changed {run.changes()} times in {scene.seconds} s")


if __name__ == "__main__":
    main()
