"""The write side: one locked transaction, and the possible changes per kind of object.

Its modules need SQLModel, which takes 0.4 s to import. `writing.providers` and the others are imported when first
used, so that a process may refer to them at startup and pay at its first write.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from xds_server.store import orm

if TYPE_CHECKING:
    from xds_server.store.writing import (
        account_links,
        gateway,
        identities,
        join_tokens,
        keys,
        makers,
        management,
        members,
        nodes,
        organisations,
        personal_tokens,
        providers,
        rotation,
        routes,
        sessions,
        unused,
        users,
    )
    from xds_server.store.writing.transaction import ObjectChange, Transaction

__all__ = [
    "MODULES",
    "ObjectChange",
    "Transaction",
    "account_links",
    "gateway",
    "identities",
    "join_tokens",
    "keys",
    "makers",
    "management",
    "members",
    "nodes",
    "organisations",
    "personal_tokens",
    "providers",
    "rotation",
    "routes",
    "sessions",
    "unused",
    "users",
]

#: The modules that are imported when first used.
MODULES = tuple(each for each in __all__ if each.islower())


def __getattr__(name: str) -> Any:
    if name in MODULES:
        orm.load()
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(name)
