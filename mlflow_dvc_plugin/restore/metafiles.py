"""What the metafiles must say once the data is back.

Two ways, the better one first. *Exact*: the run's own metafiles, byte for
byte. *Merged*: today's metafiles, with the run's hashes written in. Either is
tried out in a scratch folder before anything in the project is touched: read
as DVC reads it, it must say the run's hashes.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlflow_dvc_plugin.capture import capture
from mlflow_dvc_plugin.dvc_yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import CaptureError, DvcError, MlflowDvcError, RestoreError
from mlflow_dvc_plugin.git import blob, state_at
from mlflow_dvc_plugin.restore import paths
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry

Metafiles = Mapping[str, bytes | None]

_UNJUDGED = Settings(status_budget_ms=0)
_RECORD = ("md5", "etag", "checksum", "size", "nfiles", "isexec", "hash", "files", "cloud")
_VARIABLES = re.compile(r"(\.ya?ml|\.json|\.toml|\.py|\.dvcignore)\Z")


class Recorder:
    """Finds the metafiles for a restore.

    Args:
        project: absolute path of the project.
        state: what the run recorded.
        now: what the project's metafiles say today, if that is known.

    Raises:
        RestoreError: today's metafiles cannot be read.
    """

    def __init__(self, project: str, state: DataState, now: DataState | None = None) -> None:
        try:
            now = now or capture(project, settings=_UNJUDGED)
        except CaptureError as err:
            raise RestoreError(
                f"The project's metafiles cannot be read: {err}. Mend them first."
            ) from err
        assert now is not None
        self.now = now
        self._project = project
        self._state = state
        self._commit: Mapping[str, bytes] | None = None

    def rewrite(self, entries: Sequence[Entry], whole: bool) -> dict[str, bytes | None]:
        """The metafiles to write; None for one that has to go.

        Args:
            entries: the outs that are restored.
            whole: they are all of the run's.

        Raises:
            RestoreError: no metafiles can say what the run's said.
        """
        # Nearly as often as not there is nothing to write, and that is quick to tell.
        now = {e.path: (e.hash_name, e.hash) for e in self.now.entries}
        same = all(now.get(e.path) == (e.hash_name, e.hash) for e in entries)
        for proposal in self._proposals(entries, whole):
            if same and proposal is not None and not self._changes(proposal):
                return {}
            if proposal is not None and self._says(proposal, entries):
                return self._changes(proposal)
        names = ", ".join(e.path for e in entries[:10])
        raise RestoreError(
            f"Today's dvc.yaml and .dvc files cannot take back {names}: what tracks it has "
            "changed. Check out the run's Git commit first, or use --out DIR for the data alone."
        )

    def _changes(self, proposal: Metafiles) -> dict[str, bytes | None]:
        today = self.now.metafiles
        return {path: data for path, data in proposal.items() if data != today.get(path)}

    def from_git(self, entries: Iterable[Entry]) -> tuple[dict[str, bytes | None], list[str]]:
        """What Git has of the outs that DVC does not cache.

        Args:
            entries: those outs.

        Returns:
            The bytes to write, by path; and, for the others, why they are left.
        """
        found: dict[str, bytes | None] = {}
        left = []
        for e in entries:
            paths.check(e.path)
            paths.Guard(self._project).check(e.path)
            if os.path.isdir(os.path.join(self._project, e.path)) or e.isdir:
                left.append(f"{e.path}: a folder that Git has, not DVC")
                continue
            data = blob(self._project, str(self._state.git_commit), e.path)
            today = _bytes_of(os.path.join(self._project, e.path))
            if today is not None and _is(today, e):
                continue
            if data is not None and _is(data, e):
                found[e.path] = data
            else:
                left.append(f"{e.path}: not cached by DVC, and the run's commit has another one")
        return found, left

    def _proposals(self, entries: Sequence[Entry], whole: bool) -> Iterable[Metafiles | None]:
        if whole and self._state.stage is None:
            yield self._exact()
        yield self._merged(entries)

    # -- exact -------------------------------------------------------------

    def _exact(self) -> Metafiles | None:
        found: dict[str, bytes | None] = {}
        for path in {e.metafile for e in self._state.entries if e.hash}:
            found[path] = self._recorded(path)
        found.update(self._pipelines())
        if None in found.values():
            return None
        restored = [e.path for e in self._state.entries]
        for e in self.now.entries:
            if e.metafile not in found and any(_overlap(e.path, path) for path in restored):
                found[e.metafile] = None
        return found

    def _recorded(self, path: str) -> bytes | None:
        """The bytes that a metafile had for the run, if they are known."""
        data = self._state.metafiles.get(path)
        if data is not None and (self._state.source == "commit" or _harmless(path, data)):
            return data
        return self._committed().get(path)

    def _pipelines(self) -> dict[str, bytes | None]:
        """Each ``dvc.yaml`` of the run: it holds commands, so only Git is believed."""
        found: dict[str, bytes | None] = {}
        digests = dict(self._state.pipelines)
        for path, data in self._state.metafiles.items():
            if self._state.source == "commit" and posixpath.basename(path) == "dvc.yaml":
                digests[path] = _digest(data)
        for path, digest in digests.items():
            today = self.now.metafiles.get(path)
            if today is None or _digest(today) != digest:
                then = self._committed().get(path)
                found[path] = then if then is not None and _digest(then) == digest else None
        return found

    def _committed(self) -> Mapping[str, bytes]:
        if self._commit is None:
            self._commit = {}
            if self._state.source == "commit":
                self._commit = self._state.metafiles
            elif self._state.git_commit:
                try:
                    self._commit = state_at(self._project, self._state.git_commit).metafiles
                except MlflowDvcError:
                    self._commit = {}
        return self._commit

    # -- merged ------------------------------------------------------------

    def _merged(self, entries: Sequence[Entry]) -> Metafiles | None:
        claims = {e.path: e for e in self.now.entries}
        found: dict[str, bytes | None] = {}
        for e in entries:
            claim = claims.get(e.path)
            if claim is not None and (claim.hash_name, claim.hash) == (e.hash_name, e.hash):
                continue
            if claim is None:
                if any(_overlap(e.path, path) for path in claims):
                    return None
                found[f"{e.path}.dvc"] = dump_yaml({"outs": [_record(e, {}, for_lock=False)]})
            elif claim.stage is None:
                self._edit(found, claim, e)
            elif not self._edit_lock(found, claim, e):
                return None
        return found

    def _edit(self, found: dict[str, bytes | None], claim: Entry, e: Entry) -> None:
        recorded = self._recorded(e.metafile) if e.metafile == claim.metafile else None
        mine = [other for other in self._state.entries if other.metafile == e.metafile]
        if recorded is not None and self._says({e.metafile: recorded}, mine):
            found[e.metafile] = recorded
            return
        document = load_yaml(found.get(claim.metafile) or self.now.metafiles[claim.metafile])
        base = posixpath.join(posixpath.dirname(claim.metafile), document.get("wdir") or ".")
        outs = document["outs"]
        for number, out in enumerate(outs):
            if posixpath.normpath(posixpath.join(base, str(out["path"]))) == e.path:
                outs[number] = _record(e, out, for_lock=False)
        found[claim.metafile] = dump_yaml(document)

    def _edit_lock(self, found: dict[str, bytes | None], claim: Entry, e: Entry) -> bool:
        path = claim.metafile
        name = str(claim.stage).rpartition(":")[2]
        data = found.get(path) or self.now.metafiles.get(path) or b"schema: '2.0'\nstages: {}\n"
        document = load_yaml(data)
        stages = document.setdefault("stages", {})
        recorded = (
            self._recorded(e.metafile) if (e.metafile, e.stage) == (path, claim.stage) else None
        )
        try:
            stage = (load_yaml(recorded) if recorded else {}).get("stages", {}).get(name)
        except (DvcError, AttributeError):
            stage = None
        if stage is not None and _out_of(stage, e.path, str(e.hash)) is not None:
            stages[name] = stage
        else:
            stage = stages.get(name)
            number = None if stage is None else _out_of(stage, e.path, None)
            if number is None:
                return False
            stage["outs"][number] = _record(e, stage["outs"][number], for_lock=True)
        found[path] = dump_yaml(document)
        return True

    # -- trying it out -----------------------------------------------------

    def _says(self, proposal: Metafiles, entries: Sequence[Entry]) -> bool:
        """The project's metafiles, with the proposal, would say the run's hashes."""
        for path in proposal:
            paths.check(path)
            paths.Guard(self._project).check(path)
        with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
            os.mkdir(os.path.join(folder, ".dvc"))
            for path, data in {**self.now.metafiles, **self._variables(), **proposal}.items():
                if data is not None:
                    target = os.path.join(folder, path)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, "wb") as file:
                        file.write(data)
            try:
                said = capture(folder, settings=_UNJUDGED)
            except CaptureError:
                return False
        assert said is not None
        hashes = {e.path: (e.hash_name, e.hash) for e in said.entries}
        once = len(hashes) == len(said.entries)
        return once and all(hashes.get(e.path) == (e.hash_name, e.hash) for e in entries)

    def _variables(self) -> dict[str, bytes]:
        """The files beside each ``dvc.yaml`` that it may take variables from."""
        found = {}
        for metafile in self.now.metafiles:
            folder, _, name = metafile.rpartition("/")
            if name != "dvc.yaml":
                continue
            with os.scandir(os.path.join(self._project, folder)) as listing:
                for item in listing:
                    if _VARIABLES.search(item.name) and item.is_file():
                        with open(item.path, "rb") as file:
                            found[posixpath.join(folder, item.name)] = file.read()
        return found


def _harmless(path: str, data: bytes) -> bool:
    """Metafile bytes from a tag do no more than record hashes.

    A ``.dvc`` file with deps could make DVC contact a place of someone else's
    choosing; a ``dvc.yaml`` holds commands.
    """
    if posixpath.basename(path) == "dvc.lock":
        return True
    if not path.endswith(".dvc"):
        return False
    try:
        document = load_yaml(data)
    except DvcError:
        return False
    allowed = {"outs", "md5", "meta", "desc", "frozen"}
    return isinstance(document, dict) and allowed.issuperset(document)


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


def _out_of(stage: Mapping[str, Any], path: str, value: str | None) -> int | None:
    """The number of the out at `path` in a stage of ``dvc.lock``, which knows no wdir."""
    best, most = None, 0
    for number, out in enumerate(stage.get("outs") or ()):
        if value is not None and value not in (
            out.get("md5"),
            out.get("etag"),
            out.get("checksum"),
        ):
            continue
        shared = _shared_tail(posixpath.normpath(str(out.get("path"))), path)
        if shared > most:
            best, most = number, shared
    return best


def _shared_tail(one: str, other: str) -> int:
    """How many parts two paths share at their ends."""
    count = 0
    for a, b in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if a != b:
            break
        count += 1
    return count


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _is(data: bytes, e: Entry) -> bool:
    """These bytes are what the out's hash says."""
    if e.hash_name == "md5-dos2unix" and b"\0" not in data:
        data = data.replace(b"\r\n", b"\n")
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == e.hash


def _bytes_of(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]
