"""The schema of trunkline.yaml. Units are resolved here: milliseconds, seconds, micro-USD.

A `Spec` is an object as the file describes it; the control plane makes an object of the desired state from it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator
from trunkline_proto.admin.words import PRIVACIES, ROLES, STRATEGIES
from trunkline_proto.policy.words import (
    AFFINITIES,
    CACHE_SCOPES,
    CALENDARS,
    EACHES,
    METRICS,
    PRIORITIES,
    PROMPT_CACHE_KEYS,
    QUOTA_METRICS,
)
from trunkline_proto.words import Words

from trunkline.config import limit_syntax, units
from trunkline.config.mapping import Unit
from trunkline.config.secrets import Secrets


def _from_text(read: Callable[[str], int]) -> BeforeValidator:
    """Zero needs no unit; everything else does."""

    def validate(value: Any) -> int:
        return 0 if type(value) is int and value == 0 else read(value if isinstance(value, str) else "")

    return BeforeValidator(validate)


def _in_usd(held: Callable[[Decimal], int]) -> BeforeValidator:
    def validate(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise ValueError("expected an amount in USD, such as 0.15")  # noqa: TRY004 - pydantic reports ValueError
        return held(Decimal(value))

    return BeforeValidator(validate)


def _window(value: Any) -> int | str:
    """Parses seconds, or the name of a calendar window."""
    if value in CALENDARS:
        return str(value)
    seconds = units.seconds(value) if isinstance(value, str) else 0
    if not seconds:
        raise ValueError("expected a duration of 1s or more, such as 60s, 1h or 30d, or day, week or month")
    return seconds


def _quota_window(value: Any) -> int:
    seconds = units.seconds(value) if isinstance(value, str) else 0
    if not seconds:
        raise ValueError("expected a duration of 1s or more, such as 60s or 1d")
    return seconds


def _whole_number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _written_seconds(value: int) -> str:
    return units.duration(value * 1000)


def moment(value: Any) -> int:
    """Parses a date, or a date and time, into Unix seconds; UTC unless it has an offset."""
    try:
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        elif type(value) is datetime.date:
            value = datetime.datetime.combine(value, datetime.time())
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return int(aware.timestamp())
    except (ValueError, AttributeError, OverflowError):
        raise ValueError("expected a date or time such as 2026-12-01 or 2026-12-01T12:00:00Z") from None


def _written_moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _one_of(words: Words[Any]) -> AfterValidator:
    def validate(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return AfterValidator(validate)


def _credential(text: str, info: ValidationInfo) -> str:
    return _secrets(info).credential(text)


def _password(text: str, info: ValidationInfo) -> str:
    return _secrets(info).credential(text) if text else ""


def _value(text: str, info: ValidationInfo) -> str:
    return _secrets(info).value(text)


def _secrets(info: ValidationInfo) -> Secrets:
    assert isinstance(info.context, Secrets)  # noqa: S101 - config.load passes it
    return info.context


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
Milliseconds = Annotated[int, _from_text(units.milliseconds), Unit("_ms", units.duration)]
Seconds = Annotated[int, _from_text(units.seconds), Unit("_seconds", _written_seconds)]
Window = Annotated[int | str, BeforeValidator(_window)]
UnixSeconds = Annotated[int, BeforeValidator(moment), Unit(written=_written_moment)]
MicroUsd = Annotated[int, _in_usd(units.micro_usd), Unit(written=units.usd)]
#: USD per second, held in micro-USD per million seconds.
PerSecond = Annotated[int, _in_usd(units.micro_usd_per_million), Unit(written=units.usd_per_unit)]
Metric = Annotated[str, _one_of(METRICS), METRICS]
Each = Annotated[str, _one_of(EACHES), EACHES]
QuotaMetric = Annotated[str, _one_of(QUOTA_METRICS), QUOTA_METRICS]
Strategy = Annotated[str, _one_of(STRATEGIES), STRATEGIES]
Priority = Annotated[str, _one_of(PRIORITIES), PRIORITIES]
Privacy = Annotated[str, _one_of(PRIVACIES), PRIVACIES]
CacheScope = Annotated[str, _one_of(CACHE_SCOPES), CACHE_SCOPES]
PromptCacheKey = Annotated[str, _one_of(PROMPT_CACHE_KEYS), PROMPT_CACHE_KEYS]
Role = Annotated[str, _one_of(ROLES), ROLES]
Affinity = Annotated[str, _one_of(AFFINITIES), AFFINITIES]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Rates(_Strict):
    """USD per million tokens, held in micro-USD. None: as another kind, see trunkline.policy.v1.Price."""

    cached_input: MicroUsd | None = None
    cache_write: MicroUsd | None = None
    cache_write_1h: MicroUsd | None = None
    reasoning: MicroUsd | None = None
    audio_input: MicroUsd | None = None
    audio_output: MicroUsd | None = None


class ContextTierSpec(_Rates):
    """The rates of requests with more than `above` prompt tokens."""

    above: Annotated[int, Field(strict=True, ge=1)]
    input: MicroUsd
    output: MicroUsd


class ServiceTierSpec(_Rates):
    """The rates of requests that the target served in this service tier."""

    input: MicroUsd
    output: MicroUsd
    tiers: list[ContextTierSpec] = []


class PriceSpec(_Rates):
    """`valid_from` None: from now on, or from the beginning for a new target.

    USD per million tokens, and per million characters of speech; per request, image, search unit and second of
    audio.
    """

    input: MicroUsd | None = None
    output: MicroUsd | None = None
    request: MicroUsd = 0
    audio_second_input: PerSecond = 0
    audio_second_output: PerSecond = 0
    character: MicroUsd = 0
    search_unit: MicroUsd = 0
    images: dict[Text, MicroUsd] = {}
    tiers: list[ContextTierSpec] = []
    service_tiers: dict[Text, ServiceTierSpec] = {}
    valid_from: UnixSeconds | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        for given, missing in (("input", "output"), ("output", "input")):
            if getattr(self, given) is not None and getattr(self, missing) is None:
                raise ValueError(
                    f"`{given}` without `{missing}`: write `{missing}: 0` if {missing} tokens are free"
                )
        return self


Amount = Annotated[Decimal, AfterValidator(units.bounded)]
#: A fraction of a limit's amount: 0.8 for 80 %.
Share = Annotated[Decimal, AfterValidator(units.share)]


class LimitSpec(_Strict):
    """`per` is seconds, a calendar window, or None for concurrency. `time_zone` None is UTC, `model` None all
    models, and `each` None counts everything together.

    The file also accepts the short syntax of flags: `requests/60s=600`.
    """

    metric: Metric
    per: Window | None = None
    amount: Amount
    time_zone: Text | None = None
    model: Text | None = None
    each: Each | None = None
    alerts: list[Share] = []
    soft: bool = False

    @model_validator(mode="before")
    @classmethod
    def _in_one_word(cls, given: Any) -> Any:
        return limit_syntax.whole(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.metric == "concurrency" and self.per:
            raise ValueError("concurrency has no window: remove `per`")
        if self.metric != "concurrency" and not self.per:
            raise ValueError(f"a limit on {self.metric} needs a window, such as `per: 60s` or `per: month`")
        if self.time_zone and not isinstance(self.per, str):
            raise ValueError("`time_zone` belongs to the windows day, week and month only")
        _ = self.units
        return self

    @property
    def units(self) -> int:
        """Returns the amount in the control plane's unit: micro-USD for cost_usd. Raises ValueError."""
        if self.metric == "cost_usd":
            return units.micro_usd(self.amount)
        if self.amount < 0 or self.amount != self.amount.to_integral_value():
            raise ValueError(f"{self.metric} are counted in whole numbers")
        return int(self.amount)


