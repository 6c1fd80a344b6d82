"""Tags given to runs after the fact."""

from __future__ import annotations

import pytest

from mlflow_dvc_plugin.restoring.run_data.state import load_state
from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.record import record


def test_the_workspace_is_recorded_in_a_run_that_has_no_tags(
    project: Project, history: History
) -> None:
    project.add("a", "1")
    project.commit()
    expected = dict(record(project.path).tags)
    run_id = history.run(tags={"mine": "kept"})
    done = mlflow_dvc("tag", run_id, "--json").json
    assert done == {"run_id": run_id, "tags": expected}
    assert expected.items() <= history.tags(run_id).items()
    assert history.tags(run_id)["mine"] == "kept"
    assert load_state(run_id).entries == load_state(record(project.path)).entries


def test_tags_are_replaced_by_force_alone(project: Project, history: History) -> None:
    project.add("a", "1")
    project.add("b", "2")
    run_id = history.run()
    before = history.tags(run_id)
    (project.path / "b.dvc").unlink()
    assert "--force" in mlflow_dvc("tag", run_id).error
    assert history.tags(run_id) == before
    mlflow_dvc("tag", run_id, "--force")
    after = history.tags(run_id)
    assert "dvc.data.b" not in after
    assert {k: v for k, v in after.items() if k.startswith("dvc.")} == dict(
        record(project.path).tags
    )


def test_a_revision_is_recorded_as_derived(project: Project, history: History) -> None:
    project.add("a", "1")
    commit = project.commit()
    project.git("tag", "v1")
    project.add("a", "2")
    run_id = history.run(tags={})
    mlflow_dvc("tag", run_id, "--rev", "v1")
    tags = history.tags(run_id)
    assert tags["dvc.git_commit"] == commit
    assert (tags["dvc.source"], tags["dvc.status"]) == ("derived", "unverified")
    assert [e.hash for e in load_state(run_id).entries] == ["c4ca4238a0b923820dcc509a6f75849b"]
    assert "nobody observed" in mlflow_dvc("show", run_id).stdout
    mlflow_dvc("tag", run_id, "--force")
    assert "dvc.source" not in history.tags(run_id)
    assert "nobody observed" not in mlflow_dvc("show", run_id).stdout


@pytest.mark.parametrize("rev", ["nope", "--help", "-1", "HEAD..HEAD"])
def test_what_is_no_revision_is_said(project: Project, history: History, rev: str) -> None:
    project.commit()
    run_id = history.run(tags={})
    assert "has no commit" in mlflow_dvc("tag", run_id, f"--rev={rev}").error


def test_a_revision_without_data_is_said(project: Project, history: History) -> None:
    project.commit()
    assert "tracked nothing" in mlflow_dvc("tag", history.run(tags={}), "--rev", "HEAD").error


def test_old_runs_become_searchable_from_their_commits(project: Project, history: History) -> None:
    empty = project.commit("nothing yet")
    runs = {}
    for version in ("1", "2"):
        project.add("a", version)
        commit = project.commit(version)
        runs[version] = history.run(tags={"mlflow.source.git.commit": commit})
    early = history.run(tags={"mlflow.source.git.commit": empty})
    gone = history.run(tags={"mlflow.source.git.commit": "f" * 40})
    odd = history.run(tags={"mlflow.source.git.commit": "--upload-pack=x"})
    plain = history.run(tags={})
    mine = history.run()
    before = {run_id: history.tags(run_id) for run_id in (early, gone, odd, plain, mine)}

    would = mlflow_dvc("backfill", "--experiment", "Default", "--dry-run", "--json").json
    assert mlflow_dvc("find", "--path", "a", "--json").json[1:] == []
    done = mlflow_dvc("backfill", "--experiment", "Default", "--json").json
    assert done == would
    assert [run["run_id"] for run in done] == [odd, gone, early, runs["2"], runs["1"]]
    skipped = {run["run_id"]: run["skipped"] for run in done if not run["tags"]}
    assert "is not a commit hash" in skipped[odd]
    assert "Fetch it first" in skipped[gone]
    assert "tracked nothing" in skipped[early]
    assert before == {run_id: history.tags(run_id) for run_id in before}

    found = mlflow_dvc(
        "find", "--path", "a", "--hash", "c4ca4238a0b923820dcc509a6f75849b", "--json"
    )
    assert [run["run_id"] for run in found.json] == [runs["1"]]
    assert history.tags(runs["1"])["dvc.source"] == "derived"
    assert mlflow_dvc("restore", runs["1"]).code == 0
    assert (project.path / "a").read_text() == "1"
    again = mlflow_dvc("backfill", "--experiment", "Default")
    assert "Tagged 0 runs; 3 cannot be tagged." in again.stdout
    assert again.code == 1


