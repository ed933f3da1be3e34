"""Counts how much of each limit is taken: by what was used, and by what running requests have reserved."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from translator.limits import windows
from translator.limits.limit import Metric, parts_of

#: Steps of a sliding window.
SUBDIVISIONS = 60


class Bucket:
    """The amount taken in one step or window. `live` says that it still counts."""

    __slots__ = ("amount", "live", "step")

    def __init__(self, step: int, amount: int = 0, *, live: bool = True) -> None:
        self.step = step
        self.amount = amount
        self.live = live


class SlidingCounter:
    """Counts in a sliding window of `seconds`, in steps of a sixtieth of it.

    The amount taken in a step counts until the whole step is older than the window. So no window of this length,
    wherever it begins, contains more than `total` admitted, and amounts are free again at most one step late.

    If the clock is set back by less than a window, nothing changes until it has caught up. If it is set back
    further, the counted amounts move with it. Neither frees anything.
    """

    __slots__ = ("_buckets", "_head", "_rate", "_seconds", "metric", "total")

    def __init__(self, metric: Metric, seconds: int) -> None:
        self.metric = metric
        self.total = 0
        self._seconds = seconds
        self._rate = SUBDIVISIONS / seconds
        self._head = -1
        self._buckets: deque[Bucket] = deque()

    @property
    def idle(self) -> bool:
        """True if nothing counts any more, as of the last `advance`."""
        return not self._buckets

    def advance(self, at: float) -> None:
        """Moves to the moment `at` of the clock."""
        step = int(at * self._rate)
        if step == self._head:
            return
        if step > self._head:
            self._head = step
            buckets = self._buckets
            while buckets and buckets[0].step < step - SUBDIVISIONS:
                gone = buckets.popleft()
                gone.live = False
                self.total -= gone.amount
        elif self._head - step > SUBDIVISIONS:
            for bucket in self._buckets:
                bucket.step -= self._head - step
            self._head = step

    def add(self, amount: int) -> Bucket:
        """Adds an amount now, as of the last `advance`."""
        buckets = self._buckets
        if not buckets or buckets[-1].step != self._head:
            buckets.append(Bucket(self._head))
        bucket = buckets[-1]
        bucket.amount += amount
        self.total += amount
        return bucket

    def add_at(self, at: float, amount: int) -> Bucket:
        """Adds an amount at a moment that may have passed."""
        step = int(at * self._rate)
        if step >= self._head:
            self.advance(at)
            return self.add(amount)
        if step < self._head - SUBDIVISIONS:
            return Bucket(step, amount, live=False)
        self.total += amount
        place = 0
        for bucket in self._buckets:
            if bucket.step == step:
                bucket.amount += amount
                return bucket
            if bucket.step > step:
                break
            place += 1
        missed = Bucket(step, amount)
        self._buckets.insert(place, missed)
        return missed

    def renews(self, excess: int) -> float:
        """Returns when `excess` of the taken amount, or all of it if that is less, will be free, in Unix
        seconds.
        """
        step = self._head
        for bucket in self._buckets:
            step = bucket.step
            excess -= bucket.amount
            if excess <= 0:
                break
        return (step + SUBDIVISIONS + 1) / self._rate

    def cleared(self) -> float:
        """Returns when the whole taken amount will be free, in Unix seconds; 0 if nothing is taken."""
        return (self._buckets[-1].step + SUBDIVISIONS + 1) / self._rate if self._buckets else 0.0

    def lasts_until(self, at: float) -> float:
        """Returns when the window that began at `at` ends."""
        return at + self._seconds

    def state(self) -> list[int]:
        """Returns the state for `load`: the head, then step and amount of every bucket."""
        flat = [self._head]
        for bucket in self._buckets:
            flat += (bucket.step, bucket.amount)
        return flat

    def load(self, state: Sequence[int]) -> None:
        """Restores what `state` returned."""
        self._head = state[0]
        self._buckets = _buckets(state[1:])
        self.total = sum(bucket.amount for bucket in self._buckets)

    def bucket(self, step: int) -> Bucket:
        """Returns the live bucket of a step, or a dead one."""
        return next((each for each in self._buckets if each.step == step), Bucket(step, live=False))


class WindowCounter:
    """Counts in a fixed or calendar window. A clock that is set back is treated as by `SlidingCounter`."""

    __slots__ = ("_bounds", "_bucket", "_end", "_start", "metric", "total")

    def __init__(self, metric: Metric, window: str) -> None:
        self.metric = metric
        self.total = 0
        self._bounds = windows.bounds(window)
        self._start = self._end = 0.0
        self._bucket = Bucket(0, live=False)

    @property
    def idle(self) -> bool:
        return not self._bucket.live

    def advance(self, at: float) -> None:
        if self._start <= at < self._end:
            return
        if at >= self._end:
            self._bucket.live = False
            self._bucket = Bucket(0, live=False)
            self.total = 0
        elif self._start - at < self._end - self._start:
            return
        self._start, self._end = self._bounds(at)
        self._bucket.step = int(self._start)

    def add(self, amount: int) -> Bucket:
        bucket = self._bucket
        bucket.live = True
        bucket.amount += amount
        self.total += amount
        return bucket

    def add_at(self, at: float, amount: int) -> Bucket:
        """Adds an amount of an earlier moment. One from a past window counts nowhere."""
        if at < self._start:
            return Bucket(int(at), amount, live=False)
        self.advance(at)
        return self.add(amount)

    def renews(self, excess: int) -> float:
        """Returns the end of the window, at which everything renews at once."""
        return self._end

    def cleared(self) -> float:
        return self._end if self._bucket.live else 0.0

    def lasts_until(self, at: float) -> float:
        return self._end

    def state(self) -> list[int]:
        return [self._bucket.step, self._bucket.amount] if self._bucket.live else []

    def load(self, state: Sequence[int]) -> None:
        for bucket in _buckets(state):
            self._bucket = bucket
            self.total = bucket.amount
            self._start, self._end = self._bounds(bucket.step)

    def bucket(self, step: int) -> Bucket:
        return self._bucket if self._bucket.live and self._bucket.step == step else Bucket(step, live=False)


class InFlightCounter:
    """Counts concurrent requests; has no window. Its state follows from the reservations."""

    __slots__ = ("metric", "total")

    def __init__(self) -> None:
        self.metric = Metric.CONCURRENCY
        self.total = 0

    @property
    def idle(self) -> bool:
        return self.total == 0

    def advance(self, at: float) -> None:
        pass

    def add(self, amount: int) -> Bucket:
        self.total += amount
        return _IN_FLIGHT

    def add_at(self, at: float, amount: int) -> Bucket:
        return self.add(amount)

    def renews(self, excess: int) -> float:
        """Returns 0: nobody knows when a request ends, so the client may try again at once."""
        return 0.0

    def cleared(self) -> float:
        return 0.0

    def lasts_until(self, at: float) -> float:
        """Returns an hour later, because there is no window."""
        return at + windows.FIXED_FROM_SECONDS

    def state(self) -> list[int]:
        return []

    def load(self, state: Sequence[int]) -> None:
        pass

    def bucket(self, step: int) -> Bucket:
        return _IN_FLIGHT


_IN_FLIGHT = Bucket(0, live=False)

Counter = SlidingCounter | WindowCounter | InFlightCounter


def counter(limit_id: str) -> Counter:
    """Returns a new counter for the limit of this id. Raises LimitError."""
    metric, window = parts_of(limit_id)
    if metric is Metric.CONCURRENCY:
        return InFlightCounter()
    if windows.is_sliding(window):
        return SlidingCounter(metric, int(window))
    return WindowCounter(metric, window)


def _buckets(flat: Iterable[int]) -> deque[Bucket]:
    numbers = iter(flat)
    return deque(Bucket(step, amount) for step, amount in zip(numbers, numbers, strict=True))
