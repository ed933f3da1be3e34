"""The Admin API's calls about nodes, as REST through Envoy."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.process import GatewayProcess
from tests.xds_server.store.writing.joining import join
from xds_server.store import DEFAULT_ORGANISATION, DatabaseUrl, Store


def call(gateway: GatewayProcess, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{gateway.admin_url}/admin/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "authorization": f"Bearer {gateway.credentials['admin_token']}",
            "content-type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def refused(gateway: GatewayProcess, method: str, path: str, body: dict[str, Any] | None = None) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        call(gateway, method, path, body)
    caught.value.close()
    return caught.value.code


def test_nodes_over_rest(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with GatewayProcess(data) as gateway:
        store = Store.open(DatabaseUrl.of_file(data / "trunkline.db"), key_file=data / "secret.key")
        node = join(store, organisation=DEFAULT_ORGANISATION)
        store.close()

        (listed,) = call(gateway, "GET", f"nodes?organisation={DEFAULT_ORGANISATION}")["nodes"]
        assert (listed["id"], listed["visibility"]) == (node.id, "VISIBILITY_ORGANISATION")
        patched = call(gateway, "PATCH", f"nodes/{node.id}", {"drained": True, "boostPercent": 200})
        assert (patched["node"]["drained"], patched["node"]["boost_percent"]) == (True, 200)
        assert refused(gateway, "PATCH", f"nodes/{node.id}", {"drained": False, "version": 1}) == 409
        assert refused(gateway, "PATCH", "nodes/nobody", {"drained": False}) == 404
        resumed = call(gateway, "PATCH", "nodes/gpu", {"drained": False})["node"]
        assert (resumed.get("drained", False), resumed["boost_percent"]) == (False, 200)

        rows = call(gateway, "GET", "nodes:contributions?by=node&by=day&since=0")
        assert rows.get("rows", []) == []
        assert refused(gateway, "GET", "nodes:contributions?by=colour") == 400
        assert refused(gateway, "POST", "nodes:invite", {"organisation": "nobody"}) == 400

        call(gateway, "DELETE", f"nodes/{node.id}")
        assert call(gateway, "GET", "nodes").get("nodes", []) == []
        assert refused(gateway, "DELETE", f"nodes/{node.id}") == 404
