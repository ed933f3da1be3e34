"""A body at a node: where gateway and node both find a model, it is the same one."""

from __future__ import annotations

import json

from node_sidecar.serving import refusal as node
from node_sidecar.serving.endpoints import BodyKind
from node_sidecar.serving.model import requested_model
from translator.bodies.json_body import parse
from translator.errors import Refusal

UNDER_TEST = ("node_sidecar.serving.model", "translator.bodies.json_body")


def check(data: bytes) -> bool:
    """Checks that the node reads the same model as the gateway in admitted bodies."""
    try:
        found: str | None = requested_model(BodyKind.JSON, data, b"application/json")
    except node.Refusal as refusal:
        assert refusal.status == 400
        found = None
    else:
        assert found == json.loads(data)["model"]
    try:
        ours: str | None = parse(data).model
    except Refusal:
        ours = None
    assert not ours or found == ours  # if it is empty, the node gets the target's
    return bool(ours)
