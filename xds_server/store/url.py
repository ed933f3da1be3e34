"""Parses the database's location: `sqlite:///relative`, `sqlite:////absolute` or a libpq `postgresql://` URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgres://", "postgresql+psycopg://")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """`path` is the SQLite file; `conninfo` is for libpq and may hold a password: never log it."""

    path: Path | None = None
    conninfo: str = field(default="", repr=False)

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, False for PostgreSQL."""
        return self.path is not None

    @classmethod
    def parse(cls, url: str) -> DatabaseUrl:
        """Parses a URL. Raises ValueError, whose text leaves out the URL, for anything but SQLite and
        PostgreSQL.
        """
        if url.startswith(_SQLITE):
            name = unquote(url.removeprefix(_SQLITE))
            if not name or name.startswith((":memory:", "?")) or "?" in name:
                raise ValueError(
                    "database URL: SQLite needs a file and no options, e.g. sqlite:///data/trunkline.db"
                )
            return cls(path=Path(name))
        for scheme in _POSTGRESQL:
            if url.startswith(scheme):
                return cls(conninfo="postgresql://" + url.removeprefix(scheme))
        raise ValueError(
            "database URL: accepted are sqlite:///PATH and postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        )

    @classmethod
    def of_file(cls, path: Path) -> DatabaseUrl:
        """Returns the URL of a SQLite file."""
        return cls(path=path)
