"""Envoy's access log: the write-ahead ledger of this edge, one JSON object per request (format version 1).

It has what the translator knew when it let the request through, what Envoy measured, and what chain.lua noted: the
targets tried, how they refused, and the usage that the target reported. Never prompt or completion text.
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

FORMAT_VERSION = 1
_DECIDED = "envoy.filters.http.ext_authz:x-trunkline-"
_NOTED = "trunkline.ledger:"

FIELDS = {
    "kind": "request",
    "id": f"%DYNAMIC_METADATA({_DECIDED}request)%",
    "start": "%START_TIME(%s.%6f)%",
    "org": f"%DYNAMIC_METADATA({_DECIDED}org)%",
    "key": f"%DYNAMIC_METADATA({_DECIDED}key)%",
    "route": f"%DYNAMIC_METADATA({_DECIDED}route)%",
    "model": f"%DYNAMIC_METADATA({_DECIDED}name)%",
    "hold": f"%DYNAMIC_METADATA({_DECIDED}hold)%",
    "user": f"%DYNAMIC_METADATA({_DECIDED}user)%",
    "tag": f"%DYNAMIC_METADATA({_DECIDED}label)%",
    "target": f"%UPSTREAM_METADATA({METADATA}:target)%",
    "node": f"%UPSTREAM_METADATA({METADATA}:node)%",
    "tried": f"%DYNAMIC_METADATA({_NOTED}tried)%",
    "refused": f"%DYNAMIC_METADATA({_NOTED}refused)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "first_byte_us": "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%",
    "duration_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "duration_ms": "%DURATION%",
    "usage": f"%DYNAMIC_METADATA({_NOTED}usage)%",
    "events": f"%DYNAMIC_METADATA({_NOTED}events)%",
}


def request_log(path: str) -> AccessLog:
    """Every request of the listener, also refused ones."""
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
