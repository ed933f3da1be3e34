"""The system's clocks, for what is around the core."""

from __future__ import annotations

import time

from xds_server.nodes.moment import Moment


def system_clock() -> Moment:
    """Now."""
    return Moment(time.monotonic(), time.time())