class TargetSpec(_Strict):
    """A target of a route: `provider` and `model`, or `nodes`, which names the model that own machines serve."""

    provider: Text | None = None
    model: Text | None = None
    nodes: Text | None = None
    weight: Count | None = None
    tier: Count = 0
    price: PriceSpec | None = None
    context: Count = 0
    paused: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        at_provider = self.provider is not None and self.model is not None and self.nodes is None
        at_nodes = self.nodes is not None and self.provider is None and self.model is None
        if not (at_provider or at_nodes):
            raise ValueError("a target has `provider` and `model`, or `nodes`")
        return self


class TimeoutsSpec(_Strict):
    """The timeouts of an attempt, in milliseconds; 0 is the default of the control plane."""

    first_byte: Milliseconds = 0
    idle: Milliseconds = 0
    connect: Milliseconds = 0


class CacheSpec(_Strict):
    """The cache of a route: `ttl` in seconds, 0 for no cache; `most_bytes` 0 for no limit of its own."""

    ttl: Seconds = 0
    scope: CacheScope = "organisation"
    most_bytes: Count = 0


class PromptCacheSpec(_Strict):
    """Help for providers that cache the beginnings of prompts."""

    key: PromptCacheKey = "none"
    stable_order: bool = False


class QueueSpec(_Strict):
    """The queue of a route: `longest` in milliseconds; with 0, requests do not wait."""

    longest: Milliseconds = 0
    size: Count = 0


