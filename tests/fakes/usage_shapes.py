"""How well-known providers and servers report usage, as they publish it, with the usage that each amounts to."""

from __future__ import annotations

from tests.fakes.usage_of_openai import OPENAI
from tests.fakes.usage_of_providers import PROVIDERS
from tests.fakes.usage_of_servers import SERVERS
from tests.fakes.usage_of_strangers import STRANGERS
from tests.fakes.usage_parts import Shape

__all__ = ["SHAPES", "Shape"]

SHAPES = [*OPENAI, *PROVIDERS, *SERVERS, *STRANGERS]
