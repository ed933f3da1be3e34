"""Formats the figures of `bench.control_plane` as a table, with the goals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

LABELS = {
    "first_build_ms": "first build, CPU ms",
    "first_state_s": "all clients connected and in sync, s",
    "control_plane_cpu_ms": "one flip: build, compare, encode, CPU ms",
    "control_plane_cpu_ms_worst": "  the worst of them",
    "fan_out_cpu_ms": "one flip: fan-out to all clients, CPU ms",
    "fan_out_cpu_us_per_client": "  per client, CPU µs",
    "received_p50_ms": "flip to received, p50 ms (debounce 20 ms included)",
    "received_p99_ms": "flip to received, p99 ms",
    "received_max_ms": "flip to received, worst ms",
    "response_kib": "response of one flip, KiB",
    "rss_content_mib": "memory with the content built, MiB",
    "rss_clients_mib": "memory with all clients in sync, MiB",
    "rss_end_mib": "memory after the flips, MiB",
}
GOALS = {"control_plane_cpu_ms": 20.0, "received_p99_ms": 250.0}


def table(results: Mapping[str, Any]) -> str:
    """`results` holds what `bench.control_plane.Results` does."""
    title = (
        f"{results['endpoints']:,} endpoints in {results['pools']} pools, {results['routes']} routes, "
        f"{results['clients']} clients, {results['flips']} flips"
    )
    rows = []
    for name, label in LABELS.items():
        value, goal = results[name], GOALS.get(name)
        verdict = "" if goal is None else f"≤ {goal:.0f} {'met' if value <= goal else 'MISSED'}"
        rows.append([label, f"{value:.2f}", verdict])
    return f"{title}\n" + tabulate(rows, disable_numparse=True)
