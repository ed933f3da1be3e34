"""Records how each setting of the other gateway's file was imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """The grade of an imported setting."""

    #: The setting has the same meaning in trunkline.yaml.
    EXACT = "exact"
    #: The setting has a counterpart that behaves slightly differently; the finding says how.
    APPROXIMATE = "approximate"
    #: The setting needs manual work; the finding says what.
    MANUAL = "manual"
    #: The setting has no counterpart.
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class ImportFinding:
    """`path` is the setting's path, as `model_list[0].litellm_params.rpm`. Never its value."""

    path: str
    grade: Grade
    detail: str


@dataclass(slots=True)
class ImportFindings:
    """The findings in the order of the file."""

    found: list[ImportFinding] = field(default_factory=list)

    def exact(self, path: str, detail: str) -> None:
        """Records a setting that means the same here."""
        self.found.append(ImportFinding(path, Grade.EXACT, detail))

    def approximate(self, path: str, detail: str) -> None:
        """Records a setting whose counterpart behaves a little differently; `detail` says how."""
        self.found.append(ImportFinding(path, Grade.APPROXIMATE, detail))

    def manual(self, path: str, detail: str) -> None:
        """Records a setting that needs work; `detail` says what to do."""
        self.found.append(ImportFinding(path, Grade.MANUAL, detail))

    def unsupported(self, path: str, detail: str) -> None:
        """Records a setting without a counterpart."""
        self.found.append(ImportFinding(path, Grade.UNSUPPORTED, detail))

    @property
    def counts(self) -> Counter[str]:
        """Returns the number of findings by grade."""
        return Counter(str(each.grade) for each in self.found)


class Section:
    """A mapping of the file. Settings are taken from it one by one; the rest was not understood."""

    def __init__(self, path: str, settings: Any, findings: ImportFindings) -> None:
        self.path = path
        self._left: dict[str, Any] = dict(settings) if isinstance(settings, dict) else {}
        self._findings = findings
        if settings is not None and not isinstance(settings, dict):
            findings.unsupported(path, "expected a mapping")

    def at(self, name: str) -> str:
        return f"{self.path}.{name}"

    def take(self, name: str) -> Any:
        """Takes the value of a setting; None if it is missing or null."""
        return self._left.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return self._left.get(name) is not None

    def rest(self, reasons: dict[str, str]) -> None:
        """Reports the remaining settings as unsupported, with the reason in `reasons` or as unknown."""
        for name, value in self._left.items():
            if value not in (None, {}, []):
                self._findings.unsupported(self.at(name), reasons.get(name, "not known here; it is left out"))
        self._left = {}

    def names(self) -> Iterator[str]:
        return iter(tuple(self._left))
