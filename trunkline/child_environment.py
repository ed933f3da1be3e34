"""The environment of each child of `trunkline up`: an allowlist of what it needs, without anybody else's secrets.

A process that reveals its environment (in a crash dump, through a bug, in `/proc`) reveals everything it
inherited. The secrets that trunkline.yaml names can have any name, so nothing is inherited that is not known to be
needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trunkline.environment import KNOWN_PROVIDERS

#: Locations of programs, libraries and files, locales and trusted CAs; and variables for debugging these.
_ORDINARY = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "TZDIR", "TERM"),
        *("LANG", "LANGUAGE", "LOCPATH", "NLSPATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "VIRTUAL_ENV"),
        *("RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES"),
        *("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_CONF"),
        *("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"),
        *("GRPC_VERBOSITY", "GRPC_TRACE", "GRPC_DNS_RESOLVER", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
    }
)
_ORDINARY_PREFIXES = ("LC_", "PYTHON")

#: Variables that open the store; only for the control plane.
STORE = frozenset({"TRUNKLINE_DATABASE_URL", "TRUNKLINE_SECRET_KEY"})
#: Variables of PostgreSQL's library: PGPASSWORD, PGSSLROOTCERT, …
_POSTGRESQL = ("PG",)
#: Other variables of the control plane.
_CONTROL_PLANE = frozenset({"TRUNKLINE_TUNNEL_URL"})

#: A proxy's URL may contain a password. The gateway itself never uses a proxy.
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
_DISCOVERED = frozenset(
    name for each in KNOWN_PROVIDERS for name in (each.key_variable, each.base_url_variable) if name
)


def of_edge(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of Envoy and the translator, which the translator's processes inherit: no secret."""
    return _only(inherited, _ORDINARY)


def of_control_plane(inherited: Mapping[str, str], database_url: str) -> dict[str, str]:
    """Returns the environment of xds_server, which opens the store. It gets providers' credentials through its
    API.
    """
    prefixes = () if database_url.startswith("sqlite:") else _POSTGRESQL
    found = _only(inherited, _ORDINARY | STORE | _CONTROL_PLANE, prefixes)
    return found | {"TRUNKLINE_DATABASE_URL": database_url}


def of_discovery(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of `providers discover`, which queries the known providers with their keys, perhaps
    through a proxy.
    """
    proxies = {name for name in inherited if name.lower() in _PROXIES}
    return _only(inherited, _ORDINARY | _DISCOVERED | proxies)


def of_apply(inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of `apply`, which ends at once. trunkline.yaml may name any variable except those
    that open the store.
    """
    return {name: value for name, value in inherited.items() if name not in STORE}


def _only(inherited: Mapping[str, str], names: Collection[str], prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    starts = (*_ORDINARY_PREFIXES, *prefixes)
    return {name: value for name, value in inherited.items() if name in names or name.startswith(starts)}
