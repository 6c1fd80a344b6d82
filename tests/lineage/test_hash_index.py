"""The index of hashes for runs of earlier releases."""

from __future__ import annotations

import hashlib

import pytest

from mlflow_dvc_plugin.lineage.derivation import hash_index
from mlflow_dvc_plugin.lineage.search.hash_search import search_by_hashes
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.tracking import store
from tests.history import History, mlflow_dvc
from tests.project import Project

INDEX = ("dvc.hashes", "dvc.hashes_omitted", "dvc.out_hashes", "dvc.out_hashes_omitted")


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def index_of(history: History, run_id: str) -> dict[str, str]:
    return {k: v for k, v in history.tags(run_id).items() if k in INDEX}


def drop(history: History, run_id: str) -> dict[str, str]:
    index = index_of(history, run_id)
    for key in index:
        history.client.delete_tag(run_id, key)
    return index


def count_one_by_one(text: str) -> int:
    (result,) = search_by_hashes([md5(text)], Query()).values()
    return result.one_by_one


def test_old_runs_get_the_index_that_new_ones_have(project: Project, history: History) -> None:
    project.add_files("many", {f"{n:03}": b"content %d" % n for n in range(200)})
    project.add("raw.csv", "raw")
    project.write("dvc.yaml", "stages:\n  a:\n    cmd: cp raw.csv a\n    deps: [raw.csv]\n"
                  "    outs: [a]\n")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_STAGE", "a")
        inside = history.run()
    project.dvc("repro", "-q")
    assert mlflow_dvc("link").code == 0
    outside = history.run()
    before = {run_id: drop(history, run_id) for run_id in (inside, outside)}
    assert before[inside]["dvc.out_hashes"] == md5("raw")
    assert len(before[outside]["dvc.hashes"].split()) == 201
    assert count_one_by_one("raw") == 2
    dry = mlflow_dvc("backfill", "--index", "--dry-run", "--json").json
    assert {run["run_id"]: run["tags"] for run in dry} == before
    assert index_of(history, outside) == {}
    done = mlflow_dvc("backfill", "--index")
    assert done.stdout == "Tagged 2 runs; 0 cannot be tagged.\n"
    assert {run_id: index_of(history, run_id) for run_id in before} == before
    assert count_one_by_one("raw") == 0
    again = mlflow_dvc("backfill", "--index")
    assert (again.code, again.stdout[:27]) == (0, "There is nothing to tag: al")


def test_it_goes_on_where_it_was_interrupted_and_skips_what_cannot_be_read(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_index, "_BATCH", 3)
    monkeypatch.setattr(store, "PAGE", 2)
    project.add("a", "1")
    same = [history.run(start=1_700_000_000_000) for _ in range(7)]
    later = [history.run() for _ in range(4)]
    unreadable = [
        history.run(tags={"dvc.schema": "1", "dvc.data_hash": f"{n:032x}"}) for n in range(4)
    ]
    other = history.run(tags={"another": "tool"})
    for run_id in same + later:
        drop(history, run_id)

    written = 0
    write = store.write_tags

    def write_five(*args: object, **kwargs: object) -> None:
        nonlocal written
        written += 1
        if written > 5:
            raise KeyboardInterrupt
        write(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(hash_index, "write_tags", write_five)
    assert mlflow_dvc("backfill", "--index").code == 130
    assert sum(bool(index_of(history, run_id)) for run_id in same + later) == 5
    monkeypatch.setattr(hash_index, "write_tags", write)
    done = mlflow_dvc("backfill", "--index")
    assert done.stdout.startswith("Tagged 6 runs; 4 cannot be tagged.\n")
    for run_id in unreadable:
        assert f"{run_id} cannot be tagged: Run {run_id} has neither a manifest" in done.stdout
    assert {index_of(history, run_id)["dvc.hashes"] for run_id in same + later} == {md5("1")}
    assert index_of(history, other) == {}
    assert mlflow_dvc("backfill", "--index").code == 1, "four need it, and cannot have it"


def test_only_the_chosen_experiments_are_indexed(project: Project, history: History) -> None:
    project.add("a", "1")
    experiment = history.client.create_experiment("chosen")
    chosen, other = history.run(experiment), history.run()
    for run_id in (chosen, other):
        drop(history, run_id)
    assert mlflow_dvc("backfill", "--index", "--experiment", "chosen").code == 0
    assert index_of(history, chosen)
    assert not index_of(history, other)
    assert mlflow_dvc("backfill").code == 2
