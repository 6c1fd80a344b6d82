"""Where outs come from that no hash finds: other repositories, URLs, versioned clouds.

They are asked as DVC would ask them, at the places that the project's own
metafiles name, and no data is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlflow_dvc_plugin.dvc.errors import silence_logs, translate_errors
from mlflow_dvc_plugin.dvc.transfer.outs import Outs
from mlflow_dvc_plugin.dvc.transfer.remotes import find_in_odb, read_bytes
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.state.objects import Obj, build_listing

_ASKERS = 16


class Sources:
    """The places that imports and cloud-versioned outs come from.

    Args:
        repo: the project, as DVC opened it.
        outs: finds what the metafiles say.
    """

    def __init__(self, repo: Any, outs: Outs) -> None:
        self._repo = repo
        self._outs = outs

    def find_missing(self, path: str, obj: Obj, commit: str | None = None) -> list[str]:
        """The files of an out that the place it comes from does not have.

        Args:
            path: the out, relative to the project.
            obj: what it must be.
            commit: whose metafile to go by; None for the workspace's.

        Returns:
            Paths relative to the out, an empty one for the out itself; none at
            all if the place has this version.

        Raises:
            DvcError: it cannot be known, and why.
        """
        with self._outs.open_out(path, commit) as out, silence_logs(), translate_errors():
            if out is None or _hash_of(out) != obj.value:
                raise DvcError("its metafile does not name this version")
            if out.stage.is_repo_import:
                return _lost_in_repo(out.stage.deps[0], obj)
            if out.stage.is_import:
                return _lost_at_url(out.stage.deps[0])
            return self._lost_versions(path, out)

    def _lost_versions(self, path: str, out: Any) -> list[str]:
        """Files whose version is not in the cloud-versioned remote, or was never sent there."""
        metas = {"": out.meta}
        if out.files:
            metas = {"/".join(key): meta for key, meta, _ in out.get_obj()}
        remotes = {name: self._repo.cloud.get_remote(name, "status") for name in
                   {meta.remote for meta in metas.values() if meta.version_id}}  # fmt: skip

        def is_lost(name: str) -> bool:
            meta = metas[name]
            if not meta.version_id:
                return True
            remote = remotes[meta.remote]
            place = remote.fs.join(remote.path, *path.split("/"), *filter(None, name.split("/")))
            return not _exists(remote.fs, remote.fs.version_path(place, meta.version_id))

        names = sorted(metas)
        with ThreadPoolExecutor(_ASKERS) as pool:
            lost = pool.map(is_lost, names)
            return [name for name, gone in zip(names, lost, strict=True) if gone]


def _hash_of(out: Any) -> str | None:
    """An out's hash; that of a cloud-versioned folder is that of its files."""
    value: str | None = out.get_obj().hash_info.value if out.files else out.hash_info.value
    return value


def _lost_in_repo(dep: Any, obj: Obj) -> list[str]:
    """What the repository of a `dvc import` lacks, at the commit that the import is locked to."""
    fs, path = dep.fs, dep.fs_path
    top = fs.info(path)
    if _tracked(top) == obj.value and not _has(top["repo"], path, {obj.value}):
        return [""]
    names = [""] if fs.isfile(path) else [fs.relpath(full, path) for full in fs.find(path)]
    hashes: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    for name in names:
        full = fs.join(path, name) if name else path
        value = _tracked(fs.info(full))
        if value is not None:
            hashes[name] = value
            places.setdefault(value, []).append(name)
        elif _uses_lfs(fs):
            raise DvcError("it is in Git LFS: only a download would tell")
        else:
            with fs.open(full, "rb") as file:
                hashes[name] = Obj.from_bytes(file.read()).value
    if _value_of(hashes) != obj.value:
        raise DvcError("the repository that it was imported from has another version there")
    gone = places.keys() - _has(top["repo"], path, places.keys()) if places else set()
    return sorted(name for value in gone for name in places[value])


def _tracked(info: Mapping[str, Any]) -> str | None:
    """The hash that DVC records of a file or folder in a repository; None for Git's own."""
    entry = info.get("dvc_info", {}).get("entry")
    value: str | None = entry.hash_info.value if entry is not None and entry.hash_info else None
    return value


def _has(repo: Any, path: str, values: Collection[str]) -> set[str]:
    """Those of the hashes that the remote of another repository has, for the out at a path."""
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


def _value_of(hashes: Mapping[str, str]) -> str:
    """The hash of an out made of these files."""
    if hashes.keys() == {""}:
        return hashes[""]
    return build_listing(hashes)[0].value


def _lost_at_url(dep: Any) -> list[str]:
    """Does the place of an `import-url` have what it had?"""
    if dep.fs.protocol == "local" and not os.path.isdir(os.path.dirname(dep.fs_path)):
        raise DvcError(f"{os.path.dirname(dep.fs_path)}, where it was imported from, is not there")
    if not _exists(dep.fs, dep.fs_path):
        return [""]
    recorded = dep.hash_info
    if dep.fs.protocol != "local" and recorded.name == "md5":
        raise DvcError("only a download would tell whether its source still has this version")
    if dep.get_hash() == recorded:
        return []
    if recorded.name == "md5":
        return [""]
    raise DvcError("its source has changed since; only a download would tell how")


def _exists(fs: Any, path: str) -> bool:
    """A file or folder is there; any other failure is none of an answer."""
    if fs.protocol in ("http", "https"):
        return read_bytes(fs, path, 1) is not None
    try:
        fs.info(path)
    except FileNotFoundError:
        return False
    return True
