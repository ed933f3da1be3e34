"""Serves the socket: Envoy's checks of requests, and the requests that Envoy passes on to the translator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from translator import health, logs
from translator.authorise import Authoriser, Ready
from translator.checks.answers import Admitted, Allowed, Answered
from translator.checks.frames import Copied, MachineNotice
from translator.checks.session import Later
from translator.checks.waits import Waits
from translator.endpoints import MODEL_PREFIX
from translator.errors import Refusal
from translator.message import Request, Response
from translator.metrics import Metrics
from translator.models import Models
from translator.policy.store import PolicyStore

T = TypeVar("T")


class Service:
    """The handlers of the server."""

    def __init__(
        self,
        policy: PolicyStore,
        authoriser: Authoriser,
        log: FilteringBoundLogger,
        metrics: Metrics | None = None,
        ledger_status: Callable[[], Mapping[str, str | int | float]] = dict,
        *,
        draining: Callable[[], bool] = lambda: False,
        trouble: Callable[[], str] = str,
    ) -> None:
        self._policy = policy
        self._log = log
        self._authoriser = authoriser
        self._models = Models(policy)
        self._metrics = metrics if metrics is not None else Metrics()
        self._ledger_status = ledger_status
        self._draining = draining
        self._trouble = trouble

    def decide(self, check: Request) -> Allowed | Answered | Response | Waits[Answered | Response] | Later:
        """Answers Envoy's check of a request. Never raises, and neither does a decision that is made later."""
        try:
            allowed = self._authoriser.decide(check)
        except Refusal as refusal:
            return self._refused(refusal)
        except Exception as error:  # noqa: BLE001 - other checks share the connection
            return self._failed(error)
        if isinstance(allowed, (Allowed, Answered)):
            self._metrics.allowed += 1
            return allowed
        return self._waits(allowed) if isinstance(allowed, Waits) else self._later(allowed)

    async def _later(
        self, deciding: Coroutine[object, object, Ready]
    ) -> Allowed | Answered | Response | Waits[Answered | Response]:
        try:
            allowed = await deciding
        except Refusal as refusal:
            return self._refused(refusal)
        except Exception as error:  # noqa: BLE001 - a client waits for an answer
            return self._failed(error)
        if isinstance(allowed, Waits):
            return self._waits(allowed)
        self._metrics.allowed += 1
        return allowed

    def _waits(self, waits: Waits[Answered | Exception]) -> Waits[Answered | Response]:
        def start(done: Callable[[Allowed | Answered | Response], None]) -> None:
            waits.start(lambda outcome: done(self._answer(outcome)))

        return Waits(waits.queued, start, waits.cancel)

    def _answer(self, outcome: Allowed | Answered | Exception) -> Allowed | Answered | Response:
        if isinstance(outcome, (Allowed, Answered)):
            self._metrics.allowed += 1
            return outcome
        return self._refused(outcome) if isinstance(outcome, Refusal) else self._failed(outcome)

    def admit(self, head: Request) -> Admitted | Response:
        """Answers Envoy's head check, before it reads a body. Only a refusal counts as a decision. Never
        raises.
        """
        try:
            return self._authoriser.admit(head)
        except Refusal as refusal:
            return self._refused(refusal)
        except Exception as error:  # noqa: BLE001 - other checks share the connection
            return self._failed(error)

    def response_created(self, text: str) -> None:
        """Takes Envoy's report of a created response. Never raises."""
        self._take_in(self._authoriser.response_created, text)

    def end(self, request_id: str) -> None:
        """Takes Envoy's report that a request is over. Never raises."""
        self._take_in(self._authoriser.end, request_id)

    def machine_busy(self, notice: MachineNotice) -> None:
        """Takes Envoy's report that a machine was too busy for a request. Never raises."""
        self._take_in(self._authoriser.machine_busy, notice)

    def copied(self, copy: Copied) -> None:
        """Takes the copy of an answer. Never raises."""
        self._take_in(self._authoriser.copied, copy)

    def _take_in(self, take: Callable[[T], None], notice: T) -> None:
        try:
            take(notice)
        except Exception as error:  # noqa: BLE001 - other checks share the connection
            self._failed(error)

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answers a request that Envoy passes on to the translator. Never raises."""
        try:
            return self._direct(request)
        except Refusal as refusal:
            self._log.debug("refused", status=refusal.status, code=refusal.code)
            return refusal.response()
        except Exception as error:  # noqa: BLE001 - other requests share the connection
            return self._failed(error)

    async def _scraped(self) -> Response:
        try:
            return await self._metrics.response()
        except Exception as error:  # noqa: BLE001 - a client waits for an answer
            return self._failed(error)

    def _refused(self, refusal: Refusal) -> Response:
        self._metrics.refuse(refusal.code)
        self._log.debug("refused", status=refusal.status, code=refusal.code)
        return refusal.response()

    def _failed(self, error: Exception) -> Response:
        self._log.error("defect", error=type(error).__name__, places=logs.places(error.__traceback__))
        return Refusal(500, "internal_error", "The gateway failed.", kind="server_error").response()

    def _direct(self, request: Request) -> Response | Awaitable[Response]:
        path = request.target.partition(b"?")[0]
        if request.method not in {"GET", "HEAD"}:
            allow = {"allow": "GET, HEAD"}
            raise Refusal(405, "method_not_allowed", "Only GET and HEAD are allowed here.", headers=allow)
        if path == b"/v1/models":
            return self._models.list(request)
        if path.startswith(MODEL_PREFIX):
            return self._models.one(request, path)
        if path == b"/readyz":
            return self._readyz()
        if path == b"/healthz":
            return health.healthz()
        if path == b"/metrics":
            return self._scraped()
        raise Refusal(404, "unknown_url", "Nothing is served at this path.")

    def _readyz(self) -> Response:
        return health.readyz(
            self._policy,
            self._ledger_status(),
            draining=self._draining(),
            starting=self._policy.starting(),
            trouble=self._trouble(),
        )
