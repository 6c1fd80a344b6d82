"""Golden sets: the runs of a release, with the repository and the objects that they rest on.

Each is a folder: `runs.json` has the tags of the runs; `data.zip` has the SHA-256 of the files
that they have to bring back, a bundle of the Git repository, the DVC remote and an exported
state.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

FOLDER = Path(__file__).parent / "sets"
RUNS = "runs.json"
DATA = "data.zip"
BUNDLE = "repo.bundle"
STATE = "state.json"
REMOTE = "remote"
_FILES = "files.json"


@dataclass(frozen=True)
class GoldenRun:
    """A recorded run.

    Attributes:
        root: the folder of its project in the repository.
        files: the SHA-256 of each file of its data, by path.
    """

    name: str
    run_id: str
    root: str
    tags: dict[str, str]
    files: dict[str, str]


def list_sets() -> list[str]:
    """The versions that were recorded, the oldest first."""
    return sorted((path.parent.name for path in FOLDER.glob(f"*/{RUNS}")), key=Version)


def read_runs(version: str) -> list[GoldenRun]:
    """The runs of a version, parents before their children."""
    document: Any = json.loads((FOLDER / version / RUNS).read_text(encoding="utf-8"))
    with zipfile.ZipFile(FOLDER / version / DATA) as archive:
        files = json.loads(archive.read(_FILES))
    return [GoldenRun(**each, files=files[each["name"]]) for each in document["runs"]]


def write_set(version: str, commit: str, runs: list[GoldenRun], data: dict[str, bytes]) -> Path:
    """Write the set of a version, which must not exist; its folder."""
    folder = FOLDER / version
    folder.mkdir(parents=True)
    tags = [{key: value for key, value in vars(run).items() if key != "files"} for run in runs]
    text = json.dumps({"version": version, "commit": commit, "runs": tags}, indent=1)
    (folder / RUNS).write_text(text + "\n", encoding="utf-8")
    files = json.dumps({run.name: run.files for run in runs}).encode()
    with zipfile.ZipFile(folder / DATA, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted({**data, _FILES: files}.items()):
            # The same content always has the same bytes.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)
    return folder


def unpack(version: str, folder: Path) -> None:
    """Unpack the repository, the remote and the exported state of a version."""
    with zipfile.ZipFile(FOLDER / version / DATA) as archive:
        archive.extractall(folder)
    (folder / REMOTE).mkdir(exist_ok=True)


def count_bytes() -> int:
    """The size of all sets."""
    return sum(os.path.getsize(path) for path in FOLDER.rglob("*") if path.is_file())
