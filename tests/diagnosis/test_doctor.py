"""`mlflow-dvc doctor` says what is here, what is wrong, and no secret."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mlflow_dvc_plugin
from mlflow_dvc_plugin.diagnosis import privacy, registration
from mlflow_dvc_plugin.settings import Settings
from tests.history import mlflow_dvc
from tests.project import Project


@pytest.fixture
def healthy(
    project: Project, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project in which runs can be tagged and restored."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.remote(tmp_path / "remote")
    project.add("data/a.csv", "1")
    project.add("b.csv", "2")
    project.commit()
    project.push()
    return project


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on the loopback interface that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


def examine(*args: str) -> Any:
    """What the command says as JSON; its exit code has to fit."""
    done = mlflow_dvc("doctor", "--json", *args)
    assert done.code == (1 if done.json["problems"] else 0)
    return done.json


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_healthy_project_has_no_problem(healthy: Project, store: str) -> None:
    found = examine()
    assert found["problems"] == []
    assert found["software"]["missing"] == found["software"]["mismatches"] == []
    assert {"click", "dvc-data", "pyyaml"} <= set(found["software"]["packages"])
    assert found["registration"]["reason"] == ""
    assert found["registration"]["absent"] == []
    assert found["registration"]["environment"] == sys.prefix
    assert found["project"]["root"] == str(healthy.path)
    assert found["project"]["reason"] == "the working directory"
    assert (found["outs"], found["status"]) == (2, "clean")
    assert found["store"]["uri"] == store
    assert found["store"]["source"] == "MLFLOW_TRACKING_URI"
    assert found["store"]["answers"] is True
    (remote,) = found["remotes"]
    assert (remote["name"], remote["scheme"], remote["answers"]) == ("store", "local", True)
    page = mlflow_dvc("doctor").stdout
    for heading in ("Versions", "Plugin", "Project", "Settings", "MLflow store", "DVC storage"):
        assert f"\n**{heading}**\n\n" in page
    assert len(page.splitlines()) < 60
    assert "No problem found" in page


def test_the_link_types_are_those_that_dvc_finds(healthy: Project) -> None:
    said = healthy.dvc("doctor")
    (line,) = [line for line in said.splitlines() if line.startswith("Cache types: ")]
    cache = examine()["cache"]
    works = {kind for kind, works in cache["links"].items() if works}
    assert works == {*line.removeprefix("Cache types: ").split(", "), "copy"} - {""}
    (line,) = [line for line in said.splitlines() if line.startswith("Cache directory: ")]
    assert line.removeprefix("Cache directory: ").split(" on ")[0] == cache["file_system"]


@pytest.mark.usefixtures("healthy")
def test_it_changes_nothing(tmp_path: Path) -> None:
    examine()  # DVC makes its folders when it opens a project
    before = list_files(tmp_path)
    examine()
    after = list_files(tmp_path)
    assert {name: after[name] for name in after if "/.dvc/tmp/" not in name} == {
        name: before[name] for name in before if "/.dvc/tmp/" not in name
    }
    assert after.keys() == before.keys()


def test_a_cache_and_a_store_that_do_not_exist_are_not_made(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/later.db")
    found = examine()
    assert found["store"]["exists"] is False
    assert found["cache"]["exists"] is False
    assert found["cache"]["links"]["copy"] is True
    assert not (project.path / ".dvc/cache").exists()
    assert not (tmp_path / "later.db").exists()
    assert "does not exist yet" in mlflow_dvc("doctor").stdout


def test_problems_are_those_of_status(healthy: Project, tmp_path: Path) -> None:
    healthy.dvc("remote", "remove", "store")
    healthy.write("b.csv", "edited")
    healthy.add("c.csv", "3")
    problems = examine()["problems"]
    assert problems == mlflow_dvc("status", "--json").json["problems"]
    assert any("There is no default DVC remote" in each for each in problems)
    healthy.remote(tmp_path / "empty")
    assert any("Not in the DVC remote: " in each for each in examine()["problems"])
    (tmp_path / "empty").rmdir()
    problems = [each.replace("remote store", "remote") for each in examine()["problems"]]
    assert any("Nothing was pushed yet" in each for each in problems)
    assert problems == mlflow_dvc("status", "--json").json["problems"]


def test_outside_a_project_all_else_is_shown(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    found = examine()
    (problem,) = found["problems"]
    assert problem.startswith(f"{folder} is in no DVC project. Runs that start here get no tags.")
    assert found["cache"] is None
    assert found["store"]["answers"] is True
    monkeypatch.setenv("MLFLOW_DVC_ROOT", str(folder))
    (problem,) = examine()["problems"]
    assert "MLFLOW_DVC_ROOT is " in problem


def test_it_says_why_this_project(healthy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (healthy.path / "sub/deep").mkdir(parents=True)
    monkeypatch.chdir(healthy.path / "sub/deep")
    assert examine()["project"]["reason"] == "the nearest one above the working directory"
    monkeypatch.chdir("/")
    monkeypatch.setenv("MLFLOW_DVC_ROOT", str(healthy.path))
    assert examine()["project"]["reason"] == "MLFLOW_DVC_ROOT names it"
    monkeypatch.delenv("MLFLOW_DVC_ROOT")
    script = healthy.path / "train.py"
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    found = examine()
    assert found["project"]["root"] == str(healthy.path)
    assert str(script) in found["project"]["reason"]


def test_settings_say_where_they_come_from(
    healthy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy.write("pyproject.toml", '[tool.mlflow-dvc]\nsave = "1"\nmax_path_tags = 5\n')
    monkeypatch.setenv("MLFLOW_DVC_MAX_PATH_TAGS", "3")
    monkeypatch.setenv("MLFLOW_DVC_EXCLUED", "data")
    found = examine()
    settings = {
        each["name"]: (each["value"], each["source"]) for each in found["project"]["settings"]
    }
    assert len(settings) == len(Settings._fields)
    assert settings["MLFLOW_DVC_SAVE"] == ("1", "pyproject.toml")
    assert settings["MLFLOW_DVC_MAX_PATH_TAGS"] == ("3", "environment")
    assert settings["MLFLOW_DVC_EXCLUDE"] == ([], "default")
    assert any("Did you mean MLFLOW_DVC_EXCLUDE?" in each for each in found["remarks"])
    page = mlflow_dvc("doctor").stdout
    assert "| MLFLOW_DVC_MAX_PATH_TAGS | 3     | environment    |" in page


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (".dvc/config", "[core\nremote", "DVC cannot open the project: "),
        (
            "pyproject.toml",
            "[tool.mlflow-dvc]\nsave_max = 'much'\n",
            "MLFLOW_DVC_SAVE_MAX is 'much'",
        ),
        ("pyproject.toml", "[tool.mlflow-dvc\n", "pyproject.toml is "),
        ("b.csv.dvc", "outs: [", "b.csv.dvc"),
    ],
)
def test_what_is_broken_does_not_hide_the_rest(
    healthy: Project, file: str, content: str, said: str
) -> None:
    healthy.write(file, content)
    found = examine()
    assert [each for each in found["problems"] if said in each], found["problems"]
    assert not any("defect" in each for each in found["problems"])
    assert found["software"]["mlflow"]
    assert found["store"]["answers"] is True
    assert found["project"]["root"] == str(healthy.path)
    assert (found["cache"] is None) is (file == ".dvc/config")


@pytest.mark.usefixtures("healthy")
def test_disabled_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DVC_DISABLE", "1")
    assert examine()["problems"] == ["MLFLOW_DVC_DISABLE is set: runs get no tags."]


def test_no_secret_is_shown(healthy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = "127.0.0.1:1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://alice:sesame@{closed}")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "open-barley")
    monkeypatch.setenv("MLFLOW_DVC_URL", f"https://bob:w/r@ng@{closed}/d?sig=barleycorn&x=1")
    healthy.write("pyproject.toml", '[tool.mlflow-dvc]\ninclude = "open-barley, millet-seed"\n')
    healthy.write(
        ".dvc/config",
        "[core]\nremote = web\n['remote \"web\"']\n"
        f"url = http://carol:oatmeal@{closed}/millet-seed\n",
    )
    healthy.write(".dvc/config.local", "['remote \"web\"']\npassword = millet-seed\n")
    monkeypatch.setenv("HOME", str(healthy.path.parent))
    for done in (mlflow_dvc("doctor"), mlflow_dvc("doctor", "--json")):
        assert done.code == 1
        text = done.stdout + done.stderr
        for secret in ("sesame", "barley", "ng@", "oatmeal", "millet", "alice", "carol", "bob"):
            assert secret not in text
        assert f"http://***@{closed}" in text
        assert "~/project" in text
        assert str(healthy.path.parent) not in text


def test_masks_are_no_more_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    mask = privacy.build_mask(["abc", "hunter2"])
    for text in (
        "s3://bucket/mail@example.com/abc",
        "/home/melissa/data and /mnt/home/me",
        "hunter22",
        "sqlite:////srv/mlflow.db",
    ):
        assert mask(text) == text
    assert mask("sqlite:////home/me/mlflow.db") == "sqlite:///~/mlflow.db"
    assert mask(["hunter2", {"a": ("x hunter2.", 1)}]) == ["***", {"a": ("x ***.", 1)}]
    assert mask("postgresql+psycopg2://a:b/c@d@host/db") == "postgresql+psycopg2://***@host/db"


@pytest.mark.slow
def test_what_does_not_answer_is_waited_for_together_and_not_for_long(
    healthy: Project, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{silent_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    healthy.write(
        ".dvc/config", f"[core]\nremote = web\n['remote \"web\"']\nurl = {address}/data\n"
    )
    examine()  # what is imported is imported now
    before = time.monotonic()
    found = examine()
    assert 4.9 < time.monotonic() - before < 8
    assert found["store"]["answers"] is False
    assert found["remotes"][0]["answers"] is False
    assert sum("did not answer within 5 s" in each for each in found["problems"]) == 2


def test_the_environment_in_which_the_project_is_trained_is_named(
    healthy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = healthy.path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    (packages,) = other.glob("lib/python*/site-packages")
    link_files(distribution("mlflow-skinny"), packages)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    found = examine()
    assert found["registration"]["other"] == str(other)
    assert found["registration"]["other_plugin"] is None
    assert any(f"Runs that start in {other} get no tags" in each for each in found["problems"])


def test_the_entry_points_are_those_that_are_installed() -> None:
    installed = {
        each.group: each.name
        for each in distribution("mlflow-dvc-plugin").entry_points
        if each.group != "console_scripts"
    }
    assert installed == registration.ENTRY_POINTS


@pytest.fixture(scope="module")
def skinny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with mlflow-skinny and the plugin, and without DVC."""
    folder = tmp_path_factory.mktemp("skinny") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in find_closure("mlflow-skinny", "pyyaml", "pathspec"):
        link_files(distribution(name), packages)
    (packages / "mlflow_dvc_plugin").symlink_to(Path(mlflow_dvc_plugin.__file__).parent)
    (info,) = Path(sysconfig.get_path("purelib")).glob("mlflow_dvc_plugin-*.dist-info")
    (packages / info.name).symlink_to(info)
    return folder / "bin/python"


