"""The schema of trunkline.yaml.

A `Spec` is an object as the file describes it; the control plane makes an object of the desired state from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trunkline.config import limit_syntax, units
from trunkline.config.notations import (
    Affinity,
    Amount,
    CacheScope,
    Count,
    Credential,
    Each,
    KeyValue,
    Metric,
    MicroUsd,
    Milliseconds,
    Password,
    PerSecond,
    Priority,
    Privacy,
    PromptCacheKey,
    QuotaAmount,
    QuotaMetric,
    QuotaWindow,
    Role,
    Seconds,
    Share,
    Strategy,
    Text,
    UnixSeconds,
    Window,
)


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
            raise ValueError("`time_zone` is accepted only with the windows day, week and month")
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
    per: QuotaWindow
    amount: QuotaAmount

    @model_validator(mode="before")
    @classmethod
    def _in_one_word(cls, given: Any) -> Any:
        return limit_syntax.whole(given) if isinstance(given, str) else given


class CredentialSpec(_Strict):
    """A credential with its own quota. In the file, a credential without one may be just its value: `env:NAME`.

    `value` None keeps the stored one at its place in the list.
    """

    value: Credential | None = Field(default=None, repr=False)
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
    value: KeyValue | None = Field(default=None, repr=False)
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
    password: Password | None = Field(default=None, repr=False)
    ca_file: Text | None = None


class AlertingSpec(_Strict):
    """The receiver of alerts of limits; `secret` None keeps the stored one."""

    webhook: Text
    secret: Credential | None = Field(default=None, repr=False)


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
    client_secret: Credential | None = Field(default=None, repr=False)
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
