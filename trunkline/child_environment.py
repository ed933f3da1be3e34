"""The environment of each child of `trunkline up`: what it needs, by allowlist, and no secret of anybody else.

A process that can be made to show its environment (a crash dump, a bug, `/proc`) shows all that it inherited. The
secrets that trunkline.yaml names can have any name, so nothing is inherited that is not known to be needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trunkline.environment import KNOWN_PROVIDERS

#: Where programs and libraries are, how text is written, what is trusted, where files go; and how to debug that.
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

#: What opens the store; the control plane's business alone.
STORE = frozenset({"TRUNKLINE_DATABASE_URL", "TRUNKLINE_SECRET_KEY"})
#: Of PostgreSQL's library: PGPASSWORD, PGSSLROOTCERT, …
_POSTGRESQL = ("PG",)
#: What else the control plane reads.
_CONTROL_PLANE = frozenset({"TRUNKLINE_TUNNEL_URL"})

#: A proxy's URL may hold a password. Nothing of the gateway itself goes through one.
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
_DISCOVERED = frozenset(
    name for each in KNOWN_PROVIDERS for name in (each.key_variable, each.base_url_variable) if name
)


def of_edge(inherited: Mapping[str, str]) -> dict[str, str]:
    """For Envoy and the translator, and so for the translator's own processes: no secret at all."""
    return _only(inherited, _ORDINARY)


def of_control_plane(inherited: Mapping[str, str], database_url: str) -> dict[str, str]:
    """For xds_server, which opens the store. Providers' credentials reach it by its API."""
    prefixes = () if database_url.startswith("sqlite:") else _POSTGRESQL
    found = _only(inherited, _ORDINARY | STORE | _CONTROL_PLANE, prefixes)
    return found | {"TRUNKLINE_DATABASE_URL": database_url}


def of_discovery(inherited: Mapping[str, str]) -> dict[str, str]:
    """For `providers discover`, which asks the known providers with their keys, perhaps through a proxy."""
    proxies = {name for name in inherited if name.lower() in _PROXIES}
    return _only(inherited, _ORDINARY | _DISCOVERED | proxies)


def of_apply(inherited: Mapping[str, str]) -> dict[str, str]:
    """For `apply`, which ends at once. trunkline.yaml may name any variable but those that open the store."""
    return {name: value for name, value in inherited.items() if name not in STORE}


def _only(inherited: Mapping[str, str], names: Collection[str], prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    starts = (*_ORDINARY_PREFIXES, *prefixes)
    return {name: value for name, value in inherited.items() if name in names or name.startswith(starts)}
