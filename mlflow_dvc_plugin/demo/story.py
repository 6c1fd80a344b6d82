"""The play: train twice on changing data, lose it, restore the first run's, prove it."""

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

from mlflow_dvc_plugin.demo.proof import data_files, keep, prove
from mlflow_dvc_plugin.demo.shell import TRACKING_URI, DemoError, Shell, environment
from mlflow_dvc_plugin.tracking import Run, search_runs

PROJECT = Path(__file__).parent / "project"
# Dotfiles, whose live names would also govern this package's own repository.
DOTFILES = {"gitignore": ".gitignore", "dvcignore": ".dvcignore"}
RAW = "data/raw/breast_cancer.csv"
PATIENTS_AT_FIRST = 400
NEEDED = ("mlflow", "pandas", "sklearn", "sqlalchemy")


def play(directory: str | None, say: Callable[[str], None]) -> None:
    """Build the example project, run it twice, lose its data, and restore the first run's.

    Args:
        directory: a new or empty folder for the project; None for a new
            temporary one. It is kept.
        say: takes each line that the demo tells.

    Raises:
        DemoError: the demo cannot start, a step of it failed, or the restored
            bytes are not those of the first run.
    """
    _check_tools()
    folder = _make_folder(directory)
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-demo-tools-") as tools:
        say(f"The demo's project is {folder}; it stays there.")
        shell = Shell(folder, environment(tools), say)
        vault = os.path.join(tools, "vault")

        patients = _patients()
        say(f"\n1/5  Make a Git and DVC project with {PATIENTS_AT_FIRST} patients' measurements")
        _build(shell, patients[: PATIENTS_AT_FIRST + 1])

        say("\n2/5  Train on them; the pipeline logs to MLflow")
        _train(shell, "Train on the first patients")
        keep(folder, vault)
        _say_known(_runs(folder), say)

        more = len(patients) - 1 - PATIENTS_AT_FIRST
        say(f"\n3/5  {more} more patients come in: change the data, and train again")
        _write_raw(folder, patients)
        shell.dvc("add", RAW)
        _train(shell, "Train on all patients")
        first, second = _runs(folder)
        _say_runs(first, second, say)

        say("\n4/5  Lose it all: delete the data, the model and DVC's cache")
        _lose(folder, say)

        say("\n5/5  Bring back what the first run trained on")
        shell.mlflow_dvc("restore", first.run_id[:8])
        shell.dvc("status", "process", show=True)
        _say_proof(shell, vault, first)
    _say_next(folder, second, say)


def _check_tools() -> None:
    if not shutil.which("git"):
        raise DemoError("The demo needs Git, which is not on PATH; install it and try again.")
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        raise DemoError(
            f"The demo trains a model and needs {', '.join(missing)}; "
            "`pip install mlflow` brings what mlflow-skinny leaves out."
        )


def _make_folder(directory: str | None) -> str:
    if directory is None:
        return os.path.realpath(tempfile.mkdtemp(prefix="mlflow-dvc-demo-"))
    folder = os.path.realpath(directory)
    try:
        os.makedirs(folder, exist_ok=True)
        occupied = bool(os.listdir(folder))
    except OSError as err:
        raise DemoError(
            f"The demo cannot use {directory}: {err.strerror}; name another folder."
        ) from err
    if occupied:
        raise DemoError(f"{directory} is not empty; name a new or empty folder for the demo.")
    return folder


def _patients() -> list[list[str]]:
    """A header, then a row a patient: the Wisconsin data that comes with scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    header = ["diagnosis", *(str(name).replace(" ", "_") for name in data.feature_names)]
    diagnoses = [str(data.target_names[label]) for label in data.target]
    rows = [
        [diagnosis, *(str(float(value)) for value in values)]
        for diagnosis, values in zip(diagnoses, data.data, strict=True)
    ]
    return [header, *rows]


def _write_raw(folder: str, rows: Sequence[Sequence[str]]) -> None:
    path = os.path.join(folder, RAW)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # A new file, as a download would be: DVC may have linked the old one to its cache.
    Path(path).unlink(missing_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)


def _build(shell: Shell, patients: Sequence[Sequence[str]]) -> None:
    shutil.copytree(
        PROJECT,
        shell.folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
        copy_function=shutil.copyfile,
    )
    for stored, name in DOTFILES.items():
        os.rename(os.path.join(shell.folder, stored), os.path.join(shell.folder, name))
    _write_raw(shell.folder, patients)
    shell.git("init")
    shell.dvc("init")
    shell.dvc("remote", "add", "--default", "local", "dvc-remote")
    shell.dvc("add", RAW)
    _commit(shell, "A pipeline and its data")


def _train(shell: Shell, message: str) -> None:
    shell.dvc("repro")
    _commit(shell, message)
    shell.dvc("push")


def _commit(shell: Shell, message: str) -> None:
    shell.git("add", "-A")
    shell.git("commit", "-m", message)


def _runs(folder: str) -> list[Run]:
    """The project's runs, oldest first."""
    return sorted(
        search_runs(tracking_uri=f"sqlite:///{folder}/mlflow.db"), key=lambda r: r.start_time
    )


