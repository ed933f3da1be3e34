"""Structured logs: one JSON object per line on stderr.

No call may pass a key, a token, a header, a body or a model's name; ids and counts suffice.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType

import structlog
from structlog.typing import FilteringBoundLogger

LEVELS = ("debug", "info", "warning", "error")


def configure(level: str) -> FilteringBoundLogger:
    """Returns the service's logger; `level` is one of LEVELS."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    log: FilteringBoundLogger = structlog.get_logger(service="translator")
    return log


def places(traceback: TracebackType | None) -> list[str]:
    """Returns the origin of an unexpected error as `file:line`, innermost last. Its text is left out: it may quote
    a body.
    """
    found = []
    while traceback is not None:
        found.append(f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return found
