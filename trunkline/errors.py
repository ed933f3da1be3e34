"""The errors of the command, as one tree. Every message says what to do next.

TrunklineError
├── UsageError             a flag, file or environment variable has to change
│   └── ConfigError        trunkline.yaml, one line per mistake with its position
├── AlreadyRunningError    another `trunkline up` owns the data directory
├── StartError             a child did not come up
└── ControlError           the control plane refused, or cannot be reached

`trunkline.__main__` prints the message as one paragraph on stderr and exits with 1.
"""

from __future__ import annotations


class TrunklineError(Exception):
    """Base of all errors that are shown to the operator without a traceback."""


class UsageError(TrunklineError):
    """A flag, file or environment variable has to change."""


class ConfigError(UsageError):
    """trunkline.yaml is wrong; the message holds one line per mistake, `file:line: path: what`."""


class AlreadyRunningError(TrunklineError):
    """Another `trunkline up` owns the data directory."""


class StartError(TrunklineError):
    """A child did not come up."""


class ControlError(TrunklineError):
    """The control plane refused the call, or cannot be reached."""
