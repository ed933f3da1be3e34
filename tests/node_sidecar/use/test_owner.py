from __future__ import annotations

from node_sidecar.use.gpu import Gpu
from node_sidecar.use.owner import gpu_use, memory_free

GIB = 1 << 30


def test_of_use_by_process_the_servers_part_is_taken_off() -> None:
    gpus = [
        Gpu("a", GIB, 99, use_by_process={1: 90, 2: 6, 3: 3}),
        Gpu("b", GIB, 30, use_by_process={1: 10, 2: 20}),
    ]
    assert gpu_use(gpus, {1}, known=True) == (20, True)
    assert gpu_use(gpus, {1, 2, 3}, known=True) == (0, True)
    assert gpu_use(gpus, {1, 2}, known=True) == (3, True)


def test_a_gpu_that_nobody_used_is_not_in_use() -> None:
    assert gpu_use([Gpu("a", GIB, 0, use_by_process={})], {1}, known=True) == (0, True)


def test_without_the_servers_processes_it_is_everybodys() -> None:
    gpus = [Gpu("a", GIB, 99, use_by_process={1: 90, 2: 9})]
    assert gpu_use(gpus, {1}, known=False) == (99, False)


def test_one_gpu_that_tells_totals_only_makes_it_everybodys() -> None:
    gpus = [Gpu("a", GIB, 40, use_by_process={1: 40}), Gpu("b", GIB, 10)]
    assert gpu_use(gpus, {1}, known=True) == (40, False)


def test_what_cannot_be_read() -> None:
    assert gpu_use([], {1}, known=True) == (None, False)
    assert gpu_use([Gpu("a", GIB)], {1}, known=True) == (None, False)
    assert memory_free([Gpu("a", GIB)], {1}) is None
    # Of two GPUs, only the one that reports its use counts.
    assert gpu_use([Gpu("a", GIB), Gpu("b", GIB, 7, use_by_process={2: 7})], {1}, known=True) == (7, True)


def test_memory_that_the_servers_hold_is_left_by_the_owner() -> None:
    gpus = [
        Gpu("a", 24 * GIB, memory_free=1 * GIB, memory_by_process={1: 20 * GIB, 2: 3 * GIB}),
        Gpu("b", 24 * GIB, memory_free=22 * GIB, memory_by_process={}),
    ]
    assert memory_free(gpus, {1}) == 21 * GIB
    assert memory_free(gpus, {1, 2}) == 22 * GIB
    assert memory_free([Gpu("a", 24 * GIB, memory_free=2 * GIB)], {1}) == 2 * GIB
