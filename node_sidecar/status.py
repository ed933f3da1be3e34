"""The table of `trunkline-node status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from node_sidecar.text import visible


def table(found: Mapping[str, Any], width: int | None = None) -> str:
    """Formats `found`, which `Node.status` returns. No row is wider than `width` columns; None for no limit."""
    limit = found["concurrency"] or "no limit"
    serves = found["serves"] + (f" ({found['reason']})" if found["reason"] else "")
    lines = [
        f"node          {found['name']} ({found['node']})",
        f"gateway       {found['gateway']}",
        f"reports       {found['reports']}",
        f"connections   {found['connections']}",
        f"serves        {serves}",
        f"in flight     {found['in_flight']} of {limit}, {found['queued']} queued",
        *([f"concurrency   {limit}: {source}"] if (source := found.get("concurrency_source")) else []),
        f"certificate   until {found['certificate_until']}",
    ]
    lines += [f"gpu           {_gpu(gpu)}" for gpu in found["gpus"]]
    if found["idle"] is not None:
        lines.append(f"idle rule     {_idle(found['idle'])}")
    notes = {
        "approved": (False, "an operator has yet to approve this node"),
        "drained_by_operator": (True, "an operator drains this node"),
        "draining": (True, "finishing what runs, then ending"),
    }
    lines += [f"note          {note}" for key, (value, note) in notes.items() if found[key] is value]
    if found["problem"]:
        lines.append(f"problem       {found['problem']}")
    servers = [
        (server["url"], server["kind"] or "?", "yes" if server["healthy"] else f"no: {server['reason']}")
        for server in found["servers"]
    ]
    models = [
        (
            model["model"],
            "yes" if model["healthy"] else "no",
            str(model["context_length"] or "?"),
            ",".join(model["capabilities"]),
            f"{_usd(model['input_price'])}/{_usd(model['output_price'])}",
        )
        for model in found["models"]
    ]
    lines += ["", *_rows(("LOCAL SERVER", "KIND", "HEALTHY"), servers, width)]
    lines += ["", *_rows(("MODEL", "HEALTHY", "CONTEXT", "CAPABILITIES", "USD/M IN/OUT"), models, width)]
    return "\n".join(map(visible, lines))


def _gpu(gpu: Mapping[str, Any]) -> str:
    use = "use unknown" if gpu["use_percent"] is None else f"{gpu['use_percent']} % in use"
    free = (
        ""
        if gpu["memory_free"] is None
        else f", {_gib(gpu['memory_free'])} of {_gib(gpu['memory_bytes'])} GiB free"
    )
    return f"{gpu['name']}: {use}{free}"


def _idle(idle: Mapping[str, Any]) -> str:
    """Formats the idle rule, as `idle: its owner uses 3 % of the CPUs, 0 % of the GPU`."""
    if idle["unreadable"]:
        return f"cannot be checked: {idle['unreadable']} cannot be read, so others are not served"
    whose = "its owner uses" if idle["separate"] else "all together use"
    shares = {"CPUs": idle["owner_cpu_percent"], "GPU": idle["owner_gpu_percent"]}
    reported = ", ".join(f"{percent} % of the {what}" for what, percent in shares.items() if percent is not None)
    return f"{idle['state']}: {whose} {reported}" if reported else idle["state"]


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"


def _usd(micro: int) -> str:
    """Formats micro-USD as USD with at least two decimals, without a float."""
    whole, rest = divmod(micro, 1_000_000)
    return f"{whole}.{f'{rest:06}'.rstrip('0').ljust(2, '0')}"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    if not rows:
        return [f"{head[0].capitalize()}s: none found"]
    shown = [[visible(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    # Shrinks the widest column first, and headings only when nothing else is left.
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return [
        "  ".join(_cut(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
