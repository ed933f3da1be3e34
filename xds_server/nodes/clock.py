"""The system's clocks, for the code around the core."""

from __future__ import annotations

import time

from xds_server.nodes.moment import Moment


def system_clock() -> Moment:
    """Returns the current time of both clocks."""
    return Moment(time.monotonic(), time.time())
