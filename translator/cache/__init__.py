"""Answers that are kept for requests that ask for the same again (docs/cache.md).

`key` says which requests are the same, `answers` and `chat` which answers may be kept and in which forms they are
given out; all three are pure. `memory` and `remote` keep them, and `gate` decides about one request.
"""
