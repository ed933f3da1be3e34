"""Current failures of the control plane, for `status` and for readiness."""

from __future__ import annotations

from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)


class Troubles:
    """Holds a text for each part in trouble. `file` receives those that make the gateway unready, if given."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._texts: dict[str, str] = {}
        if file is not None:
            file.unlink(missing_ok=True)

    @property
    def texts(self) -> tuple[str, ...]:
        """Returns the texts in the order in which the troubles arose."""
        return tuple(self._texts.values())

    def set(self, part: str, text: str, *, unready: bool = False) -> bool:
        """Sets the trouble of `part`; an empty text ends it. Returns whether anything changed."""
        if self._texts.get(part, "") == text:
            return False
        if text:
            self._texts[part] = text
            _log.error("trouble", part=part, reason=text)
        else:
            del self._texts[part]
            _log.info("trouble over", part=part)
        if unready and self._file is not None:
            if text:
                self._file.write_text(text)
            else:
                self._file.unlink(missing_ok=True)
        return True
