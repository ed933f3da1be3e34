from __future__ import annotations

import pytest

from trunkline.smoke.client import SmokeResponse


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no such URL", "code": null}}', "404: no such URL"),
        (
            b'{"error": {"message": "no such model", "code": "model_not_found"}}',
            "404 model_not_found: no such model",
        ),
        (b"<html>", "404: an answer that is not in OpenAI's shape"),
    ],
)
def test_a_problem_is_one_line(body: bytes, said: str) -> None:
    assert SmokeResponse(404, {}, body, 1).problem == said
