"""The scenario: train on two versions of the data, delete it, and restore the first version."""

from __future__ import annotations

import csv
import importlib.util
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mlflow_dvc_plugin.demo.comparison import compare_data, copy_data, list_data
from mlflow_dvc_plugin.demo.shell import TRACKING_URI, DemoError, Shell, build_environment
from mlflow_dvc_plugin.tracking import Run, search_runs

PROJECT = Path(__file__).parent / "project"
# Under their usual names, these files would also apply to this package's repository.
DOTFILES = {"gitignore": ".gitignore", "dvcignore": ".dvcignore"}
RAW = "data/raw/breast_cancer.csv"
FIRST_PATIENTS = 400
REQUIRED = ("mlflow", "pandas", "sklearn", "sqlalchemy")


def run_demo(directory: str | None, echo: Callable[[str], None]) -> None:
    """Create the example project, run it twice, delete its data, and restore the first run's.

    Args:
        directory: a new or empty folder for the project; None for a new
            temporary folder. It is not deleted.
        echo: prints a line.
    """
    _check_requirements()
    folder = _make_folder(directory)
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-demo-tools-") as tools:
        echo(f"The demo's project is {folder}. The demo does not delete it.")
        _run_steps(Shell(folder, build_environment(tools), echo), os.path.join(tools, "copy"))


def _run_steps(shell: Shell, copy: str) -> None:
    folder, echo = shell.folder, shell.echo
    header, *patients = _load_patients()

    echo(f"\n1/5  Create a Git and DVC project with the data of {FIRST_PATIENTS} patients")
    _create_project(shell, [header, *patients[:FIRST_PATIENTS]])

    echo("\n2/5  Train a model; the pipeline logs the run to MLflow")
    _train(shell, "Train on the first patients")
    copy_data(folder, copy)
    _show_tags(_find_runs(folder)[0], echo)

    echo(f"\n3/5  Add {len(patients) - FIRST_PATIENTS} patients to the data, and train again")
    _write_raw(folder, [header, *patients])
    shell.dvc("add", RAW)
    _train(shell, "Train on all patients")
    first, second = _find_runs(folder)
    _show_runs((first, second), echo)

    echo("\n4/5  Delete the data, the model and DVC's cache")
    _delete_data(folder, echo)

    echo("\n5/5  Restore the data of the first run")
    shell.mlflow_dvc("restore", first.run_id[:8])
    shell.dvc("status", "process", show=True)
    _prove(folder, copy, first, echo)
    _show_commands(folder, second, echo)


def _check_requirements() -> None:
    if not shutil.which("git"):
        raise DemoError("The demo needs Git, but `git` is not on PATH. Install it and try again.")
    missing = [name for name in REQUIRED if not importlib.util.find_spec(name)]
    if missing:
        raise DemoError(
            f"The demo trains a model and needs {', '.join(missing)}. Run `pip install mlflow`, "
            "which installs what mlflow-skinny does not have."
        )


def _make_folder(directory: str | None) -> str:
    if directory is None:
        return os.path.realpath(tempfile.mkdtemp(prefix="mlflow-dvc-demo-"))
    folder = os.path.realpath(directory)
    try:
        os.makedirs(folder, exist_ok=True)
        is_empty = not os.listdir(folder)
    except OSError as err:
        raise DemoError(
            f"The demo cannot use {directory}: {err.strerror}. Name another folder."
        ) from err
    if not is_empty:
        raise DemoError(f"{directory} is not empty. Name a new or empty folder for the demo.")
    return folder


