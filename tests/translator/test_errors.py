"""The advice that refusals give to clients."""

from __future__ import annotations

import pytest

from translator.errors import LONGEST_WAIT, Refusal


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (400, {}, (None, "false")),
        (401, {}, (None, "false")),
        (404, {}, (None, "false")),
        (408, {}, (None, "true")),
        (413, {}, (None, "false")),
        (429, {}, (None, "false")),  # a budget that does not renew
        (429, {"retry-after": "7"}, ("7000", "true")),
        (429, {"retry-after": "7", "retry-after-ms": "6001"}, ("6001", "true")),
        (429, {"retry-after": str(LONGEST_WAIT)}, (f"{LONGEST_WAIT}000", "true")),
        (429, {"retry-after": "86400"}, ("86400000", "false")),
        (500, {}, (None, None)),
        (503, {"retry-after": "1"}, ("1000", "true")),
    ],
)
def test_a_refusal_says_whether_and_when_to_try_again(
    status: int, headers: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    answer = Refusal(status, "code", "A sentence.", headers=headers).response()
    assert (answer.headers.get("retry-after-ms"), answer.headers.get("x-should-retry")) == expected
    assert headers.items() <= {name: answer.headers[name] for name in headers}.items()
