"""Maps the numbers that Envoy's module gives to targets and credentials (envoy/module/hosts.c) to these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xds_server.model import DesiredState, ProviderTarget
from xds_server.resources.names import target_cluster
from xds_server.resources.strategy import mark

_FNV_BASIS, _FNV_PRIME, _FNV_MASK = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1


@dataclass(frozen=True, slots=True)
class Host:
    """A credential of a provider, or one model with that credential. `credential` is its position, from 1, and
    `digest` stands for its value. `target_id` is empty for the credential itself.
    """

    provider: str
    credential: int
    digest: str
    target_id: str = ""

    @property
    def subject(self) -> str:
        """Returns the subject as an alert names it."""
        return (self.target_id or self.provider) + (f"#{self.credential}" if self.credential > 1 else "")


def hosts(state: DesiredState) -> dict[int, Host]:
    """Returns every credential, and every target of a route at a provider."""
    return {**{account(each): each for each in credentials(state)}, **dict(_targets(state))}


def credentials(state: DesiredState) -> Iterator[Host]:
    """Yields the credentials of all providers; a provider without credentials has one host."""
    for provider in state.providers.values():
        for index, credential in enumerate(provider.credentials or ("",)):
            yield Host(provider.name, index + 1, mark(provider, credential))


def _targets(state: DesiredState) -> Iterator[tuple[int, Host]]:
    targets = {
        each.id: each
        for route in state.routes.values()
        for each in route.targets
        if isinstance(each, ProviderTarget)
    }
    for target in targets.values():
        provider = state.providers[target.provider]
        for index, credential in enumerate(provider.credentials or ("",)):
            number = _fnv(target_cluster(target, index).encode())
            yield number, Host(provider.name, index + 1, mark(provider, credential), target.id)


def account(credential: Host) -> int:
    """Returns the number of a credential."""
    return _fnv(credential.digest.encode(), _fnv(b"\n"))


def _fnv(text: bytes, number: int = _FNV_BASIS) -> int:
    """Returns the FNV-1a hash, with 1 in place of 0."""
    for byte in text:
        number = ((number ^ byte) * _FNV_PRIME) & _FNV_MASK
    return number or 1
