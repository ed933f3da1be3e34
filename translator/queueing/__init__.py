"""Decides which requests wait for a place, and whose turn is next: pure rules without I/O and without a clock."""

from translator.queueing.fair import FairQueue, Flow
from translator.queueing.line import Forecast, Line
from translator.queueing.rate import PlaceRate

__all__ = ["FairQueue", "Flow", "Forecast", "Line", "PlaceRate"]
