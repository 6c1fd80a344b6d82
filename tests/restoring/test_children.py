"""Child runs refer to the manifest of their parent, and are restored all the same."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service.utils import _get_store

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.errors import NoRecordedStateError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from tests.history import History
from tests.history import mlflow_dvc as command
from tests.project import Project


@pytest.fixture(autouse=True)
def tracking(history: History) -> None:
    mlflow.set_tracking_uri(history.uri)


@pytest.fixture
def data(project: Project) -> Project:
    project.add("data/a.csv", "1")
    project.add("data/b", "2")
    project.commit()
    return project


def start_nested(depth: int) -> list[str]:
    """Start runs, each in the one before; their ids."""
    with ExitStack() as stack:
        runs = [stack.enter_context(mlflow.start_run(nested=bool(n))) for n in range(depth)]
    return [run.info.run_id for run in runs]


def tags_of(run_id: str) -> dict[str, str]:
    found = MlflowClient().get_run(run_id).data.tags
    return {key: value for key, value in found.items() if key.startswith("dvc.")}


def is_restored(project: Project, run_id: str) -> bool:
    (project.path / "data/a.csv").unlink()
    mlflow_dvc.restore(run_id)
    return (project.path / "data/a.csv").read_text() == "1"


def test_children_refer_to_the_manifest_of_the_first_parent(data: Project) -> None:
    parent, child, grandchild = start_nested(3)
    whole = tags_of(parent)
    manifest = whole.pop("dvc.manifest")
    assert len(manifest) > 200
    assert tags_of(child) == tags_of(grandchild) == {**whole, "dvc.manifest_run": parent}
    states = [load_state(each) for each in (parent, child, grandchild)]
    assert states[0].entries == states[1].entries == states[2].entries
    assert [state.source for state in states] == ["manifest"] * 3
    assert is_restored(data, grandchild)


def test_children_can_have_it_all(data: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DVC_CHILDREN", "full")
    parent, child = start_nested(2)
    assert tags_of(child) == tags_of(parent)
    assert is_restored(data, child)


def test_a_child_on_other_data_has_its_own_manifest(data: Project) -> None:
    with mlflow.start_run():
        data.add("data/a.csv", "new")
        with mlflow.start_run(nested=True) as child:
            pass
    assert "dvc.manifest" in tags_of(child.info.run_id)
    assert "dvc.manifest_run" not in tags_of(child.info.run_id)


@pytest.mark.usefixtures("data")
def test_a_child_in_a_thread_names_its_parent_in_a_tag() -> None:
    ids: list[str] = []

    def work(parent: str) -> None:
        with mlflow.start_run(tags={"mlflow.parentRunId": parent}, nested=True) as run:
            ids.append(run.info.run_id)

    with mlflow.start_run() as parent:
        thread = threading.Thread(target=work, args=[parent.info.run_id])
        thread.start()
        thread.join()
    assert tags_of(ids[0])["dvc.manifest_run"] == parent.info.run_id


@pytest.mark.usefixtures("data")
def test_a_child_whose_parent_is_not_active_here_has_its_own_manifest() -> None:
    (parent,) = start_nested(1)
    with mlflow.start_run(tags={"mlflow.parentRunId": parent}) as child:
        pass
    assert "dvc.manifest" in tags_of(child.info.run_id)


@pytest.mark.usefixtures("data")
def test_children_that_a_framework_makes_through_the_client_refer_too() -> None:
    client = MlflowClient()
    mlflow_dvc.autolog(log_artifacts=False)

    def create(parent: str) -> str:
        run: Any = client.create_run("0", tags={"mlflow.parentRunId": parent} if parent else None)
        return str(run.info.run_id)

    parent = create("")
    child = create(parent)
    grandchild = create(child)
    assert "dvc.manifest" in tags_of(parent)
    assert tags_of(child)["dvc.manifest_run"] == parent
    assert tags_of(child) == tags_of(grandchild)


def test_a_child_is_restored_when_its_parent_is_deleted_or_gone(data: Project) -> None:
    parent, child = start_nested(2)
    MlflowClient().delete_run(parent)
    assert load_state(child).source == "manifest"
    _get_store()._hard_delete_run(parent)
    assert load_state(child).source == "commit"
    assert is_restored(data, child)


def test_a_child_that_only_its_lost_parent_described_says_so(data: Project) -> None:
    data.add("data/a.csv", "never committed")
    parent, child = start_nested(2)
    assert load_state(child).source == "manifest"
    MlflowClient().delete_run(parent)
    _get_store()._hard_delete_run(parent)
    with pytest.raises(NoRecordedStateError, match=f"same data as run {parent}.* no longer in"):
        load_state(child)
    (checked,) = command("check", child, "--json").json
    assert checked["restorable"] is not True
    assert parent in checked["reason"]


def test_a_reference_is_believed_only_if_the_fingerprint_agrees(data: Project) -> None:
    (one,) = start_nested(1)
    data.add("data/a.csv", "other")
    parent, child = start_nested(2)
    client = MlflowClient()
    client.set_tag(child, "dvc.manifest_run", one)
    data.git("stash", "-q")
    with pytest.raises(NoRecordedStateError, match="fingerprint"):
        load_state(child)
    for hostile in ("../../etc/passwd", "x" * 5000, "' OR 1=1", "\u2026"):
        client.set_tag(child, "dvc.manifest_run", hostile)
        with pytest.raises(NoRecordedStateError, match="no longer in"):
            load_state(child)
    assert load_state(parent).entries


def test_commands_answer_for_children_as_for_others(data: Project) -> None:
    parent, child = start_nested(2)
    data.push()
    assert {run["run_id"] for run in command("find", "--json").json} == {parent, child}
    (checked,) = command("check", child, "--json").json
    assert checked["restorable"] is True
    assert not any(command("diff", parent, child, "--json").json.values())
    command("tag", child, "--force")
    assert "dvc.manifest_run" not in tags_of(child)
    assert tags_of(child)["dvc.manifest"]