class RouteSpec(_Strict):
    """A route. Without an `organisation`, it serves all of them."""

    model: Text
    organisation: Text | None = None
    strategy: Strategy = "weighted"
    targets: Annotated[list[TargetSpec], Field(min_length=1)]
    timeouts: TimeoutsSpec = TimeoutsSpec()
    cache: CacheSpec = CacheSpec()
    queue: QueueSpec = QueueSpec()
    prompt_cache: PromptCacheSpec = PromptCacheSpec()
    privacy: Privacy = "any"
    affinity: Affinity = "pool"
    limits: list[LimitSpec] = []
    reserved_output_tokens: Count = 0
    balance: Annotated[int, Field(ge=0, le=99)] = 0


class QuotaSpec(_Strict):
    """A quota of a credential in a window; the file also accepts the short syntax: `requests/60s=600`."""

    metric: QuotaMetric
    per: Annotated[int, BeforeValidator(_quota_window), Unit("_seconds", _written_seconds)]
    amount: Annotated[int, BeforeValidator(_whole_number), Field(ge=1)]

    @model_validator(mode="before")
    @classmethod
    def _in_one_word(cls, given: Any) -> Any:
        return limit_syntax.whole(given) if isinstance(given, str) else given


class CredentialSpec(_Strict):
    """A credential with its own quota. In the file, a credential without one may be just its value: `env:NAME`.

    `value` None keeps the stored one at its place in the list.
    """

    value: Annotated[Text, AfterValidator(_credential)] | None = Field(default=None, repr=False)
    quota: list[QuotaSpec] = []

    @model_validator(mode="before")
    @classmethod
    def _value_alone(cls, given: Any) -> Any:
        return {"value": given} if isinstance(given, str) else given


class HealthSpec(_Strict):
    """A free call by which Envoy checks whether the server is healthy."""

    path: Text | None = None
    every: Seconds = 0
    statuses: list[Count] = []


class ProviderSpec(_Strict):
    """`credentials` None (left out) keeps the stored ones; an empty list removes them. `quota` applies to each
    credential that has none of its own.
    """

    name: Text
    dialect: Text = "openai"
    base_url: Text
    credentials: list[CredentialSpec] | None = Field(default=None, repr=False)
    ca_file: Text | None = None
    stream_usage: bool | None = None
    quota: list[QuotaSpec] = []
    health: HealthSpec = HealthSpec()

    @model_validator(mode="after")
    def _all_or_no_values(self) -> Self:
        given = {each.value is not None for each in self.credentials or ()}
        if len(given) > 1:
            raise ValueError(
                "`credentials` with and without a `value`: give all values, or none to keep the stored ones"
            )
        return self


