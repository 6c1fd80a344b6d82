"""What a plan says of outs, and what it finds in the way."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError
from mlflow_dvc_plugin.restoring.plan.backups import Backups
from mlflow_dvc_plugin.restoring.plan.scan import Change
from mlflow_dvc_plugin.restoring.plan.steps import Steps, find_conflicts
from mlflow_dvc_plugin.restoring.run_data.listings import Target
from mlflow_dvc_plugin.state.objects import Obj

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
    assert str(refusal).startswith("/out has other content in b/c. Nothing was changed.")
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
