"""Envoy's own answers in OpenAI's error shape, which say what happened and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    ExtensionFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Struct, Value

from xds_server.resources.encoding import pack

#: Milliseconds since the request arrived, unless the answer already has the header.
PROCESSING_TIME = HeaderValueOption(
    header=HeaderValue(key="openai-processing-ms", value="%DURATION%"),
    append_action=HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT,
)
#: Envoy's own statuses for which it is unknown whether another attempt helps: clients have rules for them.
_OPEN = frozenset({500, 502, 503, 504})


def local_replies(max_body_bytes: int) -> LocalReplyConfig:
    """Returns one mapper per cause, then one per status. The module's own answers pass unchanged, with the time
    they took.
    """
    return LocalReplyConfig(
        mappers=[
            _mapper(
                _flags("UH", "UF", "NC"),
                message="No target of this model can be reached right now. Send the request again later.",
                kind="server_error",
                code="no_healthy_upstream",
                retry_after=5,
            ),
            _mapper(
                _all(_flags("SI"), _status(408)),
                message="The request did not arrive in full in time. Send it again.",
                code="request_timeout",
                again=True,
            ),
            _mapper(
                _flags("UT", "SI"),
                message="No target answered within this model's time limits.",
                kind="server_error",
                code="upstream_timeout",
                again=None,
            ),
            _mapper(
                _flags("UC", "UR", "LR", "UO", "URX", "LH", "UPE"),
                message="The connection to the target broke before it answered. Send the request again.",
                kind="server_error",
                code="upstream_unreachable",
                retry_after=1,
            ),
            _overload(),
            _mapper(
                _status(413),
                message=f"The request body is larger than this gateway's limit of {max_body_bytes} bytes.",
                code="request_too_large",
            ),
            _upgrade(),
            *(_own(status, message, code) for status, (message, code) in _BY_STATUS.items()),
            ResponseMapper(filter=_status(100, ComparisonFilterOp.GE), headers_to_add=[PROCESSING_TIME]),
        ]
    )


def admin_replies() -> LocalReplyConfig:
    """Returns the mappers of the operators' listener, with the same shape. The servers behind it answer everything
    else themselves.
    """
    return LocalReplyConfig(
        mappers=[
            _mapper(
                _flags("UH", "UF", "NC", "UC", "UR", "LR", "UO", "URX", "LH", "UPE"),
                message="The part of the gateway that answers this is not running right now. Send it again later.",
                kind="server_error",
                code="unavailable",
                status=503,
                retry_after=1,
            ),
            _mapper(
                _all(_flags("UT"), _status(504)),
                message="The part of the gateway that answers this takes too long. A change may have been made.",
                kind="server_error",
                code="deadline_exceeded",
            ),
            _overload(),
            _upgrade(),
            *(_own(status, message, code) for status, (message, code) in (_BY_STATUS | _OF_ADMIN).items()),
        ]
    )


#: Answers that Envoy gives before it knows a route, or to input that is not HTTP as it accepts it.
_BY_STATUS = {
    400: (
        "The request is not valid HTTP. Check its first line, its header lines and its stated length.",
        "bad_request",
    ),
    403: ("This is not allowed here.", "forbidden"),
    404: ("Nothing is served at this path. The API is below /v1.", "unknown_url"),
    405: ("This method is not allowed here.", "method_not_allowed"),
    408: ("The request did not arrive in full in time. Send it again.", "request_timeout"),
    414: ("The request's path is too long.", "uri_too_long"),
    426: ("This version of HTTP is not served: use HTTP/1.1 or HTTP/2.", "http_version_not_supported"),
    431: (
        "The request's header lines are larger than 60 KiB in all, or there are more than 100.",
        "headers_too_large",
    ),
    500: ("The gateway failed. Its operator finds the reason in its log.", "internal_error"),
    501: ("The request's transfer-encoding is not supported: send it plain or chunked.", "not_implemented"),
    502: ("The target's answer was not valid HTTP.", "upstream_protocol_error"),
    503: ("The gateway cannot serve the request right now. Send it again later.", "service_unavailable"),
    504: ("No target answered within this model's time limits.", "upstream_timeout"),
}


#: Replaces the same entries of _BY_STATUS.
_OF_ADMIN = {
    404: ("Nothing is served at this path. The Admin API is below /admin/v1/.", "not_found"),
    413: ("The request body is too large.", "request_too_large"),
    502: ("The server behind this path did not answer in HTTP.", "unavailable"),
    503: ("The gateway cannot serve the request right now. Send it again later.", "unavailable"),
    504: ("The part of the gateway that answers this takes too long.", "deadline_exceeded"),
}


def _overload() -> ResponseMapper:
    return _mapper(
        _details("response.code_details == 'overload'"),
        message="The gateway has no memory left for more requests. Send the request again later.",
        kind="server_error",
        code="gateway_overloaded",
        retry_after=5,
    )


def _upgrade() -> ResponseMapper:
    """Clients that try a WebSocket first, like Codex on /v1/responses, fall back at once on this status."""
    return _mapper(
        _all(_status(403), _details("response.code_details == 'upgrade_failed'")),
        message="This endpoint speaks HTTP and no other protocol: send the request without `upgrade`.",
        code="upgrade_not_supported",
        status=426,
        headers={"upgrade": "HTTP/1.1"},
    )


def _own(status: int, message: str, code: str) -> ResponseMapper:
    """Maps an answer of Envoy's own, not one of our module's, nor one that a route gives itself."""
    words = "response.code_details"
    own = f"!({words}.startsWith('trunkline') || {words} == 'direct_response')"
    condition = _all(_status(status), _details(own))
    kind = "server_error" if status >= 500 else "invalid_request_error"
    again = None if status in _OPEN else status == 408
    return _mapper(condition, message=message, kind=kind, code=code, again=again)


def _mapper(
    condition: AccessLogFilter,
    *,
    message: str,
    code: str,
    kind: str = "invalid_request_error",
    status: int | None = None,
    retry_after: int | None = None,
    again: bool | None = False,
    headers: Mapping[str, str] | None = None,
) -> ResponseMapper:
    """Returns a mapper; `status` replaces Envoy's. `again` says whether another attempt makes sense, None if that
    is unknown; with `retry_after`, it does after that many seconds.
    """
    error = Struct(
        fields={
            "message": Value(string_value=message),
            "type": Value(string_value=kind),
            "param": Value(null_value=0),  # type: ignore[arg-type]
            "code": Value(string_value=code),
        }
    )
    added = dict(headers or {})
    if retry_after is not None:
        again = True
        added |= {"retry-after": str(retry_after), "retry-after-ms": f"{retry_after}000"}
    if again is not None:
        added["x-should-retry"] = "true" if again else "false"
    return ResponseMapper(
        filter=condition,
        status_code=status,
        body_format_override=SubstitutionFormatString(
            json_format=Struct(fields={"error": Value(struct_value=error)}), content_type="application/json"
        ),
        headers_to_add=[
            *(
                HeaderValueOption(
                    header=HeaderValue(key=name, value=value),
                    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
                )
                for name, value in added.items()
            ),
            PROCESSING_TIME,
        ],
    )


def _all(*conditions: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(conditions)))


def _flags(*flags: str) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def _details(condition: str) -> AccessLogFilter:
    """Matches by `response.code_details`, Envoy's word for the cause, for causes without a flag."""
    expression = ExpressionFilter(expression=condition)
    return AccessLogFilter(
        extension_filter=ExtensionFilter(
            name="cel",
            typed_config=pack("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression),
        )
    )


def _status(code: int, op: ComparisonFilterOp = ComparisonFilterOp.EQ) -> AccessLogFilter:
    # Envoy requires the runtime key; nothing sets it.
    return AccessLogFilter(
        status_code_filter=StatusCodeFilter(
            comparison=ComparisonFilter(
                op=op, value=RuntimeUInt32(default_value=code, runtime_key="trunkline.none")
            )
        )
    )
