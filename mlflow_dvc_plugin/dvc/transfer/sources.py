"""Check the sources of imports and cloud-versioned outs: repositories, URLs, versioned clouds.

Only places that the project's own metafiles name are contacted, and no data is
downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlflow_dvc_plugin.dvc.transfer.remotes import find_in_odb, read_bytes
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.state.objects import Obj, build_listing

_THREADS = 16


def find_missing(repo: Any, out: Any, path: str, obj: Obj) -> list[str]:
    """Find the files that the source of an out at a path lacks.

    The paths are relative to the out; an empty one stands for the out itself. An
    error says why that cannot be known.
    """
    if out is None or _read_hash(out) != obj.value:
        raise DvcError("its metafile does not name this version")
    if out.stage.is_repo_import:
        return _find_missing_in_repo(out.stage.deps[0], obj)
    if out.stage.is_import:
        return _find_missing_at_url(out.stage.deps[0])
    return _find_missing_versions(repo, out, path)


def _find_missing_versions(repo: Any, out: Any, path: str) -> list[str]:
    """Find files whose version the cloud-versioned remote does not have."""
    metas = {"": out.meta}
    if out.files:
        metas = {"/".join(key): meta for key, meta, _ in out.get_obj()}
    names = {meta.remote for meta in metas.values() if meta.version_id}
    remotes = {name: repo.cloud.get_remote(name, "status") for name in names}

    def is_missing(name: str) -> bool:
        meta = metas[name]
        if not meta.version_id:
            return True
        remote = remotes[meta.remote]
        place = remote.fs.join(remote.path, *path.split("/"), *filter(None, name.split("/")))
        return not _exists(remote.fs, remote.fs.version_path(place, meta.version_id))

    files = sorted(metas)
    with ThreadPoolExecutor(_THREADS) as pool:
        missing = pool.map(is_missing, files)
        return [name for name, gone in zip(files, missing, strict=True) if gone]


def _read_hash(out: Any) -> str | None:
    """Read an out's hash; that of a cloud-versioned folder is computed from its files."""
    value: str | None = out.get_obj().hash_info.value if out.files else out.hash_info.value
    return value


def _find_missing_in_repo(dep: Any, obj: Obj) -> list[str]:
    """Check the repository of a `dvc import`, at the commit that the import is locked to."""
    fs, path = dep.fs, dep.fs_path
    info = fs.info(path)
    if _read_recorded_hash(info) == obj.value and not _find_in_remote(
        info["repo"], path, {obj.value}
    ):
        return [""]
    names = [""] if fs.isfile(path) else [fs.relpath(full, path) for full in fs.find(path)]
    hashes: dict[str, str] = {}
    by_hash: dict[str, list[str]] = {}
    for name in names:
        full = fs.join(path, name) if name else path
        value = _read_recorded_hash(fs.info(full))
        if value is not None:
            hashes[name] = value
            by_hash.setdefault(value, []).append(name)
        elif _uses_lfs(fs):
            raise DvcError("it is in Git LFS, and only a download would tell")
        else:
            with fs.open(full, "rb") as file:
                hashes[name] = Obj.from_bytes(file.read()).value
    value = hashes[""] if hashes.keys() == {""} else build_listing(hashes)[0].value
    if value != obj.value:
        raise DvcError("the repository that it was imported from has another version")
    found = _find_in_remote(info["repo"], path, by_hash.keys()) if by_hash else set()
    return sorted(name for value in by_hash.keys() - found for name in by_hash[value])


def _read_recorded_hash(info: Mapping[str, Any]) -> str | None:
    """Read the hash that DVC records of a file in a repository; None for a file in Git."""
    entry = info.get("dvc_info", {}).get("entry")
    value: str | None = entry.hash_info.value if entry is not None and entry.hash_info else None
    return value


def _find_in_remote(repo: Any, path: str, values: Collection[str]) -> set[str]:
    """Find the hashes that the remote of another repository has, for the out at a path."""
    full = f"/{path}"
    owners = [out for out in repo.index.outs if f"{full}/".startswith(f"{out.fs_path}/")]
    out = owners[0] if owners else next(o for o in repo.index.outs if o.fs_path.startswith(full))
    odb = repo.cloud.get_remote_odb(name=out.remote, command="status", hash_name=out.hash_name)
    return find_in_odb(odb, list(values))


def _uses_lfs(fs: Any) -> bool:
    try:
        with fs.open(".gitattributes", "rb") as file:
            return b"filter=lfs" in file.read()
    except FileNotFoundError:
        return False


def _find_missing_at_url(dep: Any) -> list[str]:
    """Check whether the source of an `import-url` still has the imported version."""
    if dep.fs.protocol == "local" and not os.path.isdir(os.path.dirname(dep.fs_path)):
        raise DvcError(f"its source's folder {os.path.dirname(dep.fs_path)} does not exist")
    if not _exists(dep.fs, dep.fs_path):
        return [""]
    recorded = dep.hash_info
    if dep.fs.protocol != "local" and recorded.name == "md5":
        raise DvcError("only a download would tell whether its source still has this version")
    if dep.get_hash() == recorded:
        return []
    if recorded.name == "md5":
        return [""]
    raise DvcError("its source has changed, and only a download would tell how")


def _exists(fs: Any, path: str) -> bool:
    """Does a file or folder exist? Any failure to find out is raised."""
    if fs.protocol in ("http", "https"):
        return read_bytes(fs, path, 1) is not None
    try:
        fs.info(path)
    except FileNotFoundError:
        return False
    return True
