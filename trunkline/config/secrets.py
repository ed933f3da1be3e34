"""Secrets in trunkline.yaml: `env:NAME` and `file:PATH`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.config import bounded

#: The maximum size of a secret: a certificate chain fits.
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Secrets:
    """The sources of secrets: the environment, and files relative to `directory` (that of trunkline.yaml)."""

    environment: Mapping[str, str] = field(repr=False)
    directory: Path

    def credential(self, text: str) -> str:
        """Returns the secret that `text` refers to. Raises ValueError, which never contains a secret."""
        found = self._look_up(text)
        if found is None:
            raise ValueError("a credential is env:NAME or file:PATH; it is not written into this file")
        return found

    def value(self, text: str) -> str:
        """Like `credential`, but returns any other text unchanged."""
        found = self._look_up(text)
        return text if found is None else found

    def _look_up(self, text: str) -> str | None:
        kind, _, rest = text.partition(":")
        if kind == "env":
            if not (secret := self.environment.get(rest, "").strip()):
                state = "empty" if rest in self.environment else "not set"
                raise ValueError(
                    f"the environment variable {rest} is {state}: export it for this command, or use file:PATH"
                )
            return secret
        if kind == "file":
            path = self.directory / Path(rest).expanduser()
            try:
                secret = bounded.read_text(path, _MAX_BYTES).strip()
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                reason = "not text" if isinstance(error, UnicodeDecodeError) else reason
                raise ValueError(f"cannot read {path}: {reason}") from error
            if not secret:
                raise ValueError(f"{path} is empty")
            return secret
        return None


class UnresolvedSecrets(Secrets):
    """Returns references instead of secrets, for callers that use no secret."""

    def __init__(self) -> None:
        super().__init__({}, Path())

    def _look_up(self, text: str) -> str | None:
        return text if text.startswith(("env:", "file:")) else None
