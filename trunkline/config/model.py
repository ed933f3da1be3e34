"""What trunkline.yaml may say. Units are resolved here: milliseconds, seconds, micro-USD."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from trunkline.config import units
from trunkline.config.secrets import Secrets


def _from_text(read: Callable[[str], int]) -> BeforeValidator:
    """Zero needs no unit; everything else does."""

    def validate(value: Any) -> int:
        return 0 if type(value) is int and value == 0 else read(value if isinstance(value, str) else "")

    return BeforeValidator(validate)


def _micro_usd(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("expected an amount in USD, such as 0.15")  # noqa: TRY004 - pydantic reports ValueError
    return units.micro_usd(Decimal(value))


def _credential(text: str, info: ValidationInfo) -> str:
    return _secrets(info).credential(text)


def _value(text: str, info: ValidationInfo) -> str:
    return _secrets(info).value(text)


def _secrets(info: ValidationInfo) -> Secrets:
    assert isinstance(info.context, Secrets)  # noqa: S101 - config.load passes it
    return info.context


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
Milliseconds = Annotated[int, _from_text(units.milliseconds)]
Seconds = Annotated[int, _from_text(units.seconds)]
MicroUsd = Annotated[int, BeforeValidator(_micro_usd)]
Metric = Literal["requests", "tokens", "cost_usd", "concurrency"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Price(_Strict):
    """Written in USD per million tokens, held in micro-USD."""

    input: MicroUsd = 0
    output: MicroUsd = 0


class Limit(_Strict):
    metric: Metric
    per: Seconds = 0
    amount: Decimal

    @model_validator(mode="after")
    def _window(self) -> Self:
        if self.metric == "concurrency" and self.per:
            raise ValueError("concurrency has no window: remove `per`")
        if self.metric != "concurrency" and not self.per:
            raise ValueError(f"a limit on {self.metric} needs a window, such as `per: 60s`")
        _ = self.units
        return self

    @property
    def units(self) -> int:
        """The amount as the control plane counts it: micro-USD for cost_usd. Raises ValueError."""
        if self.metric == "cost_usd":
            return units.micro_usd(self.amount)
        if self.amount < 0 or self.amount != self.amount.to_integral_value():
            raise ValueError(f"{self.metric} are counted in whole numbers")
        return int(self.amount)


class Target(_Strict):
    provider: Text | None = None
    model: Text | None = None
    nodes: Text | None = None
    weight: Count | None = None
    tier: Count = 0
    price: Price | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        at_provider = self.provider is not None and self.model is not None and self.nodes is None
        at_nodes = self.nodes is not None and self.provider is None and self.model is None
        if not (at_provider or at_nodes):
            raise ValueError("a target has `provider` and `model`, or `nodes`")
        return self


class Timeouts(_Strict):
    first_byte: Milliseconds = 0
    idle: Milliseconds = 0
    connect: Milliseconds = 0


class Cache(_Strict):
    ttl: Seconds = 0


class Route(_Strict):
    model: Text
    organisation: Text | None = None
    strategy: Literal["weighted", "priority", "cheapest", "fastest", "own-first"] = "weighted"
    targets: Annotated[list[Target], Field(min_length=1)]
    timeouts: Timeouts = Timeouts()
    cache: Cache = Cache()
    privacy: Literal["any", "own-nodes"] = "any"


class Provider(_Strict):
    """`credentials` None (left out) keeps the stored ones; an empty list removes them."""

    name: Text
    dialect: Text = "openai"
    base_url: Text
    credentials: list[Annotated[Text, AfterValidator(_credential)]] | None = Field(default=None, repr=False)
    ca_file: Text | None = None
    stream_usage: bool | None = None


class Key(_Strict):
    """`value` None keeps the stored key of this name. `expires_at` without an offset is UTC."""

    name: Text
    value: Annotated[Text, AfterValidator(_value)] | None = Field(default=None, repr=False)
    models: list[Text] = ["*"]
    limits: list[Limit] = []
    expires_at: datetime.datetime | None = None


class Organisation(_Strict):
    name: Text
    limits: list[Limit] = []
    keys: list[Key] = []


class File(_Strict):
    """A section that is None was not in the file, and is left as it is stored."""

    version: Literal[1]
    providers: list[Provider] | None = None
    routes: list[Route] | None = None
    organisations: list[Organisation] | None = None
