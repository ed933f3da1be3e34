"""Long background work, for `status`: what follows an upgrade of a large database."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.reasons import Reason


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """The progress of a task: `done` of `total` are counted in `unit`, such as days."""

    description: Reason
    done: int
    total: int
    unit: str


class BackgroundTasks:
    """The running tasks, at most one for each part of the control plane."""

    def __init__(self) -> None:
        self._tasks: dict[str, BackgroundTask] = {}

    @property
    def running(self) -> tuple[BackgroundTask, ...]:
        """Returns the tasks in the order in which they began."""
        return tuple(self._tasks.values())

    def report(self, part: str, task: BackgroundTask | None) -> None:
        """Shows the progress of a part's task; None: it is done."""
        if task is None:
            self._tasks.pop(part, None)
        else:
            self._tasks[part] = task
