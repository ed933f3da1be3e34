"""Metrics for Prometheus: counters and gauges of the translator's parts, histograms of the requests that ended."""

from translator.metrics.page import Metrics
from translator.metrics.part import Part, Sample

__all__ = ["Metrics", "Part", "Sample"]
