"""Reasons that operators read: English sentences, each with a code by which a console translates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from trunkline_proto.admin.v1 import reasons_pb2 as pb

_WHILE_OPEN = (
    "while the control plane had it open. Nothing more is written, and what was configured last is served. Move "
    "the right file to this path, then restart the control plane (`trunkline restart`)"
)
#: Sentences by code; `{}` stands for a value, in order.
TEXTS: Mapping[str, str] = {
    "target.paused": "paused: it is not tried",
    "target.down": "down: it only failed lately",
    "target.probed": "gets a few requests, to see whether it serves again",
    "target.written": "as written",
    "target.unmeasured": "as written: nothing is measured yet",
    "target.fastest": "the fastest",
    "target.cheapest": "the cheapest",
    "target.balanced": "the best by cost and time",
    "target.measuring": "gets a few requests, to be measured: {} times the best",
    "target.measuring_first": "gets a few requests, to be measured: not measured",
    "target.standing_in": "stands in: {} times the best",
    "target.standing_in_first": "stands in: not measured",
    "attempt.no_answer": "no answer: not reached, reset, or silent for too long",
    "attempt.limited": "limited: it takes no more requests for a while",
    "attempt.credential": "refused the gateway's credential ({})",
    "attempt.unpaid": "refused the gateway's account: unpaid (402)",
    "attempt.forbidden": "forbids this to the gateway's account (403)",
    "attempt.unknown_model": "does not know the model (404)",
    "attempt.too_long": "a proxy refused it as too long ({})",
    "attempt.rejected": "rejected the request itself ({})",
    "attempt.improper": "an invalid answer",
    "attempt.broken": "reported an error of its own ({})",
    "attempt.failed": "failed",
    "attempt.running": "running",
    "attempt.answered": "answered",
    "attempt.cancelled": "cancelled by an operator",
    "attempt.unknown": "unknown: Envoy ended before the attempt did",
    "attempt.left": "the client left",
    "attempt.timeout": "the target exceeded its time limit",
    "attempt.silent": "the stream was silent for too long",
    "attempt.ended": "the target ended the connection",
    "attempt.reset": "the target reset the stream",
    "attempt.unreachable": "the target could not be reached",
    "attempt.unhealthy": "no target was healthy",
    "rest.refused": "the provider refuses the credential ({})",
    "rest.refused_one": "the provider refuses the credential ({}), to one caller so far",
    "rest.failures": "it failed several times in a row, and others served the same requests",
    "rest.health": "its health checks fail",
    "rest.quota": "the provider says that its quota is used up",
    "rest.limited": "the provider limits it ({})",
    "rest.used_up": "its quota of {} {} in {} s is used up",
    "rest.share_used_up": "this gateway's share of its quota of {} {} in {} s is used up",
    "node.silent": "it has not reported",
    "node.pending": "waits for approval",
    "node.approval": "waits for an operator's approval",
    "node.departed": "no report for a long time",
    "node.lapsed": "its lease ended: no report",
    "node.unhealthy": "no local server answers its health check",
    "node.nothing": "it offers no model",
    "node.draining": "by an operator: {} running",
    "node.drained": "by an operator",
    "node.draining_owner": "by its owner: {} running",
    "node.drained_owner": "by its owner",
    "task.daily_sums": "sums usage by day; reports on long periods take longer until this is done",
    "task.request_ids": "indexes requests by their ids; searches by id take longer until this is done",
    "task.outcomes": "indexes requests by how they ended; searches by status take longer until this is done",
    "task.users": "indexes requests by their users; searches by user take longer until this is done",
    "object.unreadable": '{} "{}" as it is stored cannot be read ({}); its last good form is served',
    "object.left_out": '{} "{}" as it is stored cannot be read ({}); it is left out',
    "object.unbuildable": '{} "{}" cannot be built ({}); its last good form is served',
    "gateway.unreadable": "the gateway as it is stored cannot be read ({}); its last good form is served",
    "gateway.left_out": "the gateway as it is stored cannot be read ({}); it is left out",
    "gateway.unbuildable": "the gateway cannot be built ({}); its last good form is served",
    "trouble.state": "the state could not be read or built: {}",
    "trouble.issuer_keys": "the keys of the token issuer {} cannot be read: {}",
    "trouble.database_deleted": f"the database {{}} was deleted {_WHILE_OPEN}",
    "trouble.database_replaced": f"the database {{}} was replaced by another file {_WHILE_OPEN}",
    "client.unknown_answers": "answered {} responses that were not sent to it",
    "client.unanswered": "has not answered a response ({}) for {} s",
    "client.stuck": "did not read a response of {} bytes ({}) within {} s; its stream was given up",
    "client.shared": "{} streams have this id: give every client an id of its own",
    "certificate.early": "the certificate is not valid before {}",
    "certificate.expired": "the certificate expired on {}",
    "certificate.expiring": "the certificate expires on {}: renew it",
    "note.no_route": "there is no such route now: nothing to compare with",
    "note.no_request": ("no answered request is recorded in this period: there is nothing to replay"),
    "note.no_price": "{}: it has no price, so its requests count as free of charge",
    "note.price_to_come": "{}: its scheduled price is not included",
    "note.no_price_now": "{}: it has no price in the current route, and counts as free of charge there",
    "note.images": "images cost their default price here: their sizes are not recorded",
    "note.few": "{}: it served only {} of the requests that were read",
    "note.elsewhere": "{}: it was measured with requests of other routes only",
    "note.no_speed": (
        "{}: it has no measurements, so its speed is unknown and the strategy {} cannot rank it by its speed yet"
    ),
    "note.no_measurements": "{}: it has no measurements, so its requests are left out of the expected times",
}


class Reason(str):
    """A sentence. `code` is empty for words of others, such as a node's own."""

    __slots__ = ("code", "values")

    code: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, code: str, *values: object) -> Self:
        """Returns the sentence of a code of TEXTS."""
        written = tuple(map(str, values))
        made = cls(TEXTS[code].format(*written))
        made.code, made.values = code, written
        return made

    @classmethod
    def quoted(cls, text: str) -> Self:
        """Returns the words of others as a reason."""
        made = cls(text)
        made.code, made.values = "", ()
        return made

    @classmethod
    def of_object(cls, kind: str, name: str, what: str, *values: object) -> Self:
        """Returns the sentence of `object.WHAT`; for the gateway, which has no name, that of `gateway.WHAT`."""
        return cls.of(f"object.{what}", kind, name, *values) if name else cls.of(f"gateway.{what}", *values)

    @property
    def coded(self) -> pb.ReasonCode:
        """Returns the code with its values, as the Admin API has them."""
        return pb.ReasonCode(code=self.code, values=self.values)


#: The empty reason.
NOTHING = Reason.quoted("")
