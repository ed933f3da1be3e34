"""Metrics for Prometheus: counters and gauges of the translator's parts, and histograms of finished requests."""

from translator.metrics.family import MetricFamily, Sample
from translator.metrics.page import Metrics

__all__ = ["MetricFamily", "Metrics", "Sample"]
