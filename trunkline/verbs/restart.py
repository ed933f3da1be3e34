"""`trunkline restart`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import click

from trunkline import lock
from trunkline.errors import StartError, UsageError
from trunkline.layout import Layout
from trunkline.text import say

_POLL_SECONDS = 0.1


@click.command(
    epilog="""\b
Examples:
  trunkline restart
  pip install --upgrade 'trunkline[gateway]' && trunkline restart --data-dir /var/lib/trunkline
"""
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Data directory of the `trunkline up` to restart.",
)
@click.option(
    "--wait", type=click.IntRange(min=1), default=120, show_default=True, help="Maximum seconds until it is ready."
)
def restart(*, data_dir: Path, wait: int) -> None:
    """Restart `trunkline up` on this machine in place, without refusing a request.

    The same process executes the installed program, with its original command line, and restarts the control plane
    and the translator while requests wait. Envoy and its requests continue; if Envoy has changed, a new one
    listens before the old one drains. Same as SIGUSR2.
    """
    layout = Layout(data_dir.absolute())
    pid = lock.holder(layout.lock)
    if pid is None:
        raise UsageError(f"no `trunkline up` is running on {layout.data_dir}: start it, or choose with --data-dir")
    before = _ready(layout)
    if not before:
        raise StartError(
            f"the `trunkline up` on {layout.data_dir} (pid {pid}) is not ready yet: repeat the command"
        )
    os.kill(pid, signal.SIGUSR2)
    ends = time.monotonic() + wait
    while _ready(layout) in {before, ""}:
        if lock.holder(layout.lock) != pid:
            raise StartError(f"the `trunkline up` on {layout.data_dir} has ended: see its terminal, and its log")
        if time.monotonic() > ends:
            raise StartError(
                f"not ready after {wait} s: the reason should be in {layout.log('restart').parent}/*.log"
            )
        time.sleep(_POLL_SECONDS)
    say("restarted")


def _ready(layout: Layout) -> str:
    try:
        return layout.ready.read_text()
    except FileNotFoundError:
        return ""
