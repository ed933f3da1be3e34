"""The errors that can stop a benchmark.

BenchError
├── AlreadyRunningError    another benchmark runs on this machine
├── CompilerMissingError   no C compiler, or it failed
├── ProcessFailedError     something we started ended or did not become ready
├── LoadFailedError        the load generator could not run
└── UnsettledError         a change or a fault did not show within its time
"""

from __future__ import annotations


class BenchError(Exception):
    """An error whose text says what to do."""


class AlreadyRunningError(BenchError):
    """Another benchmark runs on this machine."""


class CompilerMissingError(BenchError):
    """No C compiler, or it failed."""


class ProcessFailedError(BenchError):
    """A process ended, or did not become ready in time."""


class LoadFailedError(BenchError):
    """The load generator could not run."""


class UnsettledError(BenchError):
    """The event to be timed did not happen in time."""