def test_a_commit_too_large_for_tags_is_still_restored_from(
    project: Project, history: History
) -> None:
    for number in range(400):
        project.write(f"d/{number}.dvc", f"outs:\n- md5: '{number:032x}'\n  size: 1\n"
                      f"  hash: md5\n  path: '{number}'\n")  # fmt: skip
    project.commit()
    run_id = history.run(tags={})
    assert mlflow_dvc("tag", run_id, "--rev", "HEAD").stderr == ""
    state = load_state(run_id)
    assert (len(state.entries), state.source) == (400, "manifest")


def test_backfill_names_its_experiment(history: History) -> None:
    assert history
    assert mlflow_dvc("backfill").code == 2


@pytest.mark.parametrize("by", ["pyproject", "environment"])
def test_a_revision_has_the_outs_that_a_run_there_would_record(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    for name in ("a", "big/b", "c"):
        project.add(name, name)
    if by == "environment":
        monkeypatch.setenv("MLFLOW_DVC_EXCLUDE", "big/")
    else:
        project.write("pyproject.toml", '[tool.mlflow-dvc]\nexclude = ["big/"]\n')
    project.commit()
    there = history.run()
    if by == "pyproject":
        project.write("pyproject.toml", '[tool.mlflow-dvc]\nexclude = ["c"]\n')
        project.commit("other settings")
    project.add("a", "2")
    run_id = history.run(tags={})
    assert mlflow_dvc("tag", run_id, "--rev", "HEAD~1" if by == "pyproject" else "HEAD").code == 0
    assert history.tags(run_id)["dvc.data_hash"] == history.tags(there)["dvc.data_hash"]
    assert [e.path for e in load_state(run_id).entries] == ["a", "c"]


def test_a_state_that_is_only_in_git_is_read_by_the_settings_of_then(
    project: Project, history: History
) -> None:
    for name in ("a", "b"):
        project.add(name, name)
    project.write("pyproject.toml", '[tool.mlflow-dvc]\nexclude = ["b"]\n')
    project.commit()
    tags = {k: v for k, v in record(project.path).tags.items() if not k.startswith("dvc.manifest")}
    run_id = history.run(tags=tags)
    project.write("pyproject.toml", "")
    state = load_state(run_id)
    assert (state.source, [e.path for e in state.entries]) == ("commit", ["a"])
    tags["dvc.data_hash"] = "0" * 32
    assert "MLFLOW_DVC_INCLUDE" in mlflow_dvc("show", history.run(tags=tags)).error


def test_a_state_too_large_for_tags_leans_on_its_commit(project: Project, history: History) -> None:
    metafile = "outs:\n- md5: '{}'\n  size: 1\n  hash: md5\n  path: '{}'\n"
    for number in range(310):
        project.write(f"{number:03}.dvc", metafile.format(f"{number:032x}", f"{number:03}"))
    project.write("pyproject.toml", '[tool.mlflow-dvc]\nexclude = ["300"]\nmax_path_tags = 3\n')
    project.commit()
    project.write("000.dvc", metafile.format("f" * 32, "000"))
    for options in ([], ["--rev", "HEAD"]):
        run_id = history.run(tags={})
        assert mlflow_dvc("tag", run_id, *options).code == 0
        tags = history.tags(run_id)
        assert sum(key.startswith("dvc.data.") for key in tags) == 3
        state = load_state(run_id)
        assert len(state.entries) == 309
        assert state.entries[0].hash == ("f" * 32 if not options else f"{0:032x}")
