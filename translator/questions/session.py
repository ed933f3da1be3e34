"""One connection's questions: bytes in, the bytes of the answers out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from translator.errors import MalformedFrameError
from translator.http.chunked import too_large
from translator.http.message import Request, Response
from translator.questions.frames import Admitted, Allowed, Kind, Question, QuestionReader, refused

#: What Envoy's module asks for in the header `upgrade`.
PROTOCOL = b"trunkline-authorise"
#: Python 3.11 takes as long to look up a member of an enum as to read a question.
_WHOLE = int(Kind.WHOLE)


class Decider(Protocol):
    """Decides about one question. No method raises, and everything that they need is in memory."""

    def decide(self, question: Request) -> Allowed | Response:
        """Answers a whole check."""

    def admit(self, head: Request) -> Admitted | Response:
        """Answers a head check."""

    def end(self, request_id: str) -> None:
        """Takes in an end notice. The id may be unknown."""


class QuestionSession:
    """`flush` writes down what was decided, before any answer leaves."""

    def __init__(
        self, decider: Decider, flush: Callable[[], object], max_body: int, log: FilteringBoundLogger
    ) -> None:
        self._decider = decider
        self._flush = flush
        self._reader = QuestionReader(max_body)
        self._too_large = too_large(max_body)
        self._log = log

    def receive(self, data: bytes) -> bytes:
        """The answers to all questions that are whole now. Raises MalformedFrameError."""
        try:
            answers = [self._answer(question) for question in self._reader.feed(data)]
        except MalformedFrameError as error:
            self._log.error("question refused", reason=str(error))
            raise
        self._flush()
        return b"".join(answers)

    def _answer(self, question: Question) -> bytes:
        number, kind, content = question
        if type(content) is Request:
            answer = self._decider.decide(content) if kind == _WHOLE else self._decider.admit(content)
        elif type(content) is str:
            self._decider.end(content)
            return b""
        else:
            answer = self._too_large.response()
        return refused(number, answer) if isinstance(answer, Response) else answer.encode(number)
