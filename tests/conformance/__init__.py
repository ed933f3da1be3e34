"""The xDS protocol specification as cases, run against the core alone and over real gRPC, delta and SotW.

Section titles in the tests are those of
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""
