"""Which outs are valid while a stage runs, against a plain search of the whole graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_dvc_plugin.capturing.formats.outs import Out, Stage
from mlflow_dvc_plugin.capturing.formats.paths import WorkingDir
from mlflow_dvc_plugin.capturing.running_stage import (
    find_running_stage,
    find_valid_outs,
    select_inputs,
)
from mlflow_dvc_plugin.state import Entry

PROJECT = "/p"
NAMES = ("a", "a/b", "a/b/c", "a-b", "aX", "b", "b/c", "c", "../x", "/", "s3://k/a", "s3://k/a/b")


def make_stage(
    name: str | None, deps: list[str], outs: list[str], metafile: str = "dvc.yaml"
) -> Stage:
    folder = WorkingDir.of_stage(PROJECT, {}, metafile)
    lead = "" if metafile == "dvc.yaml" else f"{metafile}:"
    found = tuple(Out(Entry(path, "md5", None), folder.locate(path).path) for path in outs)
    return Stage(name and lead + name, name, metafile, folder, deps, found)


@st.composite
def graphs(draw: st.DrawFn) -> list[Stage]:
    paths = st.lists(st.sampled_from(NAMES), max_size=3)
    ends = draw(st.lists(st.tuples(paths, paths), min_size=1, max_size=8))
    return [make_stage(f"s{number}", *each) for number, each in enumerate(ends)]


def overlap(one: str, other: str) -> bool:
    return (
        one == other
        or one.startswith(other.rstrip("/") + "/")
        or (other.startswith(one.rstrip("/") + "/"))
    )


def reads(stage: Stage, outs: list[str]) -> bool:
    return any(overlap(dep, out) for dep in stage.deps for out in outs)


def test_paths_with_backslashes_are_found_where_those_are_separators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages = [make_stage("a", [], ["in"]), make_stage("b", ["in"], ["out"])]
    stages.append(make_stage("c", ["out"], ["end"]))
    with_backslashes = [
        stage._replace(
            outs=tuple(out._replace(path=out.path.replace("/", "\\")) for out in stage.outs)
        )
        for stage in stages
    ]
    monkeypatch.setattr("os.sep", "\\")
    found = find_valid_outs(with_backslashes, with_backslashes[1])
    assert [(out.entry.path, out.entry.input) for out in found] == [("in", True)]


@settings(max_examples=100, deadline=None)
@given(graphs(), st.data())
def test_what_depends_on_the_running_stage_is_not_valid(
    stages: list[Stage], data: st.DataObject
) -> None:
    running = data.draw(st.sampled_from(stages))
    stale = [running]
    for _ in stages:
        outs = [out.path for stage in stale for out in stage.outs]
        stale += [s for s in stages if not any(s is old for old in stale) and reads(s, outs)]
    valid = [out for s in stages if not any(s is old for old in stale) for out in s.outs]
    found = find_valid_outs(stages, running)
    assert [out.path for out in found] == [out.path for out in valid]
    inputs = [any(overlap(dep, out.path) for dep in running.deps) for out in valid]
    assert [out.entry.input for out in found] == inputs
    assert select_inputs(valid, running) == [out for out in found if out.entry.input]


def test_without_an_address_no_stage_runs() -> None:
    stages = [make_stage("train", [], []), make_stage(None, [], [], "train.dvc")]
    assert find_running_stage(stages, PROJECT, {}) is None
    assert find_running_stage(stages, PROJECT, {"DVC_STAGE": ""}) is None
    assert find_running_stage(stages, PROJECT, {"DVC_STAGE": "train"}) is stages[0]


@pytest.mark.parametrize(
    ("address", "is_meant"),
    {
        "train": True,
        "a/dvc.yaml:train": True,
        "dvc.yaml:train": True,  # DVC was started in `a`
        "../a/dvc.yaml:train": True,
        "../../p/a/dvc.yaml:train": False,  # the project's own folder is not known here
        "ba/dvc.yaml:train": False,
        "b/a/dvc.yaml:train": False,
        "yaml:train": False,
        "a/dvc.yaml:strain": False,
        "a/dvc.yaml:trai": False,
        "a/dvc.yaml:other": False,
        "atrain": False,
        ":train": False,
    }.items(),
)
def test_an_address_is_relative_to_any_folder(address: str, is_meant: bool) -> None:
    stages = [make_stage("train", [], [], "a/dvc.yaml")]
    found = find_running_stage(stages, PROJECT, {"DVC_STAGE": address})
    assert (found is stages[0]) == is_meant


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b"[]", b"{}", b"\xff", b'{"write": 5}', b'{"write": {"5": 1}}', b"[" * 100_000),
        b" " * (1 << 24) + b'{"write": {"/p/x/a": {}}}',  # too large to be read whole
    ],
    ids=range(8),
)
def test_a_lock_record_that_makes_no_sense_decides_nothing(tmp_path: Path, record: bytes) -> None:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_bytes(record)
    stages = [make_stage("t", [], ["a"], "x/dvc.yaml"), make_stage("t", [], ["b"])]
    for root in (str(tmp_path), "", str(tmp_path / "gone")):
        found = find_running_stage(stages, str(tmp_path), {"DVC_STAGE": "t", "DVC_ROOT": root})
        assert found is stages[1]
    assert find_running_stage(stages, str(tmp_path), {"DVC_STAGE": "t", "DVC_ROOT": "/"}) is None


def test_what_dvc_locked_decides_among_stages_of_one_name(tmp_path: Path) -> None:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    rwlock = tmp_path / ".dvc" / "tmp" / "rwlock"
    stages = [
        make_stage("t", [], ["a"], "x/dvc.yaml"),
        make_stage("t", [], ["b"]),
        make_stage("t", [], ["c", "d"], "y/dvc.yaml"),
        make_stage("t", [], ["e"], "z/dvc.yaml"),
    ]

    def find(*locked: str, address: str = "t", root: str = "/") -> Stage | None:
        rwlock.write_text(json.dumps({"read": {"/p/b": []}, "write": dict.fromkeys(locked, 1)}))
        environ = {"DVC_STAGE": address, "DVC_ROOT": root}
        return find_running_stage(stages, str(tmp_path), environ)

    assert find("/p/x/a") is stages[0]
    assert find("/other", "/p/y/d") is stages[2]
    assert find("/p/b") is stages[1]
    # Several run at once: the one whose address it is, else the first of those that run.
    assert find("/p/b", "/p/x/a") is stages[1]
    assert find("/p/z/e", "/p/y/c") is stages[2]
    assert find("/other") is None
    assert find("/other", root=str(tmp_path)) is stages[1]
    assert find("/p/x/a", address="gone") is None


@pytest.mark.parametrize(
    ("root", "is_possible"),
    {
        "": True,
        "gone": True,
        ".": True,
        "link": True,
        "other": False,
        "..": False,
    }.items(),
)
def test_where_dvc_was_started_tells_whether_a_stage_can_run_here(
    tmp_path: Path, root: str, is_possible: bool
) -> None:
    project = tmp_path / "project"
    (project / "other").mkdir(parents=True)
    (project / "link").symlink_to(project)
    environ = {"DVC_STAGE": "t", "DVC_ROOT": str(project / root) if root else ""}
    found = find_running_stage([make_stage("t", [], [])], str(project), environ)
    assert (found is not None) == is_possible


def test_an_experiment_in_a_temporary_folder_runs_here(tmp_path: Path) -> None:
    stages = [make_stage("t", [], [])]
    for name, is_possible in (("exps/tmp1", True), ("exps-2/tmp1", False), ("exps", False)):
        copy = tmp_path / ".dvc" / "tmp" / name
        copy.mkdir(parents=True, exist_ok=True)
        environ = {"DVC_STAGE": "t", "DVC_ROOT": str(tmp_path)}
        assert (find_running_stage(stages, str(copy), environ) is not None) == is_possible