def find_closure(*names: str) -> set[str]:
    """The packages that these need, with themselves, of those that are installed."""
    found: set[str] = set()
    rest = list(names)
    while rest:
        name = rest.pop()
        if name in found:
            continue
        found.add(name)
        needed = map(Requirement, requires(name) or [])
        rest += [
            canonicalize_name(each.name)
            for each in needed
            if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    return found


def link_files(package: Distribution, target: Path) -> None:
    """Link what a package has into another environment."""
    for name in {
        file.parts[0] for file in package.files or () if file.parts[0] not in ("..", "bin")
    }:
        link = target / name
        if not link.exists():
            link.symlink_to(str(package.locate_file(name)))


@pytest.mark.slow
def test_it_works_with_mlflow_skinny_and_without_dvc(
    skinny: Path, healthy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It has no SQLAlchemy, so it knows servers and folders.
    (healthy.path / "mlruns").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    code = "from mlflow_dvc_plugin.cli import main; main()"
    command = [str(skinny), "-c", code]
    done = subprocess.run(
        [*command, "doctor", "--json"],
        cwd=healthy.path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["problems"]) == (0, [])
    assert found["software"]["mlflow"].startswith("skinny ")
    assert found["software"]["dvc"] is None
    assert {"dvc", "rich"} <= set(found["software"]["missing"])
    assert (found["outs"], found["status"]) == (2, "clean")
    assert found["cache"] is None
    done = subprocess.run([*command, "status"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "which is not installed in this environment" in done.stderr
