"""One connection's questions: bytes in, the bytes of the answers out."""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from translator.errors import MalformedFrameError
from translator.http.chunked import too_large
from translator.http.message import Request, Response
from translator.questions.frames import Allowed, QuestionReader, refused

#: What Envoy's module asks for in the header `upgrade`.
PROTOCOL = b"trunkline-authorise"
Decide = Callable[[Request], Allowed | Response]


class QuestionSession:
    """`decide` answers one question; it never raises, and all that it needs is in memory. `flush` writes down what
    was decided, before any answer leaves.
    """

    def __init__(
        self, decide: Decide, flush: Callable[[], object], max_body: int, log: FilteringBoundLogger
    ) -> None:
        self._decide = decide
        self._flush = flush
        self._reader = QuestionReader(max_body)
        self._too_large = too_large(max_body)
        self._log = log

    def receive(self, data: bytes) -> bytes:
        """The answers to all questions that are whole now. Raises MalformedFrameError."""
        try:
            answers = [self._answer(number, question) for number, question in self._reader.feed(data)]
        except MalformedFrameError as error:
            self._log.error("question refused", reason=str(error))
            raise
        self._flush()
        return b"".join(answers)

    def _answer(self, number: int, question: Request | None) -> bytes:
        answer = self._too_large.response() if question is None else self._decide(question)
        return refused(number, answer) if isinstance(answer, Response) else answer.encode(number)
