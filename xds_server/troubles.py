"""Current failures of the control plane, for `status` and for readiness."""

from __future__ import annotations

from pathlib import Path

import structlog

from xds_server.reasons import Reason

_log = structlog.get_logger(__name__)


class Troubles:
    """Holds the reasons of each part in trouble. `file` receives those that make the gateway unready, if given."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._reasons: dict[str, tuple[Reason, ...]] = {}
        if file is not None:
            file.unlink(missing_ok=True)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Returns the reasons in the order in which the troubles arose."""
        return tuple(each for several in self._reasons.values() for each in several)

    def set(self, part: str, *reasons: Reason, unready: bool = False) -> bool:
        """Sets the trouble of `part`; without a reason it ends. Returns whether anything changed."""
        if self._reasons.get(part, ()) == reasons:
            return False
        text = "; ".join(reasons)
        if reasons:
            self._reasons[part] = reasons
            _log.error("trouble", part=part, reason=text)
        else:
            del self._reasons[part]
            _log.info("trouble over", part=part)
        if unready and self._file is not None:
            if reasons:
                self._file.write_text(text)
            else:
                self._file.unlink(missing_ok=True)
        return True