def _say_known(runs: list[Run], say: Callable[[str], None]) -> None:
    """Tell what the first run knows of its data; the rest is pointless without."""
    run = runs[0]
    if "dvc.error" in run.tags:
        raise DemoError(f"The first run's data could not be captured: {run.tags['dvc.error']}")
    if "dvc.schema" not in run.tags:
        raise DemoError(
            "The first run has no dvc.* tags: MLflow does not see the plugin in "
            f"{sys.prefix}; install it again with `pip install --force-reinstall --no-deps "
            "mlflow-dvc-plugin`."
        )
    known = sum(name.startswith("dvc.") for name in run.tags)
    say(f"     Run {run.run_id[:8]} ({run.name}) has {known} dvc.* tags; the pipeline set none.")


def _say_runs(first: Run, second: Run, say: Callable[[str], None]) -> None:
    paths = sorted({tag for run in (first, second) for tag in run.tags if _is_path(tag)})
    tags = ["dvc.stage", "dvc.status", "dvc.data_hash", "dvc.inputs_hash", *paths]
    rows = [
        ("", "first run", "second run"),
        ("run", first.run_id[:8], second.run_id[:8]),
        ("name", first.name, second.name),
        ("accuracy", *(f"{run.metrics['accuracy']:.4f}" for run in (first, second))),
        *((tag, _short(first.tags.get(tag)), _short(second.tags.get(tag))) for tag in tags),
    ]
    say("")
    for line in _table(rows):
        say(f"     {line}")


def _is_path(tag: str) -> bool:
    return tag.startswith("dvc.data.")


def _short(value: str | None) -> str:
    """A hash's first 12 digits, and whether it is a folder's."""
    if value is None:
        return "-"
    digits, dot, suffix = value.partition(".")
    return f"{digits[:12]}…{dot}{suffix}" if len(digits) == 32 else value


def _lose(folder: str, say: Callable[[str], None]) -> None:
    files = data_files(folder)
    lost = [RAW, "data/processed", "models/model.pkl", ".dvc/cache"]
    say(f"     $ rm -rf {' '.join(lost)}")
    for path in (os.path.join(folder, name) for name in lost):
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    if data_files(folder):
        raise DemoError(f"{folder}/data could not be emptied; run the demo in a new folder.")
    say(f"     Gone: {', '.join(files)}.")


def _say_proof(shell: Shell, vault: str, first: Run) -> None:
    say = shell.say
    proofs = prove(shell.folder, vault)
    say("\n     Compared with a copy that was kept aside when the first run was made:")
    rows = [
        ("file", "bytes", "md5", ""),
        *((p.path, f"{p.size:,}", p.md5, "identical") for p in proofs),
    ]
    for line in _table(rows, right=frozenset({1})):
        say(f"     {line}")
    total = sum(proof.size for proof in proofs)
    say(
        f"\nProved: {len(proofs)} files, {total:,} bytes, "
        f"byte for byte what run {first.run_id[:8]} trained on."
    )


def _say_next(folder: str, second: Run, say: Callable[[str], None]) -> None:
    run = second.run_id[:8]
    tries = [
        ("dvc repro", "# train on the restored data: the first run's accuracy"),
        ("mlflow-dvc status", "# what a run started now would record"),
        (f"mlflow-dvc show {run}", "# what the second run recorded"),
        (f"mlflow-dvc restore {run}", "# go forward again"),
        ("mlflow-dvc undo", "# and back"),
    ]
    say("\nTry next:")
    say(f"  cd {shlex.quote(folder)}")
    binaries = os.path.dirname(sys.executable)
    if shutil.which("mlflow-dvc") != os.path.join(binaries, "mlflow-dvc"):
        say(f"  export PATH={shlex.quote(binaries)}:$PATH")
    say(f"  export MLFLOW_TRACKING_URI={TRACKING_URI}")
    for line in _table(tries):
        say(f"  {line}")
    say(f"  mlflow ui --backend-store-uri {TRACKING_URI}")


def _table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as lines of text, with each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if index in right else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
