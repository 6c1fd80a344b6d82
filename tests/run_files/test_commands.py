"""`mlflow-dvc ls` and `cat`: a run's data without restoring it."""

from __future__ import annotations

import hashlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.run_files.conftest import FILES, Stored

pytestmark = pytest.mark.slow


def item(name: str) -> dict[str, object]:
    content = FILES[name]
    value = hashlib.md5(content).hexdigest()
    return {"path": name, "size": len(content), "hash": value, "isdir": False}


def test_ls_lists_the_outs_and_what_is_in_a_folder(stored: Stored) -> None:
    images = {
        "path": "data/images",
        "size": 9,
        "hash": stored.hashes["data/images"],
        "isdir": True,
    }
    outs = [images, item("data/raw.csv"), item("model.bin")]
    assert mlflow_dvc("ls", stored.run_id, "--json").json == outs
    assert mlflow_dvc("ls", stored.run_id, "data", "--json").json == outs[:2]
    inside = [item(name) for name in FILES if name.startswith("data/images/")]
    assert mlflow_dvc("ls", stored.run_id, "data/images", "--json").json == inside
    assert mlflow_dvc("ls", stored.run_id, "data/images/sub/", "--json").json == inside[2:]
    found = mlflow_dvc("ls", stored.run_id, "model.bin", "--json").json
    assert found == [item("model.bin")]
    assert os.listdir() == []


def test_ls_prints_a_line_for_each_and_a_tree_on_a_terminal(stored: Stored) -> None:
    lines = mlflow_dvc("ls", stored.run_id).stdout.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == ["path", "data/images/", "data/raw.csv", "model.bin"]
    assert "10.2 kB" in lines[-1]
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "ls", stored.run_id, "data/images"]
    subprocess.run(
        command, stdout=terminal, check=True, env={**os.environ, "COLUMNS": "90", "NO_COLOR": "1"}
    )
    lines = os.read(main, 10_000).decode().splitlines()[1:]
    for line, start in zip(
        lines,
        (
            "└─ data/",
            "   └─ images/",
            "      ├─ 1.txt",
            "      ├─ 2.txt",
            "      └─ sub/",
            "         └─ größe",
        ),
        strict=False,
    ):
        assert line.startswith(start)
    assert hashlib.md5(b"two").hexdigest() in lines[5]


def test_cat_prints_the_bytes_of_a_file(stored: Stored) -> None:
    for name in ("model.bin", "data/images/sub/größe"):
        command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "cat", stored.run_id, name]
        assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == FILES[name]


def test_cat_prints_nothing_that_is_not_verified(stored: Stored) -> None:
    value = hashlib.md5(FILES["model.bin"]).hexdigest()
    path = stored.remote / "files/md5" / value[:2] / value[2:]
    path.chmod(0o644)
    path.write_bytes(FILES["model.bin"][:-1])
    error = mlflow_dvc("cat", stored.run_id, "model.bin").error
    assert "other bytes under this hash" in error


def test_what_is_not_there_is_one_sentence(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("ls", "cat"):
        assert "no data at 'nothing'" in mlflow_dvc(command, stored.run_id, "nothing").error
        assert "no data at '../x'" in mlflow_dvc(command, stored.run_id, "../x").error
    assert "data/images is a folder" in mlflow_dvc("cat", stored.run_id, "data/images").error
    monkeypatch.delenv("MLFLOW_DVC_URL")
    for command in ("ls", "cat"):
        error = mlflow_dvc(command, stored.run_id, "model.bin").error
        for way in ("--url", "MLFLOW_DVC_URL", "--config"):
            assert way in error


def test_in_a_clone_paths_are_those_of_the_working_directory(
    clone: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = history.run()
    monkeypatch.chdir(clone.path / "data")
    assert mlflow_dvc("ls", run_id, "raw.csv", "--json").json == [item("data/raw.csv")]
    assert mlflow_dvc("ls", run_id, ".", "--json").json[1] == item("data/raw.csv")
    remote = str(Path(clone.path.parent / "remote"))
    found = mlflow_dvc("ls", run_id, "data/raw.csv", "--url", remote, "--json")
    assert found.json == [item("data/raw.csv")]
