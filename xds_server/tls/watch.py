"""Rereads the certificate's files, and reports when a usable certificate has replaced the one in use.

Contents are compared, not times: a replaced symlink (Kubernetes, cert-manager), a rename and a file written in
place all look the same. No file system notification covers these and network file systems alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from xds_server.errors import TlsFilesError
from xds_server.reasons import NOTHING, Reason
from xds_server.resources.settings import ListenerTls
from xds_server.tls.files import Certificate, Contents, TlsFiles

#: Seconds between two checks.
INTERVAL = 1.0
#: Seconds before expiry from which a certificate is a problem: its renewal has failed for days.
_SOON = 7 * 86_400.0

_log = structlog.get_logger(__name__)


class CertificateWatch:
    """The certificate in use, and the problem of its files, if they have one. `clock` gives Unix seconds."""

    def __init__(self, files: TlsFiles, clock: Callable[[], float] = time.time) -> None:
        """Reads the files once. Raises TlsFilesError if there is nothing to serve with."""
        self._files = files
        self._clock = clock
        self._seen: Contents | None = files.read()
        self._current = files.check(self._seen)
        self._refused = ""
        self._complained = ""
        self._report(self._current)

    @property
    def tls(self) -> ListenerTls:
        """Returns what the listeners present."""
        return self._current.tls

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names that the certificate in use is for."""
        return self._current.names

    @property
    def expires_at(self) -> int:
        """Returns Unix seconds."""
        return self._current.expires_at

    @property
    def problem(self) -> Reason:
        """Returns what an operator has to fix; empty if nothing."""
        age = _age(self._current, self._clock())
        if not self._refused:
            return age
        return Reason.quoted(f"{self._refused}; {age}" if age else self._refused)

    async def run(self, on_renewed: Callable[[ListenerTls], None]) -> None:
        """Checks every second, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            # Runs in a thread because a network file system may hang.
            renewed = await asyncio.to_thread(self.look)
            if renewed is not None:
                on_renewed(renewed)

    def look(self) -> ListenerTls | None:
        """Returns what replaces the certificate in use; None if nothing does. Never raises because of the files'
        contents.
        """
        before, self._seen = self._seen, None
        try:
            self._seen = contents = self._files.read()
            if contents == before:
                self._complain()
                return None
            found = self._files.check(contents)
            self._check_successor(found)
        except TlsFilesError as error:
            self._refuse(str(error))
            return None
        self._refused = self._complained = ""
        if found.tls == self._current.tls:
            return None
        self._current = found
        self._report(found)
        return found.tls

    def _check_successor(self, found: Certificate) -> None:
        """Raises TlsFilesError for a certificate that clients would refuse although they accept the one in use."""
        now = self._clock()
        if _age(found, now, soon=0.0) and not _age(self._current, now, soon=0.0):
            raise TlsFilesError(f"--tls-cert {self._files.certificate}: {_age(found, now, soon=0.0)}")

    def _refuse(self, reason: str) -> None:
        if reason == self._refused:
            self._complain()
        self._refused = reason

    def _complain(self) -> None:
        """Logs a refusal once it has lasted for two checks: between the two files of a pair it is normal."""
        if self._refused and self._refused != self._complained:
            self._complained = self._refused
            _log.error("certificate not accepted; the one in use stays", reason=self._refused)

    def _report(self, certificate: Certificate) -> None:
        age = _age(certificate, self._clock())
        log = _log.warning if age else _log.info
        log("certificate", names=list(certificate.names), expires_at=certificate.expires_at, problem=age)


def _age(certificate: Certificate, now: float, *, soon: float = _SOON) -> Reason:
    """Returns what is wrong with the certificate's dates; empty if nothing."""
    if now < certificate.begins_at:
        return Reason.of("certificate.early", _moment(certificate.begins_at))
    if now >= certificate.expires_at:
        return Reason.of("certificate.expired", _moment(certificate.expires_at))
    if certificate.expires_at - now < soon:
        return Reason.of("certificate.expiring", _moment(certificate.expires_at))
    return NOTHING


def _moment(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
