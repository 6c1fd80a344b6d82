"""Pushing and pinning: the data of a run is kept, and `dvc gc` itself is the judge."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing.commit_state import read_commit_state
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.record import snapshot

PIPELINE = """\
stages:
  prepare:
    cmd: cp raw.csv ${name}
    deps: [raw.csv]
    outs: [prepared.csv]
  train:
    cmd: cp prepared.csv model.pkl
    deps: [prepared.csv]
    outs: [model.pkl]
"""


def gc(project: Project) -> None:
    """What `dvc gc -f -w --all-tags` does."""
    with project.opened() as repo:
        repo.gc(force=True, workspace=True, all_tags=True)


def holds(project: Project, *contents: str) -> list[str]:
    cache = [
        path.read_text() for path in (project.path / ".dvc/cache").rglob("*") if path.is_file()
    ]
    return [content for content in contents if content in cache]


@pytest.fixture
def old_run(project: Project, history: History) -> str:
    """A run on a branch whose data the main branch no longer has."""
    project.commit("start")
    project.git("checkout", "-q", "-b", "old")
    project.add("data/a.csv", "old a")
    project.write("data/images/1.txt", "old one")
    project.add("data/images")
    project.commit("old")
    run_id = history.run()
    project.git("checkout", "-q", "main")
    project.add("data/a.csv", "new a")
    project.write("data/images/1.txt", "new one")
    project.add("data/images")
    project.commit("new")
    project.git("branch", "-q", "-D", "old")
    return run_id


def test_gc_keeps_what_is_pinned_and_removes_what_is_not(
    old_run: str, project: Project, history: History, tmp_path: Path
) -> None:
    pinned = mlflow_dvc("pin", old_run, "--json").json
    assert pinned["run_id"] == old_run
    assert project.git("rev-parse", pinned["ref"]).strip() == pinned["commit"]
    project.dvc("gc", "-f", "--all-tags")
    assert holds(project, "old a", "old one", "new a") == ["old a", "old one", "new a"]
    restore(old_run, out=tmp_path / "out")
    assert (tmp_path / "out/data/images/1.txt").read_text() == "old one"

    assert mlflow_dvc("unpin", old_run[:8], "--json").json == pinned
    project.dvc("gc", "-f", "--all-tags")
    assert holds(project, "old a", "old one", "new a") == ["new a"]
    assert history.tags(old_run)


def test_fetch_all_tags_brings_pinned_data(old_run: str, project: Project) -> None:
    mlflow_dvc("push", old_run)
    mlflow_dvc("pin", old_run)
    project.lose()
    with project.opened() as repo:
        repo.fetch(all_tags=True)
    assert holds(project, "old a", "old one") == ["old a", "old one"]


def test_restore_is_exact_when_branch_and_commit_would_be_gone(
    old_run: str, project: Project
) -> None:
    pinned = mlflow_dvc("pin", old_run, "--json").json
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    state = load_state(old_run)
    assert project.git("rev-parse", f"{pinned['commit']}^").strip() == state.git_commit
    mlflow_dvc("restore", old_run)
    for name in ("data/a.csv.dvc", "data/images.dvc"):
        assert (project.path / name).read_text() == project.git("show", f"{pinned['ref']}:{name}")


def test_workspace_index_and_branches_stay_as_they_are(old_run: str, project: Project) -> None:
    project.write("staged.txt", "staged")
    project.git("add", "staged.txt")
    project.write("staged.txt", "and changed")

    def all_but_pins() -> tuple[object, ...]:
        return (
            snapshot(project.path),
            (project.path / ".git/index").read_bytes(),
            project.git("status", "--porcelain"),
            project.git("for-each-ref", "refs/heads"),
            project.git("symbolic-ref", "HEAD"),
        )

    before = all_but_pins()
    first = mlflow_dvc("pin", old_run, "--json").json
    assert mlflow_dvc("pin", old_run, "--json").json == first
    assert all_but_pins() == before


def test_uncommitted_data_is_pinned_as_the_run_had_it(
    old_run: str, project: Project, history: History
) -> None:
    assert old_run
    project.add("data/a.csv", "never committed")
    project.add("extra", "not in the commit")
    run_id = history.run()
    (project.path / "extra.dvc").unlink()
    project.add("data/a.csv", "new a")
    pinned = mlflow_dvc("pin", run_id, "--json").json
    gc(project)
    kept = ["never committed", "not in the commit", "new one"]
    assert holds(project, *kept, "old a") == kept
    assert data(read_commit_state(str(project.path), pinned["commit"])) == data(load_state(run_id))


def data(state: object) -> set[tuple[str, str]]:
    return {(e.path, e.hash) for e in state.entries if e.cached and e.hash}  # type: ignore[attr-defined]


def test_a_run_whose_commit_is_gone_is_pinned_by_its_manifest(
    old_run: str, project: Project
) -> None:
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    pinned = mlflow_dvc("pin", old_run, "--json").json
    gc(project)
    assert holds(project, "old a", "old one") == ["old a", "old one"]
    assert project.git("ls-tree", "-r", "--name-only", pinned["ref"]).split() == [
        "data/a.csv.dvc",
        "data/images.dvc",
    ]


def test_a_run_in_a_stage_is_pinned_without_the_stages_last_outs(
    project: Project, history: History
) -> None:
    project.write("params.yaml", "name: prepared.csv\n")
    project.write("dvc.yaml", PIPELINE)
    project.add("raw.csv", "raw 1")
    project.dvc("repro", "-q")
    project.commit("first")
    project.add("raw.csv", "raw 22")
    project.dvc("repro", "-q", "prepare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_STAGE", "train")
        run_id = history.run()
    assert {path for path, _ in data(load_state(run_id))} == {"raw.csv", "prepared.csv"}
    project.add("raw.csv", "raw 333")
    project.dvc("repro", "-q")
    project.commit("third")

    pinned = mlflow_dvc("pin", run_id, "--json").json
    assert data(read_commit_state(str(project.path), pinned["commit"])) == data(load_state(run_id))
    gc(project)
    assert holds(project, "raw 1", "raw 22", "raw 333") == ["raw 22", "raw 333"]
    assert project.git("show", f"{pinned['ref']}:dvc.yaml") == PIPELINE
    mlflow_dvc("unpin", run_id)
    gc(project)
    assert holds(project, "raw 1", "raw 22", "raw 333") == ["raw 333"]


def test_a_project_below_the_git_root_is_pinned_in_its_folder(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    mono = Project.create(tmp_path / "mono", subdir="team/model")
    monkeypatch.chdir(mono.path)
    mono.add("a", "old")
    mono.commit()
    inside = History(history.uri, mono.path)
    run_id = inside.run()
    mono.add("a", "new")
    run_2 = inside.run()
    mono.add("a", "newest")
    for some in (run_id, run_2):
        mlflow_dvc("pin", some)
    gc(mono)
    assert holds(mono, "old", "new", "newest") == ["old", "new", "newest"]
    assert "team/model/a.dvc" in mono.git("ls-tree", "-r", "--full-tree", "--name-only",
                                          f"mlflow-dvc/{run_2}").split()  # fmt: skip


def test_what_is_not_pinned_cannot_be_unpinned(old_run: str) -> None:
    assert "is not pinned in this repository" in mlflow_dvc("unpin", old_run).error


def test_without_git_nothing_can_be_pinned(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Project.create(tmp_path / "plain", git=False)
    monkeypatch.chdir(plain.path)
    plain.add("a", "1")
    run_id = History(history.uri, plain.path).run()
    asked = (("pin", run_id), ("unpin", run_id), ("tag", run_id, "--force", "--rev", "HEAD"))
    for args in asked:
        assert f"{plain.path} is in no Git repository" in mlflow_dvc(*args).error


# -- push ------------------------------------------------------------------


def test_push_sends_what_the_remote_lacks(old_run: str, project: Project, tmp_path: Path) -> None:
    project.push()
    assert mlflow_dvc("push", old_run, "--json").json == {
        "run_id": old_run,
        "pushed": 3,
        "present": 0,
        "skipped": {},
    }
    again = mlflow_dvc("push", old_run, "--json").json
    assert (again["pushed"], again["present"]) == (0, 3)
    project.lose()
    restore(old_run, out=tmp_path / "out")
    assert (tmp_path / "out/data/images/1.txt").read_text() == "old one"


def test_push_mends_a_folder_that_lost_a_file_in_the_remote(
    old_run: str, project: Project, tmp_path: Path
) -> None:
    mlflow_dvc("push", old_run)
    for path in (tmp_path / "remote").rglob("*"):
        if path.is_file() and path.read_text() == "old one":
            path.unlink()
    assert mlflow_dvc("push", old_run, "--json").json["pushed"] == 1
    project.lose()
    restore(old_run, out=tmp_path / "out")


def test_outs_that_are_not_to_be_pushed_are_not(
    project: Project, history: History, tmp_path: Path
) -> None:
    project.add("a", "a")
    project.add("secret", "secret")
    metafile = project.path / "secret.dvc"
    metafile.write_text(metafile.read_text() + "  push: false\n")
    run_id = history.run()
    done = mlflow_dvc("push", run_id, "--json")
    assert done.json["pushed"] == 1
    assert done.json["skipped"] == {"secret": "it is `push: false`"}
    assert "secret" not in [
        path.read_text() for path in (tmp_path / "remote").rglob("*") if path.is_file()
    ]


def test_push_says_what_it_cannot_send(old_run: str, project: Project, tmp_path: Path) -> None:
    project.lose()
    error = mlflow_dvc("push", old_run).error
    assert "data/a.csv" in error
    assert "data/images" in error
    assert not [path for path in (tmp_path / "remote").rglob("*") if path.is_file()]


def test_a_folder_that_is_not_there_is_made_as_dvc_makes_it(
    old_run: str, project: Project, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "remote")
    project.remote(tmp_path / "remote" / "not" / "yet")
    shutil.rmtree(tmp_path / "remote")
    problems = mlflow_dvc("status", "--json").json["problems"]
    assert [p for p in problems if p.startswith(f"Nothing was pushed yet: the folder {tmp_path}")]
    (run,) = mlflow_dvc("check", old_run, "--json").json
    assert run["restorable"] is True
    assert {entry["remote"] for entry in run["entries"]} == {False}
    assert mlflow_dvc("push", old_run, "--json").json["pushed"] == 3
    project.lose()
    assert mlflow_dvc("check", old_run).code == 0


def test_a_folder_that_cannot_be_made_is_told(old_run: str, project: Project) -> None:
    with project.opened() as repo, repo.config.edit() as config:
        config["remote"]["store"]["url"] = "/proc/none/such"
    assert "Not pushed: data/" in mlflow_dvc("push", old_run).error


def test_a_push_of_nothing_is_no_success(project: Project, history: History) -> None:
    assert "recorded no data" in mlflow_dvc("push", history.run()).error
    project.add("secret", "secret")
    metafile = project.path / "secret.dvc"
    metafile.write_text(metafile.read_text() + "  push: false\n")
    done = mlflow_dvc("push", history.run())
    assert done.code == 1
    assert "secret was not pushed: it is `push: false`." in done.stdout


def test_pushed_and_pinned_is_what_the_metafiles_recorded(
    project: Project, history: History
) -> None:
    project.add("a", "a")
    project.write("a", "edited")
    run_id = history.run()
    for command, verb in (("push", "pushed"), ("pin", "pinned")):
        shown = mlflow_dvc(command, run_id).stdout
        assert f"was not saved, at a. What the metafiles recorded was {verb}." in shown


def test_damaged_objects_are_never_pushed(old_run: str, project: Project) -> None:
    for path in (project.path / ".dvc/cache").rglob("*"):
        if path.is_file() and path.read_text() == "old a":
            path.chmod(0o644)
            path.write_text("a old")
    assert "data/a.csv" in mlflow_dvc("push", old_run).error
