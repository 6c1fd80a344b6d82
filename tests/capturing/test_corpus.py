"""Metafiles of real projects, against what DVC itself says of them.

The corpus has the machine-written metafiles only, without the ``dvc.yaml``
files, and DVC's own answer for each project. So ``.dvc`` files are captured as
a project, and lock files are read with the definitions that DVC's answer gives.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.formats import pipeline
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.state import Entry
from tests.capturing.oracle import UNJUDGED

CORPUS = Path(
    os.environ.get("MLFLOW_DVC_TEST_CORPUS")
    or Path(__file__).resolve().parents[3] / "shared" / "corpus"
)


def _roots() -> list[Any]:
    found = []
    for expected in sorted(CORPUS.glob("*/expected.json")):
        for root in json.loads(expected.read_text())["roots"]:
            name = f"{expected.parent.name}-{root['root']}"
            found.append(pytest.param(expected.parent, root, id=name))
    return found or [pytest.param(None, None, marks=pytest.mark.skip("no corpus here"))]


def _row(out: dict[str, Any]) -> tuple[Any, ...]:
    return (
        out["path"],
        out["hash_info_name"] or out["hash_name"],
        out["hash"],
        out["size"],
        out["nfiles"],
        out["isdir"],
        out["use_cache"],
        out["addressing"] if out["stage_name"] else None,
        out["metafile"],
        out["remote"],
        out["push"],
        _kind(out),
    )


def _kind(out: dict[str, Any]) -> str:
    if out["is_repo_import"]:
        return "import"
    if out["is_import"]:
        return "import-url"
    return "cloud-versioned" if out.get("files") or out.get("meta_remote") else "plain"


def _ours(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.path,
        entry.hash_name,
        entry.hash,
        entry.size,
        entry.nfiles,
        entry.isdir,
        entry.cached,
        entry.stage,
        entry.metafile,
        entry.remote,
        entry.push,
        entry.kind,
    )


def _copy(source: Path, root: dict[str, Any], target: Path) -> Path:
    """The project of a corpus root, without the files that DVC did not look at."""
    shutil.copytree(source / root["root"], target)
    (target / ".dvc").mkdir(exist_ok=True)
    (target / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    for unseen in root["unseen_metafiles"]:
        if not unseen["file"].startswith(".dvc/"):  # those, capture must skip by itself
            (target / unseen["file"]).unlink(missing_ok=True)
    return target


@pytest.mark.parametrize(("source", "root"), _roots())
def test_dvc_files_give_the_outs_of_dvcs_index(
    source: Path, root: dict[str, Any], tmp_path: Path
) -> None:
    project = _copy(source, root, tmp_path / "project")
    refused = {error["file"] for error in root["errors"]}
    for _ in [name for name in refused if name.endswith(".dvc")]:
        with pytest.raises(CaptureError) as caught:
            capture(project, UNJUDGED)
        assert caught.value.where in refused
        (project / caught.value.where).unlink()
        refused.discard(caught.value.where)
    state = capture(project, UNJUDGED)
    assert state is not None
    expected = [_row(out) for out in root["outs"] if out["src"] == "dvcfile"]
    assert sorted(map(_ours, state.entries)) == sorted(expected)


@pytest.mark.parametrize(("source", "root"), _roots())
def test_lock_files_give_the_outs_of_dvcs_index(source: Path, root: dict[str, Any]) -> None:
    project = str(source / root["root"])
    expected = defaultdict(list)
    for out in root["outs"]:
        if out["stage_name"]:
            expected[out["stage_file"]].append(out)
    for metafile, outs in expected.items():
        lockfile = Path(project, posixpath.splitext(metafile)[0] + ".lock")
        lock = pipeline.parse_lock_outs(lockfile.read_bytes()) if lockfile.exists() else {}
        definitions: dict[str, dict[str, Any]] = {}
        for out in outs:
            folder = posixpath.dirname(metafile) or "."
            stage = definitions.setdefault(
                out["stage_name"],
                {"cmd": "x", "wdir": posixpath.relpath(out["wdir"], folder), "outs": []},
            )
            flags = {"cache": out["use_cache"], "push": out["push"]}
            stage["outs"].append({out["def_path"]: flags})
        stages = pipeline.build_stages(definitions, lock, metafile, project, {})
        entries = [out.entry for stage in stages for out in stage.outs]
        assert sorted(map(_ours, entries), key=repr) == sorted(map(_row, outs), key=repr)
