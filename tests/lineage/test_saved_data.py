"""What commands say and do of runs whose data was saved when they started."""

from __future__ import annotations

import shutil

import pytest

from mlflow_dvc_plugin.restoring import restore
from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.record import record_saved, snapshot


@pytest.fixture
def saved(project: Project, history: History) -> str:
    """A run on an edited folder, and on data that DVC does not track."""
    project.write("data/a", "a")
    project.write("data/b", "b")
    project.add("data")
    project.add("model.bin", "model")
    project.commit()
    project.push()
    project.write("data/a", "edited")
    project.write("raw/x", "x")
    return history.run(tags=dict(record_saved(project.path, ("raw/**",)).tags))


def test_a_saved_run_is_shown_checked_and_pushed(project: Project, saved: str) -> None:
    shown = mlflow_dvc("show", saved)
    assert shown.code == 0
    assert "saved" in shown.stdout
    assert "not tracked by DVC" in shown.stdout
    assert "modified data that was not recorded" not in shown.stdout
    (checked,) = mlflow_dvc("check", saved, "--json").json
    assert (checked["restorable"], checked["reason"]) == (True, "")
    assert {e["path"]: (e["cache"], e["remote"]) for e in checked["entries"]} == {
        "data": (True, False),
        "model.bin": (True, True),
        "raw": (True, False),
    }
    pushed = mlflow_dvc("push", saved, "--json").json
    # Of each folder its listing and what is new in it.
    assert (pushed["pushed"], pushed.get("modified")) == (4, None)
    (checked,) = mlflow_dvc("check", saved, "--json").json
    assert all(e["remote"] for e in checked["entries"])
    shutil.rmtree(project.path / ".dvc/cache")
    shutil.rmtree(project.path / "raw")
    project.write("data/a", "later")
    assert mlflow_dvc("restore", saved, "--force").code == 0
    assert (project.path / "data/a").read_text() == "edited"
    assert (project.path / "raw/x").read_text() == "x"


@pytest.mark.slow
def test_gc_deletes_saved_data_unless_its_runs_are_pinned(
    project: Project, history: History, saved: str
) -> None:
    plain = history.run()
    expected = {k: v for k, v in snapshot(project.path).items() if k.startswith(("data/", "raw/"))}
    done = mlflow_dvc("pin", "--experiment", "Default", "--saved", "--json")
    assert [pinned["run_id"] for pinned in done.json] == [saved]
    assert mlflow_dvc("pin", "--experiment", "Default").code == 0
    assert f"mlflow-dvc/{plain}" in project.git("tag")
    assert mlflow_dvc("unpin", plain).code == 0
    project.dvc("gc", "--all-tags", "--force")
    shutil.rmtree(project.path / "raw")
    restore(saved, force=True)
    found = snapshot(project.path)
    assert {k: v for k, v in found.items() if k.startswith(("data/", "raw/"))} == expected
    assert mlflow_dvc("unpin", saved).code == 0
    project.git("checkout", "-q", "-f", ".")
    project.dvc("gc", "--workspace", "--force")
    (checked,) = mlflow_dvc("check", saved, "--json").json
    assert checked["restorable"] is False
    assert "neither in the cache nor in the remote" in checked["reason"]
    assert "--saved needs --experiment" in mlflow_dvc("pin", saved, "--saved").stderr
    error = mlflow_dvc("pin", "--experiment", "Default", "--saved", saved)
    assert error.code == 2


def test_runs_are_found_and_compared_by_what_was_saved(
    project: Project, history: History, saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mlflow_dvc("diff", saved).stdout == "The data is the same.\n"
    monkeypatch.setenv("MLFLOW_DVC_SAVE", "raw/**")
    (found,) = mlflow_dvc("find", "--json").json
    assert (found["run_id"], found["paths"]) == (saved, ["data", "model.bin", "raw"])
    assert "modified" not in found
    value = history.tags(saved)["dvc.data.data"]
    (found,) = mlflow_dvc("find", "--path", "data", "--hash", value, "--json").json
    assert found["run_id"] == saved
    project.write("data/a", "later")
    other = history.run(tags=dict(record_saved(project.path, ("raw/**",)).tags))
    compared = mlflow_dvc("diff", saved, other, "--files", "--json").json
    assert [item["path"] for item in compared["modified"]] == ["data"]
    assert [item["path"] for item in compared["modified"][0]["files"]["modified"]] == ["data/a"]
    assert "unknown" not in compared


@pytest.mark.usefixtures("saved")
def test_status_tells_what_a_run_would_save(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("data/a", "12345678")
    project.write("model.bin", "weights")
    before = sorted(project.path.glob(".dvc/cache/files/md5/*/*"))
    monkeypatch.setenv("MLFLOW_DVC_SAVE", "raw/**")
    found = mlflow_dvc("status", "--json").json
    assert found["tags"]["dvc.status"] == "saved"
    assert found["saves"] == [
        {"path": "data", "files": 1, "size": 8},
        {"path": "model.bin", "files": 1, "size": 7},
    ]
    text = mlflow_dvc("status").stdout
    assert "A run would save data: 1 file, 8 B." in text
    assert sorted(project.path.glob(".dvc/cache/files/md5/*/*")) == before
    run = record_saved(project.path, ("raw/**",))
    assert run.tags["dvc.data_hash"] == found["tags"]["dvc.data_hash"]
    assert "saves" not in mlflow_dvc("status", "--json").json
