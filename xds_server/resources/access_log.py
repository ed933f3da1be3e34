"""Envoy's access log: the write-ahead ledger of this edge, one JSON object per request (format version 2).

An entry has what the translator knew when it let the request through, what Envoy measured, and what our module
recorded: the failed attempts, and the usage that the target reported. It never has prompt or completion text.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import (
    JsonFormatOptions,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.google.protobuf import Struct, Value

from xds_server.resources.encoding import pack
from xds_server.resources.names import METADATA

FORMAT_VERSION = 2

FIELDS = {
    # The translator's log context; absent if the translator refused the request.
    "note": "%FILTER_STATE(trunkline.note:PLAIN)%",
    "target": f"%UPSTREAM_METADATA({METADATA}:target)%",
    # Position of the credential among its provider's, from 1; absent for the first one, and for machines.
    "credential": f"%UPSTREAM_METADATA({METADATA}:credential)%",
    "node": f"%UPSTREAM_METADATA({METADATA}:node)%",
    "failed": "%FILTER_STATE(trunkline.failed:PLAIN)%",
    "upstream_id": "%FILTER_STATE(trunkline.upstream_id:PLAIN)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "first_byte_us": "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%",
    "duration_ms": "%DURATION%",
    "usage": "%FILTER_STATE(trunkline.usage:PLAIN)%",
    "events": "%FILTER_STATE(trunkline.events:PLAIN)%",
}


def request_log(path: str) -> AccessLog:
    """Logs every request of the listener, including refused ones."""
    line = {"v": Value(number_value=FORMAT_VERSION)} | {
        name: Value(string_value=value) for name, value in FIELDS.items()
    }
    log = FileAccessLog(
        path=path,
        log_format=SubstitutionFormatString(
            json_format=Struct(fields=line), json_format_options=JsonFormatOptions(sort_properties=False)
        ),
    )
    return AccessLog(
        name="envoy.access_loggers.file",
        typed_config=pack("envoy.extensions.access_loggers.file.v3.FileAccessLog", log),
    )
