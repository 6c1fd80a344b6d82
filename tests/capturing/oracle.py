"""DVC's own index: what capture's entries must equal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import Entry

UNJUDGED = Settings(status_budget_ms=0)


def dvc_outs(root: Path) -> list[tuple[Any, ...]]:
    """Every out of DVC's index, as a comparable row."""
    from dvc.repo import Repo

    # The paths in DVC's addresses are relative to its working directory.
    before = Path.cwd()
    os.chdir(root)
    try:
        repo = Repo(str(root))
        try:
            return sorted(map(_row, repo.index.outs), key=repr)
        finally:
            repo.close()
    finally:
        os.chdir(before)


def _row(out: Any) -> tuple[Any, ...]:
    stage = out.stage
    name = getattr(stage, "name", None)
    kind = "plain"
    if stage.is_import and not stage.is_db_import:
        kind = "import" if stage.is_repo_import else "import-url"
    elif out.files or out.meta.version_id or out.meta.remote:
        kind = "cloud-versioned"
    metafile = os.path.relpath(stage.path, out.repo.root_dir)
    if name:
        metafile = os.path.splitext(metafile)[0] + ".lock"
    path = out.def_path
    if out.is_in_repo:
        path = os.path.relpath(out.fs_path, out.repo.root_dir)
    return (
        path,
        (out.hash_info.name if out.hash_info else None) or out.hash_name,
        out.hash_info.value if out.hash_info and out.hash_info.value else None,
        out.meta.size,
        out.meta.nfiles,
        out.meta.isdir,
        out.use_cache,
        stage.addressing if name else None,
        metafile,
        out.meta.isexec,
        out.remote,
        out.can_push,
        kind,
    )


def our_outs(root: Path) -> list[tuple[Any, ...]]:
    """Every entry of capture, in the same form."""
    state = capture(root, UNJUDGED)
    assert state is not None
    return sorted(map(row, state.entries), key=repr)


def row(entry: Entry) -> tuple[Any, ...]:
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
        entry.isexec,
        entry.remote,
        entry.push,
        entry.kind,
    )


def assert_same_outs(root: Path, at_least: int = 1) -> None:
    expected = dvc_outs(root)
    assert len(expected) >= at_least
    assert our_outs(root) == expected
