"""From what a user writes to a run, against real stores."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.errors import NoRecordedStateError, RunNotFoundError, TrackingError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.tracking import Run, find_run, lookup, search_runs
from tests.project import Project
from tests.record import record


@pytest.fixture(scope="module")
def store(module_store: str) -> str:
    return module_store


@pytest.fixture(scope="module")
def client(store: str) -> MlflowClient:
    return MlflowClient(store, registry_uri=store)


@pytest.fixture(scope="module")
def run_id(client: MlflowClient) -> str:
    return str(client.create_run("0", tags={"dvc.schema": "1"}).info.run_id)


def test_a_run_is_found_by_id_prefix_and_uri(store: str, run_id: str) -> None:
    for text in (run_id, run_id[:12], f"runs:/{run_id}", f"runs:/{run_id}/model"):
        assert find_run(text, store).run_id == run_id


def test_a_run_is_found_in_whichever_experiment(store: str, client: MlflowClient) -> None:
    other = client.create_run(client.create_experiment("other"))
    assert find_run(other.info.run_id[:16], store).run_id == other.info.run_id


def test_an_ambiguous_prefix_lists_the_candidates(store: str, client: MlflowClient) -> None:
    ids = sorted(client.create_run("0").info.run_id for _ in range(20))
    first = next(a[0] for a, b in itertools.pairwise(ids) if a[0] == b[0])
    with pytest.raises(RunNotFoundError, match="start with") as err:
        find_run(first, store)
    assert sum(run_id in str(err.value) for run_id in ids) >= 2


@pytest.mark.parametrize("text", ["zz", "f" * 32, "x%", "a'b", "", "../x", "runs:/", "models:/m"])
def test_what_is_no_run_is_said_in_one_line(store: str, text: str) -> None:
    with pytest.raises(RunNotFoundError) as err:
        find_run(text, store)
    assert "\n" not in str(err.value)


def test_a_model_version_and_an_alias_lead_to_the_run(
    store: str, client: MlflowClient, run_id: str
) -> None:
    client.create_registered_model("net")
    client.create_model_version("net", source=f"runs:/{run_id}/model", run_id=run_id)
    client.set_registered_model_alias("net", "champion", "1")
    assert find_run("models:/net/1", store).run_id == run_id
    assert find_run("models:/net@champion", store).run_id == run_id
    nothing = ("net/2", "net@nobody", "other/1", "other/latest", "o'ther/latest", "'\"/latest")
    for text in (f"models:/{name}" for name in nothing):
        with pytest.raises(RunNotFoundError, match="model registry"):
            find_run(text, store)


def test_the_latest_version_is_the_one_with_the_highest_number(
    store: str, client: MlflowClient, run_id: str
) -> None:
    client.create_registered_model("it's")
    other = client.create_run("0").info.run_id
    for number in range(1, 11):
        made_by = run_id if number == 10 else other
        client.create_model_version("it's", source=f"runs:/{made_by}/model", run_id=made_by)
    # What was touched last is not what was made last.
    client.update_model_version("it's", "9", description="touched")
    assert find_run("models:/it's/latest", store).run_id == run_id


def test_a_logged_model_leads_to_its_run(store: str, client: MlflowClient, run_id: str) -> None:
    if not hasattr(client, "create_logged_model"):
        with pytest.raises(RunNotFoundError, match="model registry"):
            find_run("models:/m-1", store)
        return
    with_run = client.create_logged_model("0", source_run_id=run_id)
    without = client.create_logged_model("0")
    assert find_run(with_run.model_uri, store).run_id == run_id
    with pytest.raises(RunNotFoundError, match="does not say which run"):
        find_run(without.model_uri, store)
    with pytest.raises(RunNotFoundError, match="model registry"):
        find_run("models:/m-" + "0" * 32, store)


def test_a_deleted_run_is_said_to_be_deleted(store: str, client: MlflowClient) -> None:
    gone = client.create_run("0").info.run_id
    client.delete_run(gone)
    with pytest.raises(RunNotFoundError, match="deleted"):
        find_run(gone, store)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def plain_port() -> Iterator[int]:
    """A port that speaks HTTP without TLS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("http://user:secret@127.0.0.1:9", "connection refused"),
        ("http://nowhere.invalid:5000", "unknown host"),
        ("http://127.0.0.1:{silent}", "timed out"),
        ("https://127.0.0.1:{plain}", "TLS failed: WRONG_VERSION_NUMBER"),
    ],
)
def test_a_server_that_does_not_answer_is_told_in_one_line(
    server: str, reason: str, silent_port: int, plain_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    uri = server.format(silent=silent_port, plain=plain_port)
    shown = uri.replace("user:secret@", "")
    with pytest.raises(TrackingError) as err:
        find_run("a" * 32, uri)
    assert str(err.value) == (
        f"MLflow at {shown} does not answer ({reason}). Start the server, or check "
        "--tracking-uri or MLFLOW_TRACKING_URI."
    )


def test_only_the_command_line_chooses_how_long_mlflow_waits(store: str, run_id: str) -> None:
    find_run(run_id, store)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_run_without_dvc_tags_is_said_to_have_none(store: str, client: MlflowClient) -> None:
    plain = client.create_run("0").info.run_id
    with pytest.raises(NoRecordedStateError, match="no DVC tags"):
        load_state(plain, store)


def test_a_run_whose_capture_failed_says_why(store: str, client: MlflowClient) -> None:
    tags = {"dvc.schema": "1", "dvc.error": "data.dvc: merge markers"}
    failed = client.create_run("0", tags=tags).info.run_id
    with pytest.raises(NoRecordedStateError, match="merge markers"):
        load_state(failed, store)


def test_a_state_reads_back_from_a_store_as_it_was_recorded(
    project: Project, store: str, client: MlflowClient
) -> None:
    project.add("data/a.csv", "1")
    project.add("data/größe", "2")
    project.commit()
    tags = record(project.path).tags
    stored = client.create_run("0", tags=dict(tags)).info.run_id
    state = load_state(stored, store)
    assert state.to_tags().keys() <= tags.keys() | {"dvc.manifest"}
    assert state.data_hash == tags["dvc.data_hash"]
    assert [e.path for e in state.entries] == ["data/a.csv", "data/größe"]


def test_a_state_whose_tags_were_changed_is_refused(project: Project) -> None:
    project.add("a", "1")
    run = record(project.path)
    changed = type(run)(**{**vars(run), "tags": {**run.tags, "dvc.data_hash": "0" * 32}})
    with pytest.raises(NoRecordedStateError, match="changed"):
        load_state(changed)


def test_mlflow_itself_is_not_left_changed(store: str, run_id: str, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mine.db'}")
    find_run(run_id, store)
    assert mlflow.get_tracking_uri().endswith("mine.db")


def test_an_id_that_a_shell_could_run_is_no_run(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may send anything, and commands print ids for people to copy."""
    client = MlflowClient(store)
    run_id = client.create_run("0").info.run_id
    evil = f"{run_id[:8]}$(touch x)"

    def answer(*args: object, **options: object) -> Iterator[Run]:
        for run in search_runs(*args, **options):  # type: ignore[arg-type]
            yield run
            yield replace(run, run_id=evil)

    monkeypatch.setattr(lookup, "search_runs", answer)
    assert lookup.find_run(run_id[:8], store).run_id == run_id
