"""Structured logs on stderr: JSON with one object per line, or readable lines.

No call may pass a key, a token, a header or a body.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from node_sidecar.text import make_visible

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("console", "json")


def configure(level: str, form: str) -> FilteringBoundLogger:
    """`level` is one of LEVELS, `form` one of FORMATS."""
    rendering: list[Processor] = [make_visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    if form == "json":
        rendering = [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    log: FilteringBoundLogger = structlog.get_logger(service="node")
    return log
