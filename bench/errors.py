"""What can stop a benchmark.

BenchError
├── CompilerMissingError   no C compiler, or it failed
├── ProcessFailedError     something we started ended or did not become ready
└── LoadFailedError        the load generator could not run
"""

from __future__ import annotations


class BenchError(Exception):
    """Its text says what to do."""


class CompilerMissingError(BenchError):
    """No C compiler, or it failed."""


class ProcessFailedError(BenchError):
    """A process ended, or did not become ready in time."""


class LoadFailedError(BenchError):
    """The load generator could not run."""
