"""What became of each setting of the other gateway's file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """How far a setting came along."""

    #: Means the same in trunkline.yaml.
    EXACT = "exact"
    #: Has a counterpart that behaves a little differently; the finding says how.
    APPROXIMATE = "approximate"
    #: Somebody has to do something; the finding says what.
    MANUAL = "manual"
    #: Has no counterpart.
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Finding:
    """`path` is where the setting stands, as `model_list[0].litellm_params.rpm`. Never its value."""

    path: str
    grade: Grade
    detail: str


@dataclass(slots=True)
class Findings:
    """The findings in the order of the file."""

    found: list[Finding] = field(default_factory=list)

    def exact(self, path: str, detail: str) -> None:
        self.found.append(Finding(path, Grade.EXACT, detail))

    def approximate(self, path: str, detail: str) -> None:
        self.found.append(Finding(path, Grade.APPROXIMATE, detail))

    def manual(self, path: str, detail: str) -> None:
        self.found.append(Finding(path, Grade.MANUAL, detail))

    def unsupported(self, path: str, detail: str) -> None:
        self.found.append(Finding(path, Grade.UNSUPPORTED, detail))

    @property
    def counts(self) -> Counter[str]:
        """How many there are, by grade."""
        return Counter(str(each.grade) for each in self.found)


class Section:
    """A mapping of the file, whose settings are taken one by one: what is left was understood by nobody."""

    def __init__(self, path: str, settings: Any, findings: Findings) -> None:
        self.path = path
        self._left: dict[str, Any] = dict(settings) if isinstance(settings, dict) else {}
        self._findings = findings
        if settings is not None and not isinstance(settings, dict):
            findings.unsupported(path, "expected a mapping")

    def at(self, name: str) -> str:
        return f"{self.path}.{name}"

    def take(self, name: str) -> Any:
        """The value of a setting; None if it is missing or null."""
        return self._left.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return self._left.get(name) is not None

    def rest(self, reasons: dict[str, str]) -> None:
        """Reports what nobody took as unsupported: with the reason of `reasons`, or as not known."""
        for name, value in self._left.items():
            if value not in (None, {}, []):
                self._findings.unsupported(self.at(name), reasons.get(name, "not known here; it is left out"))
        self._left = {}

    def names(self) -> Iterator[str]:
        return iter(tuple(self._left))
