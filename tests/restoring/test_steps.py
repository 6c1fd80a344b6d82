"""What a plan says of outs, and what it finds in the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.errors import (
    MissingObjectsError,
    RestoreError,
    UnsafePathError,
    UnsavedContentError,
)
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files.permissions import add_executable, remove_executable
from mlflow_dvc_plugin.restoring.plan.backups import Backups
from mlflow_dvc_plugin.restoring.plan.scan import Change
from mlflow_dvc_plugin.restoring.plan.steps import Steps, find_conflicts, plan_steps
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher, Options
from mlflow_dvc_plugin.restoring.run_data.forgotten_data import ForgottenData
from mlflow_dvc_plugin.restoring.run_data.listings import Target
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.forgotten_tag import Forgotten
from mlflow_dvc_plugin.state.objects import Obj
from tests.project import Project

OLD, NEW = Obj("md5", "1" * 32), Obj("md5", "2" * 32)


def make_steps(changes: list[Change], **values: Any) -> Steps:
    """The steps of a target with the outs ``a``, ``b/c`` and the folder ``d``."""
    target = Target(
        outs=("d", "b/c", "a"),
        files=values.pop("files", {"a": NEW, "b/c": NEW, "d/x": NEW}),
        folders=("d",),
        unsaved=values.pop("edited", ()),
        forgotten=values.pop("forgotten", ()),
    )
    backups = Backups({}, dict.fromkeys(values.pop("unsaved", ()), OLD), {})
    return Steps(
        target,
        changes,
        frozenset(change.path for change in changes),
        times={},
        backups=backups,
        metafiles=values.pop("metafiles", {}),
        old_contents={},
        modes={},
        new_modes=values.pop("new_modes", {}),
        new_folders=values.pop("new_folders", []),
    )


def add(path: str) -> Change:
    return Change(path, None, NEW, None)


def modify(path: str) -> Change:
    return Change(path, OLD, NEW, 1)


def delete(path: str) -> Change:
    return Change(path, OLD, None, 1)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ([], "unchanged"),
        ([add("d/x")], "added"),
        ([add("d/x"), add("d/y/z")], "added"),
        ([modify("d/x")], "modified"),
        ([delete("d/x")], "deleted"),
        ([add("d/x"), delete("d/y")], "modified"),
        ([delete("d")], "deleted"),
        ([add("dx"), add("e")], "unchanged"),
    ],
)
def test_an_out_is_what_happens_to_its_files(changes: list[Change], kind: str) -> None:
    expected: dict[str, list[str]] = {"added": [], "modified": [], "deleted": [], "unchanged": []}
    expected["unchanged"] = ["a", "b/c"]
    expected[kind] = [*expected[kind], "d"]
    assert make_steps(changes).sort_outs() == expected


def test_new_folders_and_permissions_count_where_no_file_changes() -> None:
    steps = make_steps([add("b/c")], new_folders=["d"], new_modes={"a": 0o755, "b/c": 0o755})
    assert steps.sort_outs() == {
        "added": ["b/c", "d"],
        "modified": ["a"],
        "deleted": [],
        "unchanged": [],
    }
    both = make_steps([delete("d/x")], new_folders=["a"], new_modes={"a": 0o755, "d": 0o755})
    assert both.sort_outs()["deleted"] == ["d"]
    assert both.sort_outs()["added"] == ["a"]


def test_forgotten_outs_are_named_only_if_something_is_deleted() -> None:
    assert make_steps([], forgotten=("a",)).sort_outs()["unchanged"] == ["b/c", "d"]
    steps = make_steps([delete("a")], forgotten=("a",))
    assert steps.sort_outs()["deleted"] == ["a"]


@pytest.mark.parametrize("force", [True, False])
def test_in_the_project_content_that_is_saved_nowhere_is_in_the_way(force: bool) -> None:
    steps = make_steps(
        [modify("a"), modify("b/c")],
        unsaved=["b/c"],
        edited=("dvc.yaml", "z.dvc"),
        metafiles={"z.dvc": b"", "y.dvc": b""},
    )
    paths, refusal = find_conflicts(steps, "/p", in_project=True, force=force)
    assert paths == ["b/c", "z.dvc"]
    assert (refusal is None) == force
    if refusal is not None:
        assert isinstance(refusal, UnsavedContentError)
        assert refusal.paths == paths
    nothing = make_steps([modify("a")])
    assert find_conflicts(nothing, "/p", in_project=True, force=force) == ([], None)


def test_in_another_folder_any_other_content_is_in_the_way() -> None:
    steps = make_steps([add("a"), modify("b/c")])
    paths, refusal = find_conflicts(steps, "/out", in_project=False, force=False)
    assert paths == ["b/c"]
    assert str(refusal) == (
        "/out has other content in b/c. Nothing was changed. Name another folder, or use --force "
        "to save that content in the cache first."
    )
    names = [f"d/{number:02}" for number in range(11)]
    many = make_steps([modify(name) for name in names], files=dict.fromkeys(names, NEW))
    _, refusal = find_conflicts(many, "/out", in_project=False, force=False)
    assert str(refusal).startswith("/out has other content in d/00, d/01, ")
    assert "d/08, d/09 and 1 more. Nothing was changed." in str(refusal)
    assert find_conflicts(steps, "/out", in_project=False, force=True) == (["b/c"], None)
    assert find_conflicts(make_steps([add("a")]), "/out", in_project=False, force=False) == (
        [],
        None,
    )


@pytest.mark.parametrize("force", [True, False])
def test_in_another_folder_foreign_files_are_never_replaced(force: bool) -> None:
    extra = [delete(f"d/{number:02}") for number in range(11)]
    steps = make_steps([modify("a"), *extra])
    paths, refusal = find_conflicts(steps, "/out", in_project=False, force=force)
    assert len(paths) == 12
    assert isinstance(refusal, RestoreError)
    assert str(refusal) == (
        "/out has files that the run did not have: d/00, d/01, d/02, d/03, d/04, d/05, d/06, "
        "d/07, d/08, d/09 and 1 more. Nothing was changed. Name another folder."
    )


@pytest.fixture
def opened(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)  # paths are relative to the project, wherever the process is
    with open_project(str(project.path)) as dvc:
        yield dvc


def plan(opened: Any, target: Target, dry_run: bool = False) -> Steps:
    options = Options(dry_run=dry_run, progress=Progress())
    return plan_steps(Fetcher(opened, (), None, options), opened.root, target)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_plan_has_all_that_changes_and_what_is_there_now(
    project: Project, opened: Any, dry_run: bool
) -> None:
    project.add("a", "one")
    project.add("b", "two")
    project.write("kept", "kept")
    project.write("d/x", "one")
    one, two, kept = (Obj.from_bytes(data) for data in (b"one", b"two", b"kept"))
    metafiles = {
        "a.dvc": (project.path / "a.dvc").read_bytes(),
        "b.dvc": b"changed",
        "c.dvc": b"new",
        "sub/gone.dvc": None,
    }
    target = Target(
        outs=("a", "d", "e"),
        files={"a": two, "b": two, "kept": kept, "d/x": one},
        folders=("d", "e"),
        metafiles=metafiles,
    )
    steps = plan(opened, target, dry_run)
    assert [(c.path, c.old, c.new) for c in steps.changes] == [("a", one, two)]
    assert steps.changed == {"a"}
    assert steps.times == {"d/x": os.stat(project.path / "d/x").st_mtime}
    assert steps.backups == ({"a": one}, {}, {})
    assert steps.metafiles == {"b.dvc": b"changed", "c.dvc": b"new"}
    before = (project.path / "b.dvc").read_bytes()
    assert steps.old_contents == {"b.dvc": before, "c.dvc": None}
    assert steps.new_folders == ["e"]
    assert steps.target == target


def test_permissions_change_only_where_a_file_of_the_target_is(
    project: Project, opened: Any, tmp_path: Path
) -> None:
    project.add("script", "one")
    project.add("other", "two")
    (tmp_path / "mine").write_text("one")
    (project.path / "link").symlink_to(tmp_path / "mine")
    (project.path / "replaced").symlink_to(tmp_path / "mine")
    one, two = Obj.from_bytes(b"one"), Obj.from_bytes(b"two")
    (project.path / "other").chmod(0o744)
    modes = {
        **dict.fromkeys(("script", "link", "replaced", "absent"), add_executable),
        "other": remove_executable,
        "foreign": add_executable,
    }
    files = {"script": one, "link": one, "replaced": two, "other": two, "absent": two}
    steps = plan(opened, Target(outs=(), files=files, modes=modes))
    assert steps.modes == {name: modes[name] for name in ("script", "replaced", "absent", "other")}
    mode = (project.path / "script").stat().st_mode & 0o777
    own = (tmp_path / "mine").stat().st_mode & 0o777
    assert steps.new_modes == {"script": mode | 0o300, "replaced": own | 0o300, "other": 0o644}


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_plan_names_what_is_nowhere(project: Project, tmp_path: Path, dry_run: bool) -> None:
    project.remote(tmp_path / "remote")
    files = {"a": NEW, "link": Obj("symlink", "x"), "none": None}
    with open_project(str(project.path)) as dvc, pytest.raises(MissingObjectsError) as caught:
        plan(dvc, Target(outs=(), files=files), dry_run)
    assert list(caught.value.reasons) == ["a"]


def test_a_plan_fetches_and_then_looks_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.remote(tmp_path / "remote")
    project.add("a", "one")
    project.push()
    project.lose("a")
    one = Obj.from_bytes(b"one")
    told: list[tuple[str, int]] = []
    with open_project(str(project.path)) as dvc:
        target = Target(outs=("a",), files={"a": one, "b": one})
        dry = plan(dvc, target, dry_run=True)
        assert not dvc.cache.find_objects([one])
        monkeypatch.setattr(Progress, "begin", lambda _, *what: told.append(what))
        steps = plan(dvc, target)
        assert dvc.cache.find_objects([one])
    assert [what for what in told if what[0] == "Comparing"] == [("Comparing", 2)] * 2
    assert dry.changes == steps.changes
    assert [change.path for change in steps.changes] == ["a", "b"]


def test_a_metafile_that_is_a_link_is_refused(project: Project, opened: Any) -> None:
    project.write("real.dvc", "outs: []")
    (project.path / "a.dvc").symlink_to("real.dvc")
    with pytest.raises(UnsafePathError, match="it is a symbolic link"):
        plan(opened, Target(outs=(), files={}, metafiles={"a.dvc": b""}))


def test_a_plan_deletes_what_cannot_come_back_because_it_was_forgotten(
    project: Project, tmp_path: Path
) -> None:
    project.remote(tmp_path / "remote")
    project.add("a", "old")
    project.add("b", "b")
    kept = Obj.from_bytes(b"b")
    entries = (Entry("a", "md5", NEW.value), Entry("b", "md5", kept.value))
    forgotten = ForgottenData(Forgotten(1, "2026-11-26", "2026-11-26"), entries)
    options = Options(skip_forgotten=True, progress=Progress())
    with open_project(str(project.path)) as dvc:
        target = Target(outs=("a", "b"), files={"a": NEW, "b": kept}, forgotten=("c",))
        fetcher = Fetcher(dvc, entries, None, options, forgotten)
        steps = plan_steps(fetcher, dvc.root, target)
    assert [(c.path, c.old, c.new) for c in steps.changes] == [("a", Obj.from_bytes(b"old"), None)]
    assert steps.target.files == {"a": None, "b": kept}
    assert steps.target.forgotten == ("c", "a")
