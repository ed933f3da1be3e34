"""Envoy's own answers, in OpenAI's error shape, saying what happened and what to do."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
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


def local_replies(max_body_bytes: int) -> LocalReplyConfig:
    """One mapper per cause. The translator's refusals, which have none of these flags, pass as they are."""
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
                _flags("UT", "SI"),
                message="No target answered within this model's time limits.",
                kind="server_error",
                code="upstream_timeout",
            ),
            _mapper(
                _flags("UC", "UR", "LR", "UO", "URX", "LH", "UPE"),
                message="The connection to the target broke before it answered. Send the request again.",
                kind="server_error",
                code="upstream_unreachable",
                retry_after=1,
            ),
            _mapper(
                _details("overload"),
                message="The gateway has no memory left for more requests. Send the request again later.",
                kind="server_error",
                code="gateway_overloaded",
                retry_after=5,
            ),
            _mapper(
                _status(413),
                message=f"The request body is larger than this gateway's limit of {max_body_bytes} bytes.",
                kind="invalid_request_error",
                code="request_too_large",
            ),
        ]
    )


def _mapper(
    condition: AccessLogFilter, *, message: str, kind: str, code: str, retry_after: int | None = None
) -> ResponseMapper:
    error = Struct(
        fields={
            "message": Value(string_value=message),
            "type": Value(string_value=kind),
            "param": Value(null_value=0),  # type: ignore[arg-type]
            "code": Value(string_value=code),
        }
    )
    headers = []
    if retry_after is not None:
        headers.append(
            HeaderValueOption(
                header=HeaderValue(key="retry-after", value=str(retry_after)),
                append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
            )
        )
    return ResponseMapper(
        filter=condition,
        body_format_override=SubstitutionFormatString(
            json_format=Struct(fields={"error": Value(struct_value=error)}), content_type="application/json"
        ),
        headers_to_add=headers,
    )


def _flags(*flags: str) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def _details(text: str) -> AccessLogFilter:
    """By Envoy's own word for the cause, where it has no flag."""
    expression = ExpressionFilter(expression=f"response.code_details == '{text}'")
    return AccessLogFilter(
        extension_filter=ExtensionFilter(
            name="cel",
            typed_config=pack("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression),
        )
    )


def _status(code: int) -> AccessLogFilter:
    # The runtime key is required by Envoy; nothing sets it.
    return AccessLogFilter(
        status_code_filter=StatusCodeFilter(
            comparison=ComparisonFilter(
                op=ComparisonFilterOp.EQ, value=RuntimeUInt32(default_value=code, runtime_key="trunkline.none")
            )
        )
    )
