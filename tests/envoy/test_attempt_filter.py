"""The filter of each attempt: what reaches a target, and what passes of its answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings, strategies as st

from tests.envoy.filters import (
    ATTEMPT,
    AUTHORISE,
    BODY,
    CONTINUE,
    FINAL,
    REPORT,
    REQUEST,
    RESPONSE,
    STOP,
    Decisions,
    Filter,
    asked,
    attempt,
    attempts,
    authorised,
    copies,
    decisions,
    driver,
    ends,
    failed,
    heads,
    request_,
)
from tests.envoy.native import Driver
from translator.checks.answers import Allowed, Answered

__all__ = ["asked", "attempts", "copies", "decisions", "driver", "ends", "heads", "request_"]

#: Names that are escaped in JSON but not in a form.
NAMES = 'речь-1 D:\\models\\w "q"\\'
#: The replacement of the model `m`, by the kind of its place; the original text is `--b`.
INSERTED = {
    "j": b'"m"',
    "f": b"m",
    "o": b'{"model":"m",',
    "p": b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b',
}
places = st.integers(0, 13)
lengths = st.integers(0, 4)


class TestRequestToTarget:
    def test_nothing_that_was_not_let_through_reaches_a_target(self, driver: Driver) -> None:
        with Filter(driver, AUTHORISE) as request, attempt(request) as first:
            assert first.call("request_headers", 0)[0] == STOP
            assert first.response()[:2] == [b"500", b"trunkline_undressed"]

    @pytest.mark.parametrize("metadata", [None, "", "u / key", "u / key "])
    def test_nothing_reaches_a_target_that_is_not_known(self, request_: Filter, metadata: str | None) -> None:
        with Filter(request_.driver, ATTEMPT, request_) as first:
            if metadata is not None:
                first.driver.ask("metadata", first.slot, metadata)
            assert first.call("request_headers", 0)[0] == STOP
            assert first.response()[:2] == [b"500", b"trunkline_undressed"]

    def test_the_client_s_key_does_not_reach_a_target(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            headers = first.headers(REQUEST)
            assert headers["authorization"] == "Bearer key"
            assert headers[":path"] == "/base/chat"
        with attempt(request_, 'u - - target "there"') as second:
            second.call("request_headers", 0)
            headers = second.headers(REQUEST)
            assert "authorization" not in headers
            assert headers[":path"] == "/chat"

    def test_what_a_node_is_sent_reaches_no_one_else(self, request_: Filter) -> None:
        with attempt(request_, 'no - node-1 target "there"') as first:
            first.call("request_headers", 0)
            headers = first.headers(REQUEST)
            assert (headers["x-trunkline-node"], headers["x-trunkline-own"]) == ("node-1", "1")
            assert "authorization" not in headers
        with attempt(request_, 'n - node-2 target "there"') as second:
            second.call("request_headers", 0)
            headers = second.headers(REQUEST)
            assert headers["x-trunkline-node"] == "node-2"
            assert "x-trunkline-own" not in headers
        with attempt(request_) as third:
            third.call("request_headers", 0)
            assert not {"x-trunkline-node", "x-trunkline-own"} & third.headers(REQUEST).keys()

    def test_model_and_usage_are_written_into_the_body(self, request_: Filter) -> None:
        edited = b'{"stream_options":{"include_usage":true},"stream":true,"model":"there","messages":[]}'
        with attempt(request_) as first:
            assert first.call("request_headers", 0)[0] == STOP
            first.driver.ask("metadata", first.slot, 'u /other other other "other"')  # as after a change by EDS
            assert first.call("request_body", 0, BODY[:10], BODY[10:30])[0] == STOP
            assert first.call("request_body", 1, BODY[30:]) == (CONTINUE, edited)
            assert first.headers(REQUEST)["content-length"] == str(len(edited))
        with attempt(request_) as second:
            second.call("request_headers", 0)
            second.call("request_body", 0, BODY)
            assert second.call("request_trailers") == (CONTINUE, edited)

    def test_a_target_that_knows_no_stream_options_is_not_asked(self, request_: Filter) -> None:
        with attempt(request_, 'x - key target "there"') as first:
            first.call("request_headers", 0)
            assert first.call("request_body", 1, BODY) == (CONTINUE, BODY.replace(b"gpt", b"there"))

    def test_a_body_that_fits_passes_as_it_is(self, request_: Filter) -> None:
        with attempt(request_, 'x - key target "gpt"') as first:
            assert first.call("request_headers", 0)[0] == CONTINUE
            assert first.call("request_body", 0, b"any") == (CONTINUE, b"any")
            assert first.call("request_trailers") == (CONTINUE, b"")

    def test_an_edit_outside_the_body_is_refused(self, request_: Filter) -> None:
        for body in (BODY[:27], b""):
            with attempt(request_) as first:
                first.call("request_headers", 0)
                assert first.call("request_body", 1, body) == (STOP, b"")
                assert first.response()[:2] == [b"500", b"trunkline_edit_outside_body"]

    def test_a_form_gets_the_name_without_its_quotes(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        with authorised(driver, decisions, Allowed("r", path="/x", model="2:3:f:old")) as request:
            with attempt(request, 'u - key target "new name"') as first:
                first.call("request_headers", 0)
                assert first.call("request_body", 1, b"--old--") == (CONTINUE, b"--new name--")
            with attempt(request, 'u - key target "old"') as second:
                assert second.call("request_headers", 0)[0] == CONTINUE
            with attempt(request, f"u - key target {json.dumps(NAMES, ensure_ascii=False)}") as third:
                third.call("request_headers", 0)
                assert third.call("request_body", 1, b"--old--") == (CONTINUE, f"--{NAMES}--".encode())

    @pytest.mark.parametrize(
        ("place", "body", "edited"),
        [
            ("1:1:o:{", b' {"input":1}', b' {"model":"a \\"b\\"","input":1}'),
            ('9:2:j:""', b'{"model":"","input":1}', b'{"model":"a \\"b\\"","input":1}'),
            ("9:4:j:null", b'{"model":null}', b'{"model":"a \\"b\\""}'),
            ("3:0:f:", b"--\n--", b'--\na "b"--'),
            ("0:3:p:--b", b"--b--", b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\na "b"\r\n--b--'),
        ],
    )
    def test_a_target_gets_a_model_that_the_client_did_not_name(
        self, driver: Driver, decisions: Decisions, place: str, body: bytes, edited: bytes
    ) -> None:
        with authorised(driver, decisions, Allowed("r", path="/x", model=place)) as request:
            for _ in range(2):
                with attempt(request, 'u - key target "a \\"b\\""') as made:
                    assert made.call("request_headers", 0)[0] == STOP
                    assert made.call("request_body", 1, body) == (CONTINUE, edited)
                    assert made.headers(REQUEST)["content-length"] == str(len(edited))

    @settings(max_examples=300)
    @given(
        st.binary(min_size=8, max_size=12),
        *(places, lengths, places, lengths),
        st.binary(max_size=3),
        st.sampled_from(sorted(INSERTED)),
    )
    def test_edits_are_slices(
        self,
        driver: Driver,
        decisions: dict[bytes, Allowed | Answered | bytes],
        body: bytes,
        place: int,
        length: int,
        model_place: int,
        model_length: int,
        text: bytes,
        kind: str,
    ) -> None:
        inserted = text.hex()
        model = f"{model_place}:{model_length}:{kind}:--b"
        decision = Allowed("r", path="/x", usage=f"{place}:{length}:{inserted}", model=model)
        edits = [(model_place, model_length, INSERTED[kind]), (place, length, inserted.encode())]
        expected, position = b"", 0
        fits = True
        for start, size, new in sorted(edits, key=lambda edit: edit[0]):
            fits = fits and position <= start and start + size <= len(body)
            expected += body[position:start] + new
            position = start + size
        expected += body[position:]
        with authorised(driver, decisions, decision) as request, attempt(request, 'u - key target "m"') as first:
            first.call("request_headers", 0)
            result = first.call("request_body", 1, *(body[at : at + 1] for at in range(len(body))))
        assert result == ((CONTINUE, expected) if fits else (STOP, b""))


class TestAnswerOfTarget:
    def test_its_usage_is_logged_and_its_report_hidden(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream; charset=utf-8"})
            first.add(RESPONSE, content_length="9")
            assert first.call("response_headers", 0)[0] == STOP
            assert first.call("response_body", 0, b"data: 1\n\n" + REPORT[:20]) == (CONTINUE, b"data: 1\n\n")
            assert "content-length" not in first.headers(RESPONSE)
            assert first.call("response_body", 0, REPORT[20:30], REPORT[30:]) == (CONTINUE, b"")
            assert first.call("response_body", 1) == (CONTINUE, b"")
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b'{"usage":{"total_tokens":3}}'
        assert request_.state("trunkline.events") == b"2:%d" % (9 + len(REPORT))
        assert request_.state("trunkline.failed") is None

    def test_a_report_is_hidden_also_if_its_target_was_not_asked_for_it(self, request_: Filter) -> None:
        """Some targets always report usage, and refuse requests that ask for it."""
        with attempt(request_, '- - key target "there"') as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            first.call("response_headers", 0)
            token = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
            assert first.call("response_body", 1, token + REPORT) == (CONTINUE, token)

    @pytest.mark.parametrize("trailers", [True, False])
    def test_the_end_of_a_stream_is_not_kept(self, request_: Filter, trailers: bool) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            first.call("response_headers", 0)
            assert first.call("response_body", 0, b"data: 1\n\ndata:") == (CONTINUE, b"data: 1\n\n")
            last = first.call("response_trailers") if trailers else first.call("response_body", 1, b"")
            assert last == (CONTINUE, b"data:")

    def test_a_plain_answers_usage_is_logged(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "application/json"})
            first.call("response_headers", 0)
            pieces = [b'{"usage":{"to', *(b"%d" % (number % 10) for number in range(30)), b'_tokens":1}}']
            assert first.call("response_body", 1, *pieces) == (CONTINUE, b"".join(pieces))
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b"".join(pieces)
        assert request_.state("trunkline.events") is None

    def test_what_a_failed_attempt_said_about_its_usage_is_forgotten(self, request_: Filter) -> None:
        for body in (b'{"usage":{"total_tokens":9}}', b'{"usage":{"total_tokens":3}}'):
            with attempt(request_) as each:
                each.call("request_headers", 0)
                each.add(RESPONSE, **{":status": "200", "content-type": "application/json"})
                each.call("response_headers", 0)
                each.call("response_body", 1, body)
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b'{"usage":{"total_tokens":3}}'

    def test_a_compressed_answer_passes_unread_and_is_noted(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            assert first.headers(REQUEST)["accept-encoding"] == "identity"
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            first.add(RESPONSE, **{"content-encoding": "gzip"})
            first.call("response_headers", 0)
            assert first.call("response_body", 1, REPORT) == (CONTINUE, REPORT)
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b'{"usage":null,"coding":"gzip"}'
        assert request_.state("trunkline.events") is None

    def test_what_is_neither_passes(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "audio/mpeg"})
            first.call("response_headers", 0)
            assert first.call("response_body", 1, REPORT) == (CONTINUE, REPORT)
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") is None

    @pytest.mark.parametrize("status", ["401", "403"])
    @pytest.mark.parametrize("end", ["headers", "body", "trailers"])
    def test_a_refusal_of_our_credential_is_not_the_clients(self, request_: Filter, status: str, end: str) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": status, "content-type": "text/plain", "content-length": "9"})
            first.add(RESPONSE, www_authenticate="x", content_encoding="gzip")
            _, body = first.call("response_headers", int(end == "headers"))
            if end != "headers":
                assert body == b""
                _, body = first.call("response_body", 0, b"your key ", b"sk-secret")
                assert bool(body) == (status != "401")  # whose text may name a permission
            if end == "body":
                body += first.call("response_body", 1, b"!")[1]
            if end == "trailers":
                body += first.call("response_trailers")[1]
            headers = {":status": FINAL, "content-type": "application/json", "content-length": str(len(body))}
            assert first.headers(RESPONSE) == headers
            assert b"account (%s)" % status.encode() in body
            assert b"sk-secret" not in body
        request_.driver.ask("complete", request_.slot)
        assert failed(request_) == f"target={status}".encode()

    def test_every_attempt_that_failed_is_noted_once(self, request_: Filter) -> None:
        for status, name in (("500", "a"), (None, "b"), ("429", "c"), (None, "d"), ("200", "e")):
            with attempt(request_, f'u - key {name} "there"') as made:
                made.call("request_headers", 0)
                if status:
                    made.add(RESPONSE, **{":status": status})
                    made.call("response_headers", 0)
        request_.driver.ask("complete", request_.slot)
        assert failed(request_) == b"a=500 b=0 c=429 d=0"

    def test_only_what_a_client_needs_goes_to_it(self, request_: Filter) -> None:
        kept = {
            ":status": "200", "content-type": "audio/mpeg", "content-length": "3", "retry-after": "7",
            "cache-control": "no-store", "content-disposition": "x", "openai-version": "1",
            "openai-processing-ms": "5", "retry-after-ms": "6500", "x-should-retry": "false",
        }  # fmt: skip
        gone = (
            "location", "alt-svc", "strict-transport-security", "clear-site-data", "set-cookie", "server-timing",
            "access-control-allow-origin", "x-ratelimit-limit", "x-trunkline-a", "x-envoy-b", "www-authenticate",
            "openai-organization", "link", "refresh", "content-location", *(f"x-{number}" for number in range(80)),
        )  # fmt: skip
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **kept, **dict.fromkeys(gone, "1"), **{"x-request-id": "upstream\x01 1"})
            first.add(RESPONSE, set_cookie="again")
            first.call("response_headers", 0)
            assert first.headers(RESPONSE) == {**kept, "x-trunkline-upstream-request-id": "upstream1"}
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.upstream_id") == b"upstream1"

    @pytest.mark.parametrize("after", ["", "soon", "-1", "Fri, 27 Nov 2026 01:00:00 GMT", "123456789"])
    def test_when_to_come_back_is_a_number_of_seconds(self, request_: Filter, after: str) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "400", "retry-after": after})
            first.call("response_headers", 0)
            assert not first.headers(RESPONSE).get("retry-after")

    @pytest.mark.parametrize(
        ("name", "value", "kept"),
        [
            ("retry-after-ms", "99999999999", True),
            ("retry-after-ms", "999999999999", False),
            ("retry-after-ms", "0.5", False),
            ("retry-after-ms", "-1", False),
            ("x-should-retry", "true", True),
            ("x-should-retry", "True", False),
            ("x-should-retry", "maybe", False),
        ],
    )
    def test_advice_to_clients_is_what_they_know(
        self, request_: Filter, name: str, value: str, *, kept: bool
    ) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "400", name: value})
            first.call("response_headers", 0)
            assert first.headers(RESPONSE).get(name) == (value if kept else None)

    @pytest.mark.parametrize(
        ("sent", "completed"),
        [
            ({"retry-after": "7"}, ("7", "7000", "true")),
            ({"retry-after": "61"}, ("61", "61000", "false")),
            ({"retry-after": "7", "retry-after-ms": "6001"}, ("7", "6001", "true")),
            ({"retry-after": "7", "x-should-retry": "false"}, ("7", "7000", "false")),
            ({"retry-after": "soon", "x-should-retry": "soon"}, (None, None, None)),
            ({"retry-after-ms": "6001"}, (None, "6001", None)),
        ],
    )
    def test_what_follows_from_when_to_come_back_is_reported(
        self, request_: Filter, sent: dict[str, str], completed: tuple[str | None, ...]
    ) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "429"}, **sent)
            first.call("response_headers", 0)
            shown = first.headers(RESPONSE)
            assert tuple(map(shown.get, ("retry-after", "retry-after-ms", "x-should-retry"))) == completed

    def test_trailers_end_here(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "audio/mpeg"})
            first.call("response_headers", 0)
            first.add(RESPONSE + 1, location="x", x_secret="y")
            assert first.call("response_trailers") == (CONTINUE, b"")
            assert first.headers(RESPONSE + 1) == {}

    @pytest.mark.parametrize("status", ["200", "400", "500"])
    @pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
    def test_the_credential_is_in_no_answer(self, request_: Filter, status: str, kind: str) -> None:
        text = b'data: {"id":"x","choices":[1],"text":"key sk-secret-1/2 or sk-\\u0073ecret-1\\/2!"}\n\n'
        with attempt(request_, 'u - sk-secret-1/2 target "there"') as first:
            first.call("request_headers", 0)
            first.add(
                RESPONSE, **{":status": status, "content-type": kind, "content-disposition": "sk-secret-1/2"}
            )
            first.call("response_headers", 0)
            pieces = [first.call("response_body", 0, text[at : at + 1])[1] for at in range(len(text))]
            pieces.append(first.call("response_body", 1)[1])
            assert first.headers(RESPONSE)["content-disposition"] == "*" * 13
        assert b"".join(pieces) == text.replace(b"sk-secret-1/2", b"*" * 13).replace(
            b"sk-\\u0073ecret-1\\/2", b"*" * 19
        )
