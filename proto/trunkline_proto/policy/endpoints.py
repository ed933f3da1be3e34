"""The endpoints whose requests name a model, by their paths below /v1."""

from __future__ import annotations

ENDPOINTS = (
    "chat/completions",
    "completions",
    "responses",
    "embeddings",
    "moderations",
    "rerank",
    "images/generations",
    "images/edits",
    "images/variations",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
)
