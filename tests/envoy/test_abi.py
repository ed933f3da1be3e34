"""`abi.h` and the module's exports against the pinned Envoy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline import envoy_module
from trunkline.envoy import binary
from trunkline.envoy_module import LIBRARY

pytestmark = pytest.mark.envoy

ABI = Path(envoy_module.__file__).parents[1] / "envoy" / "module" / "abi.h"
CALLBACK, HOOK = "envoy_dynamic_module_callback_", "envoy_dynamic_module_on_"
CONFIG = (
    """
static_resources:
  clusters:
  - name: machines
    load_balancing_policy:
      policies:
      - typed_extension_config:
          name: pool
          typed_config:
            "@type": type.googleapis.com/$POLICY
            dynamic_module_config: {name: trunkline}
            lb_policy_name: pool
  listeners:
  - name: clients
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": $network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          early_header_mutation_extensions:
          - name: ingress
            typed_config:
              "@type": type.googleapis.com/$MUTATION
              dynamic_module_config: {name: trunkline}
              early_header_mutation_name: ingress
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route:
                  inline_cluster_specifier_plugin:
                    extension:
                      name: specifier
                      typed_config:
                        "@type": type.googleapis.com/$SPECIFIER
                        dynamic_module_config: {name: trunkline}
                        specifier_config:
                          "@type": type.googleapis.com/google.protobuf.StringValue
                          value: |
                            0 0 1 2 t key a/m
          http_filters:
          - name: dress
            typed_config:
              "@type": $http.dynamic_modules.v3.DynamicModuleFilter
              dynamic_module_config: {name: trunkline}
              filter_name: dress
          - name: router
            typed_config: {"@type": $http.router.v3.Router}
""".replace(
        "$SPECIFIER",
        "envoy.extensions.router.cluster_specifiers.dynamic_modules.v3.DynamicModuleClusterSpecifier",
    )
    .replace(
        "$MUTATION",
        "envoy.extensions.http.early_header_mutation.dynamic_modules.v3.DynamicModuleEarlyHeaderMutation",
    )
    .replace(
        "$POLICY",
        "envoy.extensions.load_balancing_policies.dynamic_modules.v3.DynamicModulesLoadBalancerConfig",
    )
    .replace("$", "type.googleapis.com/envoy.extensions.filters.")
)


def exported(file: Path, prefix: str) -> set[str]:
    """Returns the symbols that `file` exports, without `prefix`."""
    options = ["-gU"] if sys.platform == "darwin" else ["-D", "--defined-only"]
    listed = subprocess.run(["nm", *options, file], capture_output=True, text=True, check=True).stdout
    names = (line.split()[-1].lstrip("_") for line in listed.splitlines() if line)
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return envoy_module.directory(tmp_path_factory.mktemp("module")) / LIBRARY


def validate(library: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Makes Envoy load the module of `library` and configure a filter with it."""
    (directory / LIBRARY).write_bytes(library.read_bytes())
    return subprocess.run(
        [binary(), "--mode", "validate", "--config-yaml", CONFIG],
        env={**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


def without(library: Path, hook: str, into: Path) -> Path:
    """Copies the module without the symbol `hook`."""
    name = f"\0{HOOK}{hook}\0".encode()
    content = library.read_bytes()
    assert name in content
    into.write_bytes(content.replace(name, name.replace(b"_on_", b"_no_")))
    return into


def test_envoy_has_every_callback_that_is_declared() -> None:
    declared = set(re.findall(r"\bCALLBACK\((\w+)\)\(", ABI.read_text()))
    assert len(declared) > 15
    assert declared <= exported(binary(), CALLBACK)


def test_envoy_knows_every_hook_that_is_exported(library: Path) -> None:
    known = binary().read_bytes()
    unknown = {name for name in exported(library, HOOK) if f"{HOOK}{name}".encode() not in known}
    assert not unknown


def test_envoy_accepts_the_module_and_its_version(library: Path, tmp_path: Path) -> None:
    (version,) = re.findall(r'#define ABI_VERSION "(v[0-9.]+)"', ABI.read_text())
    assert set(re.findall(rb"\0(v0\.[0-9]+\.[0-9]+)\0", binary().read_bytes())) == {version.encode()}
    done = validate(library, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"ABI version {version} matched" in done.stderr


def test_python_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a C compiler, the one in the wheel ziglang builds a module that Envoy loads."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    made = envoy_module.compiled(ABI.parent, tmp_path / "builds") / LIBRARY
    done = validate(made, tmp_path)
    assert done.returncode == 0, done.stderr


def test_no_hook_is_exported_that_envoy_would_do_without(library: Path, tmp_path: Path) -> None:
    hooks = exported(library, HOOK)
    assert len(hooks) > 20
    for hook in sorted(hooks):
        done = validate(without(library, hook, tmp_path / "changed.so"), tmp_path)
        assert done.returncode != 0, f"Envoy does without {hook}"
        assert f"{HOOK}{hook}" in done.stderr
