"""Today's metafiles with a run's hashes written in."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_dvc_plugin.capturing.reading import read_project
from mlflow_dvc_plugin.dvc.yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.restoring.files.paths import overlap
from mlflow_dvc_plugin.restoring.plan.rehearsal import Rehearsal
from mlflow_dvc_plugin.restoring.run_data.metafiles import Recorded
from mlflow_dvc_plugin.state import DataState, Entry

_RECORD = ("md5", "etag", "checksum", "size", "nfiles", "isexec", "hash", "files", "cloud")


class Merger:
    """Writes the hashes of some outs into a project's metafiles.

    Args:
        project: absolute path of the project.
        state: what the run recorded.
        now: what the project's metafiles say today.
        recorded: the run's own metafiles, taken whole where that is as good.
        rehearsal: tries them out.
    """

    def __init__(
        self,
        project: str,
        state: DataState,
        now: DataState,
        recorded: Recorded,
        rehearsal: Rehearsal,
    ) -> None:
        self._project = project
        self._state = state
        self._now = now
        self._recorded = recorded
        self._rehearsal = rehearsal
        self._found: dict[str, bytes | None] = {}
        self._restored: set[str] = set()

    def merged(self, entries: Sequence[Entry]) -> dict[str, bytes | None] | None:
        """The metafiles that have to be written; None if what tracks an out has changed.

        Args:
            entries: the outs.
        """
        self._found = {}
        self._restored = {e.path for e in entries}
        claims = {e.path: e for e in self._now.entries}
        for e in entries:
            claim = claims.get(e.path)
            if claim is not None and (claim.hash_name, claim.hash) == (e.hash_name, e.hash):
                continue
            if claim is None:
                if not self._make_way(e):
                    return None
                self._found[f"{e.path}.dvc"] = dump_yaml({"outs": [_record(e, {}, False)]})
            else:
                edit = self._in_dvc_file if claim.stage is None else self._in_lock
                if not edit(claim, e):
                    return None
        return self._found

    def _make_way(self, e: Entry) -> bool:
        """Take away the ``.dvc`` files of all that is tracked in a new folder, if that will do."""
        inside = f"{e.path}/"
        for other in self._now.entries:
            if overlap(e.path, other.path):
                of_it = [x.path for x in self._now.entries if x.metafile == other.metafile]
                if other.stage is not None or not all(path.startswith(inside) for path in of_it):
                    return False
                self._found[other.metafile] = None
        return True

    def _in_dvc_file(self, claim: Entry, e: Entry) -> bool:
        same = e.metafile == claim.metafile
        recorded = self._recorded.metafile(e.metafile) if same else None
        mine = [other for other in self._state.entries if other.metafile == e.metafile]
        said = None if recorded is None else self._rehearsal.said({e.metafile: recorded})
        if said is not None and all(said.get(m.path) == (m.hash_name, m.hash) for m in mine):
            self._found[e.metafile] = recorded
            return True
        document = load_yaml(self._found.get(claim.metafile) or self._now.metafiles[claim.metafile])
        if document.get("deps"):
            # An import records where its bytes came from: another version's hash would lie.
            return False
        document.pop("md5", None)
        base = posixpath.join(posixpath.dirname(claim.metafile), document.get("wdir") or ".")
        outs = document["outs"]
        for number, out in enumerate(outs):
            if posixpath.normpath(posixpath.join(base, str(out["path"]))) == e.path:
                outs[number] = _record(e, out, False)
        self._found[claim.metafile] = dump_yaml(document)
        return True

    def _in_lock(self, claim: Entry, e: Entry) -> bool:
        path = claim.metafile
        name = str(claim.stage).rpartition(":")[2]
        data = self._found.get(path) or self._now.metafiles.get(path)
        document = load_yaml(data or b"schema: '2.0'\nstages: {}\n")
        stages = document.setdefault("stages", {})
        key = self._key(claim)
        stage = None
        if (e.metafile, e.stage) == (path, claim.stage) and self._whole_stage(e):
            stage = _stage_of(self._recorded.metafile(path), name)
        number = _out_of(stage, key)
        if stage is not None and number is not None and _hash_of(stage["outs"][number]) == e.hash:
            stages[name] = stage
        else:
            stage = stages.get(name)
            number = _out_of(stage, key)
            if number is None:
                return False
            stage["outs"][number] = _record(e, stage["outs"][number], True)
        self._found[path] = dump_yaml(document)
        return True

    def _key(self, claim: Entry) -> str:
        """What ``dvc.lock`` calls an out: its path from the stage's working directory."""
        full = os.path.join(self._project, claim.path)
        for stage in read_project(self._project).metafiles.stages:
            if stage.address == claim.stage and any(out.entry.path == claim.path
                                                    for out in stage.outs):  # fmt: skip
                return os.path.relpath(full, stage.wdir).replace(os.sep, "/")
        return claim.path

    def _whole_stage(self, e: Entry) -> bool:
        """All that the out's stage made for the run is restored, or is there already."""
        today = {(x.path, x.hash) for x in self._now.entries}
        return all(
            x.path in self._restored or (x.path, x.hash) in today
            for x in self._state.entries
            if (x.metafile, x.stage) == (e.metafile, e.stage) and x.hash
        )


def _record(e: Entry, old: Mapping[str, Any], for_lock: bool) -> dict[str, Any]:
    """An out's record as DVC writes it, with what else the old one had."""
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
    rest = {key: value for key, value in old.items() if key not in (*_RECORD, "path")}
    if for_lock:
        return {**path, **name, **record, **rest}
    return {**record, **name, **path, **rest}


def _stage_of(lock: bytes | None, name: str) -> Any:
    """The entry of a stage in the bytes of a ``dvc.lock``."""
    try:
        return (load_yaml(lock) if lock else {}).get("stages", {}).get(name)
    except (DvcError, AttributeError):
        return None


def _out_of(stage: Any, key: str) -> int | None:
    """The number of an out in a stage of ``dvc.lock``."""
    outs = stage.get("outs") if stage is not None else None
    for number, out in enumerate(outs or ()):
        if posixpath.normpath(str(out.get("path"))) == key:
            return number
    return None


def _hash_of(out: Mapping[str, Any]) -> Any:
    return out.get("md5") or out.get("etag") or out.get("checksum")
