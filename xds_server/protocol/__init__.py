"""Implements the ADS protocol without I/O: requests and snapshots go in, encoded responses come out.

There is one `DeltaStream` or `SotwStream` per connected stream, one `ResponseEncoder` per server, and one call of
`changes_between` per pair of snapshots. https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""
