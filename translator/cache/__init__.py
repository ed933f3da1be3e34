"""Answers that are cached for identical requests (docs/cache.md).

`key` says which requests are identical; `answers` and `chat` say which answers may be cached and in which forms
they are returned. All three are pure. `memory` and `remote` store answers, and `gate` decides about one request.
"""
