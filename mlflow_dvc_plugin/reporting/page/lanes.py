"""The versions of the data as lanes, with the runs on them as points, from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_dvc_plugin.reporting.page.data_states import Metric, UsedData, is_edited
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun
from mlflow_dvc_plugin.reporting.times import format_day

MAX_LANES = 40
_LABELS = 176.0  # pixels, as are the others
_SCORES = 104.0
_TOP = 26.0
_LANE, _FLAT_LANE = 50.0, 34.0
_BAND = 15.0  # from the middle of a lane to the highest value
_LEAST_STEP, _MOST_STEP = 5.0, 30.0
_ROOM = 900.0
_DAY = 64.0  # the width of a date


@dataclass(frozen=True)
class Point:
    """A run in the chart."""

    run: RecordedRun
    x: float
    y: float
    value: float | None
    is_best: bool
    is_edited: bool


@dataclass(frozen=True)
class Lane:
    """A state of the data in the chart; `start` and `end` are where its first and last run are."""

    data: UsedData
    number: int
    y: float
    start: float
    end: float
    points: Sequence[Point]


@dataclass(frozen=True)
class Chart:
    """All lanes, the dates above them, and the lowest and highest value of the metric."""

    lanes: Sequence[Lane]
    days: Sequence[tuple[float, str]]
    width: float
    height: float
    left: float
    right: float
    band: float
    low: float | None
    high: float | None
    omitted: int

    @property
    def has_edited(self) -> bool:
        """Is one of the runs on edited data?"""
        return any(point.is_edited for lane in self.lanes for point in lane.points)

    @property
    def has_failed(self) -> bool:
        """Is one of the runs a failed one?"""
        return any(p.run.run.status == "FAILED" for lane in self.lanes for p in lane.points)


def draw_chart(states: Sequence[UsedData], metric: Metric | None) -> Chart:
    """Lay out the newest states. Runs stand in the order in which they started."""
    shown = states[-MAX_LANES:]
    omitted = len(states) - len(shown)
    runs = [each for data in shown for each in data.runs]
    runs.sort(key=lambda each: (each.run.start_time, each.run.run_id))
    step = min(max(_ROOM / max(len(runs), 1), _LEAST_STEP), _MOST_STEP)
    places = {each.run.run_id: _LABELS + (number + 0.5) * step for number, each in enumerate(runs)}
    values = [v for each in runs if metric and (v := metric.read(each)) is not None]
    low, high = (min(values), max(values)) if values else (None, None)
    height = _LANE if values else _FLAT_LANE
    best = metric.find_best(runs) if metric else None
    lanes = []
    for number, data in enumerate(shown):
        middle = _TOP + (number + 0.5) * height
        points = []
        for each in data.runs:
            value = metric.read(each) if metric else None
            y = middle - _scale(value, low, high) * _BAND
            x = places[each.run.run_id]
            points.append(Point(each, x, y, value, each is best, is_edited(each)))
        lanes.append(Lane(data, omitted + number + 1, middle, points[0].x, points[-1].x, points))
    right = _LABELS + len(runs) * step
    bottom = _TOP + len(shown) * height + 4
    days = _find_days(runs, places)
    band = _BAND if values else 0.0
    return Chart(lanes, days, right + _SCORES, bottom, _LABELS, right, band, low, high, omitted)


def _scale(value: float | None, low: float | None, high: float | None) -> float:
    """From -1 for the lowest to 1 for the highest value."""
    if value is None or low is None or high is None or low == high:
        return 0.0
    share = (value / 2 - low / 2) / (high / 2 - low / 2)  # no overflow
    return 2 * share - 1


def _find_days(runs: Sequence[RecordedRun], places: dict[str, float]) -> list[tuple[float, str]]:
    """The first run of each day, where there is room for its date."""
    days: list[tuple[float, str]] = []
    before = ""
    for each in runs:
        day, x = format_day(each.run.start_time), places[each.run.run_id]
        if day != before and (not days or x - days[-1][0] >= _DAY):
            days.append((x, day))
        before = day
    return days
