"""Metrics for Prometheus: counters and gauges of the translator's parts, and histograms of finished requests."""

from trunkline_proto.metrics.text import Sample

from translator.metrics.page import Metrics

__all__ = ["Metrics", "Sample"]
