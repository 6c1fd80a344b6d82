"""Model versions and aliases: which data made them, and can it be restored?"""

from __future__ import annotations

from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service.utils import _get_store

import mlflow_dvc_plugin as mlflow_dvc
from tests.history import History
from tests.history import mlflow_dvc as command
from tests.project import Project

pytestmark = pytest.mark.slow

needs_mlflow_3 = pytest.mark.skipif(
    not hasattr(mlflow, "create_external_model"), reason="MLflow 2 has no logged models"
)


@pytest.fixture(autouse=True)
def registry(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(history.project)
    mlflow.set_tracking_uri(history.uri)


@pytest.fixture
def data(project: Project) -> Project:
    project.add("data.csv", "1")
    project.commit()
    project.push()
    return project


def register(run_id: str | None, name: str = "net", alias: str = "") -> str:
    """A version of a model that comes from a run; its number."""
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"runs:/{run_id}/model" if run_id else "s3://models/net"
    if run_id:
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
    version = str(client.create_model_version(name, source, run_id).version)
    if alias:
        client.set_registered_model_alias(name, alias, version)
    return version


def tags_of(version: str, name: str = "net") -> dict[str, str]:
    return dict(MlflowClient().get_model_version(name, version).tags)


def expected(history: History, run_id: str) -> dict[str, str]:
    tags = history.tags(run_id)
    kept = ("dvc.data_hash", "dvc.status", "dvc.git_commit", "dvc.data.data.csv")
    return {key: tags[key] for key in kept} | {"dvc.run_id": run_id}


@pytest.mark.usefixtures("data")
def test_link_gives_versions_the_data_of_their_runs_once(history: History) -> None:
    one, two = history.run(), history.run(tags={})
    register(one), register(two), register(None), register(one, "other", alias="best")
    (dry, *_) = command("link", "--models", "--dry-run", "--json").json
    assert dry["changed"]
    assert tags_of("1") == {}
    done = command("link", "--models", "--json")
    assert done.code == 0
    assert [(each["uri"], each["changed"], each.get("skipped")) for each in done.json] == [
        ("models:/net/1", True, None),
        ("models:/net/2", False, f"its run {two} recorded no data"),
        ("models:/net/3", False, "it does not say which run it comes from"),
        ("models:/other/1", True, None),
    ]
    assert done.json[3]["aliases"] == ["best"]
    assert tags_of("1") == tags_of("1", "other") == expected(history, one)
    assert tags_of("2") == tags_of("3") == {}
    assert "Linked 0 model versions" in command("link", "--models").stdout
    assert "2 were linked before" in command("link", "--models").stdout


@pytest.mark.usefixtures("data")
def test_a_link_that_was_interrupted_is_completed(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = history.run()
    for _ in range(3):
        register(run_id)
    written: list[str] = []
    write = MlflowClient.set_model_version_tag

    def interrupt(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(written) == 7:
            raise KeyboardInterrupt
        write(self, *args, **kwargs)
        written.append(args[2])

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_model_version_tag", interrupt)
        assert command("link", "--models").code == 130
    assert tags_of("3") == {}
    documents = command("link", "--models", "--json").json
    assert [each["changed"] for each in documents] == [False, True, True]
    assert tags_of("1") == tags_of("2") == tags_of("3") == expected(history, run_id)


@pytest.mark.usefixtures("data")
def test_what_a_version_says_else_than_its_run_is_corrected(history: History) -> None:
    run_id = history.run()
    register(run_id)
    client = MlflowClient()
    wrong = {"dvc.data_hash": "0" * 32, "dvc.data.old.csv": "1", "mine": "2", "dvc.mine": "3"}
    for key, value in wrong.items():
        client.set_model_version_tag("net", "1", key, value)
    command("link", "--models")
    assert tags_of("1") == expected(history, run_id) | {"mine": "2", "dvc.mine": "3"}


@pytest.mark.usefixtures("data")
def test_more_versions_than_a_page_are_linked(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow_dvc_plugin.tracking.models._PAGE", 2)
    run_id = history.run()
    for _ in range(5):
        register(run_id)
    documents = command("link", "--models", "--json").json
    assert [each["version"] for each in documents] == ["1", "2", "3", "4", "5"]
    assert tags_of("5") == expected(history, run_id)


def test_an_empty_registry_and_wrong_options_are_said() -> None:
    done = command("link", "--models")
    assert (done.code, "no model versions" in done.stdout) == (1, True)
    assert command("link", "--models", "--experiment", "x").code == 2
    assert command("check", "--alias", "champion", "a" * 32).code == 2
    assert command("check", "--model", "net", "a" * 32).code == 2
    assert "model net has no versions" in command("check", "--model", "net").error
    assert (
        "no models:/net@champion" in command("check", "--model", "net", "--alias", "champion").error
    )


@pytest.mark.usefixtures("data")
def test_autologging_tags_a_version_whoever_registers_it(history: History) -> None:
    mlflow_dvc.autolog(log_artifacts=False)
    old = history.run()
    register(old)
    with mlflow.start_run() as run:
        register(run.info.run_id)
    assert tags_of("1") == expected(history, old)
    assert tags_of("2") == expected(history, run.info.run_id)
    mlflow_dvc.autolog(log_models=False)
    register(old)
    assert tags_of("3") == {}


@needs_mlflow_3
def test_versions_of_logged_models_are_tagged(data: Project, history: History) -> None:
    from sklearn.linear_model import LogisticRegression

    mlflow_dvc.autolog(log_artifacts=False)
    with mlflow.start_run() as run:
        data.add("data.csv", "2")
        mlflow.sklearn.log_model(
            LogisticRegression(),
            name="a",
            registered_model_name="net",
            pip_requirements=["scikit-learn"],
        )
        external = mlflow.create_external_model("ext")
    mlflow.register_model(external.model_uri, "net")
    mlflow.register_model("models:/net/1", "copy", tags={"dvc.status": "mine"})
    tags = expected(history, run.info.run_id)
    assert tags_of("1") == tags_of("2") == tags
    assert tags_of("1", "copy") == tags | {"dvc.status": "mine"}


@pytest.mark.usefixtures("data")
def test_a_registry_that_fails_does_not_stop_the_registration(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = history.run()
    mlflow_dvc.autolog(log_artifacts=False)
    monkeypatch.setattr(
        "mlflow_dvc_plugin.lineage.derivation.model_versions.get_run", lambda *_: 1 / 0
    )
    assert register(run_id) == "1"
    assert tags_of("1") == {}


def test_find_lists_models_versions_and_aliases(data: Project, history: History) -> None:
    one, two = history.run(), history.run()
    register(one, alias="champion"), register(one, "other"), register(one, alias="old")
    data.add("data.csv", "2")
    register(history.run())
    found = {
        each["run_id"]: each["models"]
        for each in command("find", "--same-as", one, "--models", "--json").json
    }
    models = {run_id: [(m["uri"], m["aliases"]) for m in found[run_id]] for run_id in found}
    assert models == {
        two: [],
        one: [("models:/net/1", ["champion"]), ("models:/net/2", ["old"]), ("models:/other/1", [])],
    }
    shown = command("find", "--same-as", one, "--models").stdout
    assert "models:/net/1 (@champion)" in shown
    assert "models" not in command("find", "--same-as", one, "--json").json[0]


@needs_mlflow_3
@pytest.mark.usefixtures("data")
def test_find_lists_logged_models(history: History) -> None:
    run_id = history.run()
    model = mlflow.create_external_model("ext", source_run_id=run_id)
    (found,) = command("find", "--models", "--json").json
    uri = f"models:/{model.model_id}"
    assert found["models"] == [{"uri": uri, "name": "ext", "run_id": run_id, "aliases": []}]


def test_show_and_diff_answer_in_terms_of_versions(data: Project, history: History) -> None:
    one = history.run()
    register(one, alias="champion")
    data.add("data.csv", "2")
    two = history.run()
    register(two)
    shown = command("show", "models:/net@champion", "--json").json
    assert shown["run_id"] == one
    assert shown["model"] == {
        "uri": "models:/net/1",
        "name": "net",
        "run_id": one,
        "version": "1",
        "aliases": ["champion"],
    }
    assert "models:/net/1 (@champion)" in command("show", "models:/net/1").stdout
    assert "model" not in command("show", one, "--json").json
    compared = command("diff", "models:/net/1", "models:/net/latest", "--json").json
    assert [item["path"] for item in compared["modified"]] == ["data.csv"]
    assert [(run["run_id"], run["model"]["uri"]) for run in compared["runs"]] == [
        (one, "models:/net/1"),
        (two, "models:/net/2"),
    ]
    lines = command("diff", "models:/net/1", "models:/net/2").stdout.splitlines()
    assert lines[0].startswith("---  models:/net/1 (@champion)  ")
    assert lines[1].startswith("+++  models:/net/2  ")
    assert "runs" not in command("diff", one, two, "--json").json


def test_check_is_a_gate_for_an_alias(data: Project, history: History) -> None:
    one = history.run()
    register(one, alias="champion")
    data.add("data.csv", "never pushed")
    two = history.run()
    register(two)
    gone = history.run()
    register(gone)
    register(None)
    MlflowClient().delete_run(gone)
    _get_store()._hard_delete_run(gone)
    (data.path / "data.csv").unlink()
    data.lose()
    gate = command("check", "--model", "net", "--alias", "champion")
    assert gate.code == 0
    assert gate.stdout.startswith("models:/net/1 (@champion)  ")
    assert "1 model version can be restored." in gate.stdout
    everything = command("check", "--model", "net", "--json")
    assert everything.code == 1
    assert [(each["model"]["version"], each["restorable"]) for each in everything.json] == [
        ("1", True),
        ("2", False),
        ("3", False),
        ("4", False),
    ]
    reasons = [each["reason"] for each in everything.json]
    assert "neither in the cache nor in the remote" in reasons[1]
    assert f"no run {gone}" in reasons[2]
    assert reasons[3] == "it does not say which run it comes from"
    MlflowClient().set_registered_model_alias("net", "champion", "2")
    assert command("check", "--model", "net", "--alias", "champion").code == 1
