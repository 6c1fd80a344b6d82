"""The installed plugin, met as a user meets it: a script that knows nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import mlflow_dvc_plugin
from tests import forkserver
from tests.project import Project

# What a training script does; afterwards it tells its run's DVC tags.
JOB = """
import json, sys, warnings
warnings.simplefilter("ignore", FutureWarning)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import mlflow
assert not [w for w in seen if "context provider" in str(w.message)], seen
import logging
mlflow.set_experiment("e")
with mlflow.start_run() as run:
    mlflow.log_metric("m", 1)
tags = mlflow.get_run(run.info.run_id).data.tags
loaded = [name for name in ("dvc", "pandas") if name in sys.modules]
found = {k: v for k, v in tags.items() if k.startswith("dvc.")}
print(json.dumps({"tags": found, "loaded": loaded}))
"""


def train(cwd: Path, store: str, fresh: bool = False, **env: str) -> dict[str, str]:
    """Run the job in a process of its own; the DVC tags of its run.

    A fresh one imports MLflow itself; the others are forked when that is done.
    """
    environ = {**os.environ, "MLFLOW_TRACKING_URI": store, "MLFLOW_ALLOW_FILE_STORE": "true", **env}
    if fresh:
        command = [sys.executable, "-c", JOB]
        done = subprocess.run(
            command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
        )
    else:
        done = forkserver.MLFLOW.run("-c", JOB, cwd=cwd, env=environ)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert "dvc" not in answer["loaded"]
    tags: dict[str, str] = answer["tags"]
    return tags


@pytest.mark.versions
@pytest.mark.windows
def test_a_run_that_knows_nothing_of_it_is_tagged(project: Project, store: str) -> None:
    project.add("data/a.csv", "1")
    commit = project.commit()
    tags = train(project.path, store, fresh=True)
    assert tags["dvc.data.data/a.csv"] == "c4ca4238a0b923820dcc509a6f75849b"
    assert tags["dvc.git_commit"] == commit
    assert tags["dvc.schema"] == "1"
    assert tags["dvc.root"] == "."
    assert tags["dvc.status"] == "clean"
    assert "dvc.lock_hash" not in tags
    assert "dvc.error" not in tags


@pytest.mark.versions
def test_a_file_store_takes_the_tags(project: Project, tmp_path: Path) -> None:
    project.add("data/a b.csv", "1")
    project.add("data/größe.csv", "2")
    tags = train(project.path, (tmp_path / "mlruns").as_uri())
    assert tags["dvc.data.data/a b.csv"] == "c4ca4238a0b923820dcc509a6f75849b"
    assert [key for key in tags if key.startswith("dvc.data.data/gr")]


@pytest.mark.slow
def test_a_real_server_takes_the_tags(project: Project, server: str) -> None:
    project.add("data/a.csv", "1")
    tags = train(project.path, server)
    assert tags["dvc.data.data/a.csv"] == "c4ca4238a0b923820dcc509a6f75849b"
    assert tags["dvc.manifest"].startswith("1:1:")


def test_outside_any_project_there_is_no_tag(tmp_path: Path, store: str) -> None:
    assert train(tmp_path, store) == {}


def test_the_plugin_can_be_switched_off(project: Project, store: str) -> None:
    project.add("a", "1")
    assert train(project.path, store, MLFLOW_DVC_DISABLE="1") == {}


def test_a_project_without_git_is_tagged(tmp_path: Path, store: str) -> None:
    plain = Project.create(tmp_path / "plain", git=False)
    plain.add("a", "1")
    tags = train(plain.path, store)
    assert tags["dvc.data.a"] == "c4ca4238a0b923820dcc509a6f75849b"
    assert tags["dvc.root"] == "."
    assert "dvc.git_commit" not in tags


def test_a_project_without_commits_is_tagged(project: Project, store: str) -> None:
    project.add("a", "1")
    tags = train(project.path, store)
    assert tags["dvc.data.a"] == "c4ca4238a0b923820dcc509a6f75849b"
    assert "dvc.git_commit" not in tags


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.dvc", "outs: [\n"),
        ("a.dvc", b"\xff\xfe\x00"),
        ("a.dvc", "<<<<<<< HEAD\nouts:\n=======\nouts: []\n>>>>>>> other\n"),
        ("a.dvc", "cmd: python old.py\nouts:\n- path: a\n"),
        ("dvc.yaml", "stages: 5\n"),
    ],
)
def test_a_broken_metafile_is_said_and_breaks_nothing(
    project: Project, store: str, name: str, content: str | bytes
) -> None:
    project.write(name, content)
    tags = train(project.path, store)
    assert set(tags) == {"dvc.schema", "dvc.error"}
    assert name in tags["dvc.error"]
    assert "\n" not in tags["dvc.error"]


def test_a_lock_with_merge_markers_is_said_and_breaks_nothing(project: Project, store: str) -> None:
    project.write("dvc.yaml", "stages:\n  a:\n    cmd: echo > a\n    outs: [a]\n")
    project.write("dvc.lock", "schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n=======\n>>>>>>> other\n")
    tags = train(project.path, store)
    assert set(tags) == {"dvc.schema", "dvc.error"}
    assert "dvc.lock" in tags["dvc.error"]


def test_an_unreadable_metafile_is_said_and_breaks_nothing(project: Project, store: str) -> None:
    # Root reads whatever has no permissions, but not a link to itself.
    (project.path / "a.dvc").symlink_to("a.dvc")
    tags = train(project.path, store)
    assert set(tags) == {"dvc.schema", "dvc.error"}
    assert "a.dvc" in tags["dvc.error"]


def test_a_bad_setting_is_said_and_breaks_nothing(project: Project, store: str) -> None:
    project.add("a", "1")
    tags = train(project.path, store, MLFLOW_DVC_MAX_PATH_TAGS="many")
    assert set(tags) == {"dvc.schema", "dvc.error"}
    assert "MLFLOW_DVC_MAX_PATH_TAGS" in tags["dvc.error"]


@pytest.mark.versions
def test_settings_in_pyproject_hold_and_the_environment_wins(project: Project, store: str) -> None:
    project.add("a", "1")
    project.add("b", "2")
    project.write("pyproject.toml", "[tool.mlflow-dvc]\nexclude = ['b']\n")
    assert "dvc.data.b" not in train(project.path, store)
    assert "dvc.data.a" not in train(project.path, store, MLFLOW_DVC_EXCLUDE="a")


def test_importing_the_package_imports_neither_dvc_nor_mlflow() -> None:
    code = (
        "import sys, mlflow_dvc_plugin\n"
        "assert not {'dvc', 'mlflow', 'yaml', 'pandas'} & set(sys.modules), sys.modules\n"
        "mlflow_dvc_plugin.capture\n"
        "assert not {'dvc', 'mlflow', 'pandas'} & set(sys.modules)\n"
        "assert 'restore' in dir(mlflow_dvc_plugin)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.versions
@pytest.mark.windows
def test_the_provider_imported_first_is_registered_all_the_same() -> None:
    code = (
        "import warnings\n"
        "warnings.simplefilter('error')\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    from mlflow_dvc_plugin.provider import DvcRunContext\n"
        "assert not [w for w in seen if 'context provider' in str(w.message)], seen\n"
        "from mlflow.tracking.context.registry import _run_context_provider_registry as all_\n"
        "from mlflow.tracking.context.abstract_context import RunContextProvider\n"
        "assert sum(isinstance(each, DvcRunContext) for each in all_) == 1\n"
        "assert issubclass(DvcRunContext, RunContextProvider)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", mlflow_dvc_plugin.__all__)
def test_no_module_hides_a_public_name(name: str) -> None:
    # Once it was imported, the package's attribute would be the module.
    assert find_spec(f"mlflow_dvc_plugin.{name}") is None
    assert getattr(mlflow_dvc_plugin, name) is not None


@pytest.mark.versions
def test_from_pandas_and_log_input_take_the_tags(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    names = [f"{number:02d}-{'x' * 150}" for number in range(30)]
    project.add_files("data", dict.fromkeys(names, b"1"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with mlflow.start_run() as run:
        data = mlflow.data.from_pandas(pd.DataFrame({"a": [1]}))
        mlflow.log_input(data, "training")
    inputs = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert "dvc.data_hash" in inputs[0].dataset.source, inputs
