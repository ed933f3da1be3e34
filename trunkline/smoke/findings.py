"""The findings of the smoke test, one line per check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["ok", "FAILED", "skipped"]

COLUMNS = ("check", "subject", "outcome", "ms", "prompt", "completion", "cost_usd", "detail")
NUMBERS = frozenset({"ms", "prompt", "completion", "cost_usd"})
#: The columns that a narrow terminal keeps longest.
IMPORTANT = ("outcome", "check", "subject", "detail", "cost_usd", "ms")


@dataclass(frozen=True, slots=True)
class SmokeFinding:
    """One check of one subject. `ms` is the client's time to the complete answer; tokens and cost are as
    billed.
    """

    check: str
    subject: str
    outcome: Outcome
    detail: str = ""
    ms: int | None = None
    prompt: int | None = None
    completion: int | None = None
    cost_nano_usd: int | None = None

    def row(self) -> dict[str, Any]:
        """Returns the columns of COLUMNS, with the cost in USD."""
        cost = None if self.cost_nano_usd is None else f"{self.cost_nano_usd / 1e9:.9f}"
        return {
            "check": self.check,
            "subject": self.subject,
            "outcome": self.outcome,
            "ms": self.ms,
            "prompt": self.prompt,
            "completion": self.completion,
            "cost_usd": cost,
            "detail": self.detail,
        }


@dataclass(slots=True)
class SmokeFindings:
    """All findings so far. `on_finding` is called with each one as it comes."""

    on_finding: Callable[[SmokeFinding], None]
    found: list[SmokeFinding] = field(default_factory=list)

    def add(self, finding: SmokeFinding) -> None:
        """Records a finding and shows it."""
        self.found.append(finding)
        self.on_finding(finding)

    def skip(self, check: str, subject: str, why: str) -> None:
        """Records a check that was not made, and why."""
        self.add(SmokeFinding(check, subject, "skipped", why))

    def check(self, check: str, subject: str, problem: str, detail: str, **measured: int | None) -> None:
        """Adds a finding. `problem` says what is wrong; if it is empty, the check passed and `detail` says what
        was seen.
        """
        self.add(SmokeFinding(check, subject, "FAILED" if problem else "ok", problem or detail, **measured))

    @property
    def failed(self) -> int:
        """The number of failed checks."""
        return sum(each.outcome == "FAILED" for each in self.found)