def _load_patients() -> list[list[str]]:
    """A header and one row for each patient: the Wisconsin data set in scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    header = ["diagnosis", *(str(name).replace(" ", "_") for name in data.feature_names)]
    rows = [
        [str(data.target_names[label]), *map(str, measurements)]
        for label, measurements in zip(data.target, data.data.tolist(), strict=True)
    ]
    return [header, *rows]


def _write_raw(folder: str, rows: Sequence[Sequence[str]]) -> None:
    path = os.path.join(folder, RAW)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # DVC may have linked the old file to its cache, so it must not be written to.
    Path(path).unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)


def _create_project(shell: Shell, rows: Sequence[Sequence[str]]) -> None:
    shutil.copytree(
        PROJECT,
        shell.folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
        copy_function=shutil.copyfile,
    )
    for stored, name in DOTFILES.items():
        os.rename(os.path.join(shell.folder, stored), os.path.join(shell.folder, name))
    _write_raw(shell.folder, rows)
    shell.git("init")
    shell.dvc("init")
    shell.dvc("remote", "add", "--default", "local", "dvc-remote")
    shell.dvc("add", RAW)
    _commit(shell, "Add a pipeline and its data")


def _train(shell: Shell, message: str) -> None:
    shell.dvc("repro")
    _commit(shell, message)
    shell.dvc("push")


def _commit(shell: Shell, message: str) -> None:
    shell.git("add", "-A")
    shell.git("commit", "-m", message)


def _find_runs(folder: str) -> list[Run]:
    """The project's runs, oldest first."""
    runs = search_runs(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    return sorted(runs, key=lambda run: run.start_time)


def _show_tags(run: Run, echo: Callable[[str], None]) -> None:
    """Say how many tags the run has. Without them, the rest of the demo is pointless."""
    if "dvc.error" in run.tags:
        raise DemoError(f"The data of the first run could not be recorded: {run.tags['dvc.error']}")
    if "dvc.schema" not in run.tags:
        raise DemoError(
            f"The first run has no dvc.* tags: MLflow does not find the plugin in {sys.prefix}. "
            "Run `pip install --force-reinstall --no-deps mlflow-dvc-plugin`."
        )
    count = sum(name.startswith("dvc.") for name in run.tags)
    echo(f"     Run {run.run_id[:8]} ({run.name}) has {count} dvc.* tags. The pipeline set none.")


def _show_runs(runs: tuple[Run, Run], echo: Callable[[str], None]) -> None:
    paths = sorted({tag for run in runs for tag in run.tags if tag.startswith("dvc.data.")})
    tags = ["dvc.stage", "dvc.status", "dvc.data_hash", "dvc.inputs_hash", *paths]
    rows = [
        ("", "first run", "second run"),
        ("run", *(run.run_id[:8] for run in runs)),
        ("name", *(run.name for run in runs)),
        ("accuracy", *(f"{run.metrics['accuracy']:.4f}" for run in runs)),
        *((tag, *(_shorten(run.tags.get(tag, "-")) for run in runs)) for tag in tags),
    ]
    echo("")
    _show_table(rows, "     ", echo)


def _shorten(value: str) -> str:
    """The first 12 digits of a hash, and whether it is a folder's."""
    digits, dot, suffix = value.partition(".")
    return f"{digits[:12]}…{dot}{suffix}" if len(digits) == 32 else value


def _delete_data(folder: str, echo: Callable[[str], None]) -> None:
    files = ", ".join(list_data(folder))
    deleted = [RAW, "data/processed", "models/model.pkl", ".dvc/cache"]
    echo(f"     $ rm -rf {' '.join(deleted)}")
    for path in (os.path.join(folder, name) for name in deleted):
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    if list_data(folder):
        raise DemoError(f"{folder}/data is not empty after `rm`. Run the demo in a new folder.")
    echo(f"     Deleted: {files}.")


def _prove(folder: str, copy: str, first: Run, echo: Callable[[str], None]) -> None:
    files = compare_data(folder, copy)
    echo("\n     Compared with a copy that the demo made after the first run:")
    width = len(f"{max(file.size for file in files):,}")
    rows = [
        ("file", "bytes".rjust(width), "md5", ""),
        *((file.path, f"{file.size:>{width},}", file.md5, "identical") for file in files),
    ]
    _show_table(rows, "     ", echo)
    total = sum(file.size for file in files)
    echo(
        f"\nProved: {len(files)} files, {total:,} bytes, "
        f"byte for byte what run {first.run_id[:8]} trained on."
    )


def _show_commands(folder: str, second: Run, echo: Callable[[str], None]) -> None:
    run = second.run_id[:8]
    commands = [
        ("dvc repro", "# trains on the restored data, with the accuracy of the first run"),
        ("mlflow-dvc status", "# what a run started now would record"),
        (f"mlflow-dvc show {run}", "# what the second run recorded"),
        (f"mlflow-dvc restore {run}", "# restores the data of the second run"),
        ("mlflow-dvc undo", "# undoes that"),
    ]
    echo("\nTry next:")
    echo(f"  cd {shlex.quote(folder)}")
    binaries = os.path.dirname(sys.executable)
    if shutil.which("mlflow-dvc") != os.path.join(binaries, "mlflow-dvc"):
        echo(f"  export PATH={shlex.quote(binaries)}:$PATH")
    echo(f"  export MLFLOW_TRACKING_URI={TRACKING_URI}")
    _show_table(commands, "  ", echo)
    echo(f"  mlflow ui --backend-store-uri {TRACKING_URI}")


def _show_table(rows: Sequence[Sequence[str]], indent: str, echo: Callable[[str], None]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo(indent + "  ".join(cells).rstrip())
