"""Tags given to runs after the fact."""

from __future__ import annotations

import pytest

from mlflow_dvc_plugin.runs import load_state
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
    mlflow_dvc("tag", run_id, "--force")
    assert "dvc.source" not in history.tags(run_id)


@pytest.mark.parametrize("rev", ["nope", "--help", "-1", "HEAD..HEAD"])
def test_what_is_no_revision_is_said(project: Project, history: History, rev: str) -> None:
    project.commit()
    run_id = history.run(tags={})
    assert "Git has no commit" in mlflow_dvc("tag", run_id, f"--rev={rev}").error


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
    assert "fetch it first" in skipped[gone]
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
    assert "Tagged 0 runs; 3 cannot be." in again.stdout


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
