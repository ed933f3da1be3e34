"""Each name has one meaning: no two public classes of the services share a name without a reason."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
#: What several services have of their own, because they never import each other: the meaning is the same.
IN_SEVERAL_SERVICES = {
    "BodyKind": "how a request names its model: the translator and a node read it",
    "CacheScope": "the callers that share a cached answer: stored, and acted upon",
    "EnvoyAdmin": "Envoy's admin interface: the translator and the supervisor ask it",
    "Ledger": "the ledger: the translator writes it, the control plane stores it",
    "Metric": "the metric that a limit counts: stored, and counted",
    "Refusal": "a refused request, by the translator or by a node",
    "Sample": "one metric of Prometheus with its values",
    "Service": "what a process serves to Envoy",
    "Settings": "the settings of a process",
    "SettingsError": "settings that cannot work",
}


@cache
def public_classes() -> dict[str, list[tuple[Path, bool]]]:
    """Returns the modules that define a class, by its name, and whether the class is a protocol there."""
    found = defaultdict(list)
    for service in ("xds_server", "translator", "node_sidecar", "trunkline"):
        for path in (ROOT / service).rglob("*.py"):
            for node in ast.parse(path.read_bytes()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
                    found[node.name].append((path.relative_to(ROOT), "Protocol" in bases))
    return found


def test_a_class_has_its_name_alone() -> None:
    """Protocols are exempt: they state what their consumer needs of the class with the same name."""
    ambiguous = {}
    for name, places in public_classes().items():
        modules = [path for path, is_protocol in places if not is_protocol]
        services = {path.parts[0] for path in modules}
        allowed = len(services) if name in IN_SEVERAL_SERVICES else 1
        if len(modules) > allowed:
            ambiguous[name] = list(map(str, modules))
    assert not ambiguous, f"say in each name which meaning it has: {ambiguous}"


def test_every_exception_is_needed() -> None:
    found = public_classes()
    once = {name for name in IN_SEVERAL_SERVICES if sum(not protocol for _, protocol in found[name]) < 2}
    assert not once, f"not in several services: {once}"
