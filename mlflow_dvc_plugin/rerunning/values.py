"""How much two versions of a file differ, value by value: CSV, TSV, JSON and Parquet."""

from __future__ import annotations

import csv
import json
import math
import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

_MAX_BYTES = 64 * 1024 * 1024  # of one file


@dataclass(frozen=True)
class Difference:
    """How much the values of two versions differ.

    Attributes:
        count: how many values differ.
        largest: the largest difference of two numbers; None if no numbers differ.
        relative: the largest difference in proportion to the larger of its two numbers;
            infinite if something else than numbers differs.
    """

    count: int = 0
    largest: float | None = None
    relative: float = 0.0

    def __add__(self, other: Difference) -> Difference:
        """The difference of several files."""
        known = [each for each in (self.largest, other.largest) if each is not None]
        return Difference(
            self.count + other.count,
            max(known, default=None),
            max(self.relative, other.relative),
        )


def compare_numbers(old: float, new: float) -> Difference:
    """How much two numbers differ; NaN is equal to NaN."""
    if old == new or (math.isnan(old) and math.isnan(new)):
        return Difference()
    distance = abs(new - old)
    if not math.isfinite(distance):
        return Difference(1, math.inf, math.inf)
    return Difference(1, distance, distance / max(abs(old), abs(new)))


def compare_files(name: str, old: str, new: str) -> Difference | None:
    """How much two files differ whose name ends as that of `name`.

    None if the format is not known, a file is too large or not in its format, or the files
    have values in different places.
    """
    read = _READERS.get(posixpath.splitext(name)[1].lower())
    try:
        if read is None or max(os.path.getsize(old), os.path.getsize(new)) > _MAX_BYTES:
            return None
        found = Difference()
        for one, other in zip_longest(read(old), read(new), fillvalue=(None, None)):
            if one[0] != other[0]:
                return None  # a row more, another key: it is not known what belongs together
            found += _compare_values(one[1], other[1])
    except (OSError, ValueError, csv.Error, RecursionError, ImportError):
        return None
    return found


def _compare_values(one: Any, other: Any) -> Difference:
    if one == other:
        return Difference()
    numbers = _to_number(one), _to_number(other)
    if numbers[0] is None or numbers[1] is None:
        return Difference(1, None, math.inf)
    return compare_numbers(numbers[0], numbers[1])


def _to_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


# Each reader gives pairs of a place in the file and the value there.


def _read_separated(path: str, separator: str) -> Iterator[tuple[Any, Any]]:
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter=separator)):
            for column, value in enumerate(row):
                yield (number, column), value


def _read_csv(path: str) -> Iterator[tuple[Any, Any]]:
    return _read_separated(path, ",")


def _read_tsv(path: str) -> Iterator[tuple[Any, Any]]:
    return _read_separated(path, "\t")


def _read_json(path: str) -> Iterator[tuple[Any, Any]]:
    with open(path, "rb") as file:
        yield from _walk((), json.load(file))


def _walk(place: tuple[Any, ...], content: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(content, dict):
        for key in sorted(content):
            yield from _walk((*place, key), content[key])
    elif isinstance(content, list):
        for number, item in enumerate(content):
            yield from _walk((*place, number), item)
    else:
        yield place, content


def _read_parquet(path: str) -> Iterator[tuple[Any, Any]]:
    from pyarrow import parquet  # MLflow has it; mlflow-skinny does not

    table = parquet.read_table(path)
    for name, column in zip(table.column_names, table.columns, strict=True):
        for number, value in enumerate(column.to_pylist()):
            yield (name, number), value


_READERS: dict[str, Callable[[str], Iterator[tuple[Any, Any]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
