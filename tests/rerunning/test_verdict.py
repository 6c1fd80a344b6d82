"""What is the same, and by how much the rest differs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mlflow_dvc_plugin.rerunning.values import Difference, compare_files, compare_numbers
from mlflow_dvc_plugin.rerunning.verdict import (
    Comparison,
    Tolerance,
    combine,
    compare_inputs,
    compare_metrics,
)
from mlflow_dvc_plugin.state import DataState, Entry

NAN, INF = math.nan, math.inf


def compared(tmp_path: Path, name: str, old: str, new: str) -> Difference | None:
    (tmp_path / "old").write_text(old)
    (tmp_path / "new").write_text(new)
    return compare_files(name, str(tmp_path / "old"), str(tmp_path / "new"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1.0, 1.0, Difference()),
        (NAN, NAN, Difference()),
        (INF, INF, Difference()),
        (0.0, -0.0, Difference()),
        (4.0, 5.0, Difference(1, 1.0, 0.2)),
        (5.0, 4.0, Difference(1, 1.0, 0.2)),
        (0.0, 1e-300, Difference(1, 1e-300, 1.0)),
        (-1.0, 1.0, Difference(1, 2.0, 2.0)),
        (1.0, NAN, Difference(1, INF, INF)),
        (INF, -INF, Difference(1, INF, INF)),
        (1.0, INF, Difference(1, INF, INF)),
    ],
)
def test_numbers_differ_in_proportion_to_the_larger(
    old: float, new: float, expected: Difference
) -> None:
    assert compare_numbers(old, new) == expected


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("a.csv", "x,y\n1,2\n3,4\n", "x,y\n1,2\n3,5\n", Difference(1, 1.0, 0.2)),
        ("a.CSV", "1\n2\n", "2\n4\n", Difference(2, 2.0, 0.5)),
        ("a.csv", "1.0\n", "1.00\n", Difference()),
        ("a.csv", "a\n", "b\n", Difference(1, None, INF)),
        ("a.csv", "1\n", "1\n2\n", None),
        ("a.csv", "1,2\n", "1\n2\n", None),
        ("a.tsv", "a\t10\n", "a\t8\n", Difference(1, 2.0, 0.2)),
        ("a.json", '{"a": [1, {"b": 2}]}', '{"a": [1, {"b": 4}]}', Difference(1, 2.0, 0.5)),
        ("a.json", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', Difference()),
        ("a.json", '{"a": 1}', '{"b": 1}', None),
        ("a.json", '{"a": true}', '{"a": false}', Difference(1, None, INF)),
        ("a.json", '{"a": null}', '{"a": 1}', Difference(1, None, INF)),
        ("a.json", "{", "{}", None),
        ("a.json", "[" * 100_000, "[]", None),
        ("a.json", "1e999", "1", Difference(1, INF, INF)),
        ("a.json", "1" * 400, "1", Difference(1, None, INF)),
        ("a.csv", "\0", "1", Difference(1, None, INF)),
        ("model.pkl", "1", "2", None),
        ("a.parquet", "1", "2", None),
    ],
)
def test_files_are_compared_value_by_value(
    tmp_path: Path, name: str, old: str, new: str, expected: Difference | None
) -> None:
    assert compared(tmp_path, name, old, new) == expected


def test_a_file_that_is_not_text_is_not_compared(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"\xff\xfe")
    (tmp_path / "new").write_bytes(b"1")
    assert compare_files("a.csv", str(tmp_path / "old"), str(tmp_path / "new")) is None


def test_parquet_is_compared_by_column_and_row(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for name, last in (("old", 4.0), ("new", 5.0)):
        table = pa.table({"a": [1, 2, 3], "b": ["x", "y", None], "c": [None, 2.0, last]})
        parquet.write_table(table, tmp_path / name)
    found = compare_files("a.parquet", str(tmp_path / "old"), str(tmp_path / "new"))
    assert found == Difference(1, 1.0, 0.2)


def test_the_default_tolerance_is_a_millionth() -> None:
    old = {"near": 1.0, "far": 1.0, "same": 0.1}
    new = {"near": 1.0 + 9e-7, "far": 1.0 + 2e-6, "same": 0.1}
    verdicts = {c.name: c.verdict for c in compare_metrics(old, new, Tolerance())}
    assert verdicts == {"far": "different", "near": "within tolerance", "same": "identical"}


def test_a_metric_can_have_its_own_tolerance() -> None:
    tolerance = Tolerance(0.0, {"accuracy": 0.01, "seconds": INF})
    old = {"accuracy": 0.9, "loss": 1.0, "seconds": 1.0}
    new = {"accuracy": 0.905, "loss": 1.0 + 1e-9, "seconds": 300.0}
    verdicts = {c.name: c.verdict for c in compare_metrics(old, new, tolerance)}
    assert verdicts == {
        "accuracy": "within tolerance",
        "loss": "different",
        "seconds": "within tolerance",
    }


def test_a_metric_that_one_run_lacks_differs() -> None:
    found = compare_metrics({"a": 1.0}, {"b": 1.0}, Tolerance(0.5))
    assert [(c.name, c.old, c.new, c.verdict) for c in found] == [
        ("a", 1.0, None, "different"),
        ("b", None, 1.0, "different"),
    ]


def test_what_mlflow_measures_of_the_machine_is_not_compared() -> None:
    assert compare_metrics({"system/cpu_utilization_percentage": 1.0}, {}, Tolerance()) == []


def test_json_has_no_nan() -> None:
    (found,) = compare_metrics({"a": NAN}, {"a": INF}, Tolerance())
    text = json.dumps(found.to_dict("name"), allow_nan=False)
    assert json.loads(text) == {
        "name": "a",
        "old": "nan",
        "new": "inf",
        "verdict": "different",
        "differing": 1,
        "largest": "inf",
    }


def test_inputs_are_equal_only_if_kind_and_value_of_their_hashes_are() -> None:
    def state(*entries: Entry) -> DataState:
        return DataState(".", entries, stage="train")

    old = state(
        Entry("a", "md5", "1", input=True),
        Entry("b", "md5", "1", input=True),
        Entry("c", "md5", "1", input=True),
        Entry("other", "md5", "1"),
    )
    new = state(
        Entry("a", "md5", "1", input=True),
        Entry("b", "md5-dos2unix", "1", input=True),
        Entry("d", "md5", "1", input=True),
    )
    found = [(c.name, c.old, c.new, c.verdict) for c in compare_inputs(old, new)]
    assert found == [
        ("a", "1", "1", "identical"),
        ("b", "1", "1", "different"),
        ("c", "1", None, "different"),
        ("d", None, "1", "different"),
    ]


def test_the_worst_verdict_counts_and_the_unknown_does_not() -> None:
    same = Comparison("a", 1.0, 1.0, "identical")
    near = Comparison("b", 1.0, 1.0, "within tolerance")
    far = Comparison("c", 1.0, 2.0, "different")
    unknown = Comparison("d", None, "1", None)
    assert combine([same, unknown]) == "identical"
    assert combine([same, near, unknown]) == "within tolerance"
    assert combine([near, far, same]) == "different"