class KeySpec(_Strict):
    """`value` None keeps the stored key of this name. `expires_at` without an offset is UTC."""

    name: Text
    value: Annotated[Text, AfterValidator(_value)] | None = Field(default=None, repr=False)
    #: Not empty: readers would take an empty list for none, the control plane for all.
    models: Annotated[list[Text], Field(min_length=1)] = ["*"]
    limits: list[LimitSpec] = []
    expires_at: UnixSeconds | None = None
    max_price: MicroUsd = 0
    priority: Priority = "normal"


class OrganisationSpec(_Strict):
    """An organisation; `weight` 0 is the default of 1."""

    name: Text
    weight: Count = 0
    limits: list[LimitSpec] = []
    keys: list[KeySpec] = []


class CorsSpec(_Strict):
    """Origins of pages that browsers let call the gateway."""

    origins: list[Text] = []
    max_age: Seconds = 0


class SharedCacheSpec(_Strict):
    """The store of all routes' cached answers. `password` None (left out) keeps the stored one, and an empty
    one removes it.
    """

    store: Text = "memory"
    most_bytes: Count = 0
    password: Annotated[str, AfterValidator(_password)] | None = Field(default=None, repr=False)
    ca_file: Text | None = None


class AlertingSpec(_Strict):
    """The receiver of alerts of limits; `secret` None keeps the stored one."""

    webhook: Text
    secret: Annotated[Text, AfterValidator(_credential)] | None = Field(default=None, repr=False)


class AccountsSpec(_Strict):
    """Settings for how people sign in."""

    console_url: Text | None = None
    sso_only: bool = False


class GroupRoleSpec(_Strict):
    """The role that membership in a group of an identity provider gives."""

    group: Text
    organisation: Text | None = None
    role: Role | None = None
    admin: bool = False


class SignUpSpec(_Strict):
    """The users who may join without an invitation."""

    domains: list[Text] = []
    organisation: Text | None = None
    role: Role | None = None


class IdentityProviderSpec(_Strict):
    """An OpenID provider; `client_secret` None keeps the stored one."""

    name: Text
    issuer: Text
    client_id: Text
    title: Text | None = None
    client_secret: Annotated[Text, AfterValidator(_credential)] | None = Field(default=None, repr=False)
    scopes: list[Text] = []
    groups_claim: Text | None = None
    groups: list[GroupRoleSpec] = []
    sign_up: SignUpSpec = SignUpSpec()


class JwtGrantSpec(_Strict):
    """Maps tokens to the API key that they act as. Without a `claim`, it applies to every token."""

    claim: Text | None = None
    value: Text | None = None
    organisation: Text
    key: Text


class JwtIssuerSpec(_Strict):
    """An identity provider whose access tokens are accepted instead of API keys."""

    name: Text
    issuer: Text
    audiences: Annotated[list[Text], Field(min_length=1)]
    jwks_url: Text | None = None
    user_claim: Text | None = None
    grants: Annotated[list[JwtGrantSpec], Field(min_length=1)]


class FileSpec(_Strict):
    """A section that is None is missing in the file, and its stored state is kept.

    `name` identifies the file as a manager: two files for one gateway need different names. `defaults` maps
    endpoints to models.
    """

    version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,63}$")] = "trunkline"
    providers: list[ProviderSpec] | None = None
    routes: list[RouteSpec] | None = None
    organisations: list[OrganisationSpec] | None = None
    cors: CorsSpec | None = None
    defaults: dict[Text, Text] | None = None
    cache: SharedCacheSpec | None = None
    alerts: AlertingSpec | None = None
    accounts: AccountsSpec | None = None
    oidc: list[IdentityProviderSpec] | None = None
    jwt: list[JwtIssuerSpec] | None = None
