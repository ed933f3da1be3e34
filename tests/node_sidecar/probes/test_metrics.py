from __future__ import annotations

from node_sidecar.probes import metrics

PAGE = """\
# HELP a_total Things.
# TYPE a_total counter
a_total{x="1} 9",y="b"} 3.0
a_total{x="2"} 4 1395066363000
ratio 0.25
ratio{x="1"} 0.75
bad nonsense
infinite +Inf
"""


def test_labels_are_summed_or_the_fullest_counts() -> None:
    samples = metrics.read(PAGE, {"a_total", "ratio", "bad", "infinite"})
    assert metrics.count(samples, "a_total") == 7
    assert metrics.permille(samples, "ratio") == 750
    assert metrics.count(samples, "bad") is None
    assert metrics.count(samples, "infinite") is None


def test_the_first_name_that_is_there_counts() -> None:
    samples = metrics.read("new 1\nold 5\n", {"new", "old"})
    assert metrics.count(samples, "missing", "new", "old") == 1


def test_numbers_out_of_range_are_brought_into_it() -> None:
    samples = metrics.read("low -1\nfull 1.7\n", {"low", "full"})
    assert metrics.count(samples, "low") == 0
    assert metrics.permille(samples, "full") == 1000
