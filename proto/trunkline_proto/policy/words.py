"""The words of the policy's enumerations."""

from __future__ import annotations

from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.words import Words

CACHE_SCOPES = Words(policy.CacheScope)
EACHES = Words(policy.Each)
PROMPT_CACHE_KEYS = Words(policy.PromptCacheKey)
METRICS = Words(policy.Metric, separator="_")
#: What quotas of credentials count.
QUOTA_METRICS = Words(policy.Metric, only=("requests", "tokens"))
PRIORITIES = Words(policy.Priority)
CALENDARS = Words(policy.Calendar)
AFFINITIES = Words(policy.Affinity)
