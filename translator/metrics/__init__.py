"""Metrics for Prometheus: counters and gauges of the translator's parts, and histograms of finished requests."""

from translator.metrics.page import Metrics
from translator.metrics.text import Sample

__all__ = ["Metrics", "Sample"]
