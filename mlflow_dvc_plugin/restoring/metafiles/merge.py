"""Write a run's hashes into the metafiles that the project has today."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.capturing.reading import read_project
from mlflow_dvc_plugin.dvc.yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.restoring.files.paths import is_within
from mlflow_dvc_plugin.restoring.metafiles.preview import Preview
from mlflow_dvc_plugin.restoring.metafiles.run_metafiles import RunMetafiles
from mlflow_dvc_plugin.state import DataState, Entry

_HASH_FIELDS = ("md5", "etag", "checksum", "size", "nfiles", "isexec", "hash", "files", "cloud")


@dataclass
class Merger:
    """Writes the hashes of outs into the metafiles that the project has today.

    The run's own metafiles are used whole where that does no harm.
    """

    project: str
    state: DataState
    workspace: DataState
    run_metafiles: RunMetafiles
    preview: Preview
    changes: dict[str, bytes | None] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)

    def merge(self, entries: Sequence[Entry]) -> dict[str, bytes | None] | None:
        """Make the changed metafiles; None if today's cannot track one of the outs."""
        self.restored = {e.path for e in entries}
        present = {e.path: e for e in self.workspace.entries}
        for e in entries:
            old = present.get(e.path)
            if old is None:
                if not self._remove_inner(e):
                    return None
                self.changes[f"{e.path}.dvc"] = dump_yaml({"outs": [_to_record(e, {})]})
            elif (old.hash_name, old.hash) != (e.hash_name, e.hash):
                edit = self._edit_dvc_file if old.stage is None else self._edit_lock
                if not edit(old, e):
                    return None
        return self.changes

    def _remove_inner(self, e: Entry) -> bool:
        """Delete the ``.dvc`` files of all outs in a new folder; False if that is not possible."""
        for other in self.workspace.entries:
            if is_within(e.path, other.path) or is_within(other.path, e.path):
                paths = [x.path for x in self.workspace.entries if x.metafile == other.metafile]
                if other.stage is not None or not all(p.startswith(f"{e.path}/") for p in paths):
                    return False
                self.changes[other.metafile] = None
        return True

    def _edit_dvc_file(self, old: Entry, e: Entry) -> bool:
        data = self.run_metafiles.read(e.metafile) if e.metafile == old.metafile else None
        siblings = [x for x in self.state.entries if x.metafile == e.metafile]
        outs = None if data is None else self.preview.read_outs({e.metafile: data})
        if outs is not None and all(outs.get(x.path) == (x.hash_name, x.hash) for x in siblings):
            self.changes[e.metafile] = data
            return True
        document = load_yaml(
            self.changes.get(old.metafile) or self.workspace.metafiles[old.metafile]
        )
        if document.get("deps"):
            # An import records its source: the hash of another version would be wrong.
            return False
        document.pop("md5", None)
        folder = posixpath.join(posixpath.dirname(old.metafile), document.get("wdir") or ".")
        records = document["outs"]
        for number, out in enumerate(records):
            if posixpath.normpath(posixpath.join(folder, str(out["path"]))) == e.path:
                records[number] = _to_record(e, out)
        self.changes[old.metafile] = dump_yaml(document)
        return True

    def _edit_lock(self, old: Entry, e: Entry) -> bool:
        path = old.metafile
        name = str(old.stage).rpartition(":")[2]
        data = self.changes.get(path) or self.workspace.metafiles.get(path)
        document = load_yaml(data or b"schema: '2.0'\nstages: {}\n")
        stages = document.setdefault("stages", {})
        key = self._find_lock_path(old)
        stage = None
        if (e.metafile, e.stage) == (path, old.stage) and self._is_stage_complete(e):
            stage = _read_stage(self.run_metafiles.read(path), name)
        number = _find_out(stage, key)
        if stage is not None and number is not None and _read_hash(stage["outs"][number]) == e.hash:
            stages[name] = stage
        else:
            stage = stages.get(name)
            number = _find_out(stage, key)
            if number is None:
                return False
            stage["outs"][number] = _to_record(e, stage["outs"][number], for_lock=True)
        self.changes[path] = dump_yaml(document)
        return True

    def _find_lock_path(self, old: Entry) -> str:
        """Find the path of an out in ``dvc.lock``: relative to the stage's working directory."""
        full = os.path.join(self.project, old.path)
        for stage in read_project(self.project).metafiles.stages:
            if stage.address == old.stage and old.path in (out.entry.path for out in stage.outs):
                return os.path.relpath(full, stage.folder.path).replace(os.sep, "/")
        return old.path

    def _is_stage_complete(self, e: Entry) -> bool:
        """Tell whether all outs of the out's stage are restored, or unchanged since the run."""
        unchanged = {(x.path, x.hash) for x in self.workspace.entries}
        return all(
            x.path in self.restored or (x.path, x.hash) in unchanged
            for x in self.state.entries
            if (x.metafile, x.stage) == (e.metafile, e.stage) and x.hash
        )


def _to_record(e: Entry, old: Mapping[str, Any], *, for_lock: bool = False) -> dict[str, Any]:
    """Make an out's record as DVC writes it; other fields of the old record stay."""
    field = "md5" if e.hash_name == "md5-dos2unix" else e.hash_name
    record: dict[str, Any] = {field: e.hash}
    if e.size is not None:
        record["size"] = e.size
    if e.nfiles is not None:
        record["nfiles"] = e.nfiles
    if e.isexec:
        record["isexec"] = True
    name = {} if e.hash_name == "md5-dos2unix" else {"hash": e.hash_name}
    path = {"path": old.get("path") or posixpath.basename(e.path)}
    rest = {key: value for key, value in old.items() if key not in (*_HASH_FIELDS, "path")}
    if for_lock:
        return {**path, **name, **record, **rest}
    return {**record, **name, **path, **rest}


def _read_stage(lock: bytes | None, name: str) -> Any:
    """Read the entry of a stage from the bytes of a ``dvc.lock``."""
    try:
        return (load_yaml(lock) if lock else {}).get("stages", {}).get(name)
    except (DvcError, AttributeError):
        return None


def _find_out(stage: Any, path: str) -> int | None:
    """Find the index of an out in a stage of ``dvc.lock``, which can come from a tag."""
    outs = stage.get("outs") if isinstance(stage, dict) else None
    for number, out in enumerate(outs if isinstance(outs, list) else ()):
        if isinstance(out, dict) and posixpath.normpath(str(out.get("path"))) == path:
            return number
    return None


def _read_hash(out: Mapping[str, Any]) -> Any:
    return out.get("md5") or out.get("etag") or out.get("checksum")
