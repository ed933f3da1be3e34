"""`GET /v1/models` and `GET /v1/models/{id}`: the models that one key may use, in OpenAI's format."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import unquote_to_bytes

import orjson

from translator.credentials import refused
from translator.endpoints import MODEL_PREFIX
from translator.errors import model_not_found
from translator.message import Request, Response
from translator.policy.objects import PolicyKey, PolicyRoute


class Policy(Protocol):
    """The parts of the policy from which the answers are made."""

    def key_by_id(self, key_id: str) -> PolicyKey | None:
        """Returns the key; None if it is unknown."""

    def route(self, key: PolicyKey, model: str) -> PolicyRoute | None:
        """Returns the route that serves the model to this key; None if there is none."""

    def routes(self, key: PolicyKey) -> list[PolicyRoute]:
        """Returns the routes that the key may use."""


class Models:
    """Answers for the key whose id Envoy sends in `x-trunkline-key`, which Envoy has from the authorisation."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def list(self, request: Request) -> Response:
        """Returns all models, sorted by name. Raises Refusal."""
        routes = self._policy.routes(self._key(request))
        return Response.json(200, orjson.dumps({"object": "list", "data": [_model(route) for route in routes]}))

    def one(self, request: Request, path: bytes) -> Response:
        """Returns the model that `path` names. Raises Refusal, also if the key may not use it."""
        name = unquote_to_bytes(path[len(MODEL_PREFIX) :]).decode("utf-8", "replace")
        route = self._policy.route(self._key(request), name)
        if route is None:
            raise model_not_found(name)
        return Response.json(200, orjson.dumps(_model(route)))

    def _key(self, request: Request) -> PolicyKey:
        key = self._policy.key_by_id(request.headers.get(b"x-trunkline-key", b"").decode("latin-1"))
        if key is None:
            raise refused("This API key has been revoked.")
        return key


def _model(route: PolicyRoute) -> dict[str, str | int]:
    return {"id": route.model, "object": "model", "created": route.created_at, "owned_by": "trunkline"}
