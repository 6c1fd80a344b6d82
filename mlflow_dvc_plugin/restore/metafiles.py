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
from mlflow_dvc_plugin.capture.project import find_git
from mlflow_dvc_plugin.dvc_yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import (
    CaptureError,
    DvcError,
    MlflowDvcError,
    RestoreError,
    UnsavedContentError,
)
from mlflow_dvc_plugin.git import blob, ignored, state_at
from mlflow_dvc_plugin.restore import paths
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry

Metafiles = Mapping[str, bytes | None]

_UNJUDGED = Settings(status_budget_ms=0)
_RECORD = ("md5", "etag", "checksum", "size", "nfiles", "isexec", "hash", "files", "cloud")
# What a `.dvc` file from a tag may hold, and at most how many bytes.
_PLAIN_METAFILE = {"outs", "md5", "meta", "desc", "frozen"}
_PLAIN_OUT = {
    *("md5", "size", "nfiles", "isexec", "hash", "path", "desc", "type", "labels", "meta"),
    *("remote", "push", "persist", "cache"),
}
_MAX_FROM_TAGS = 512 * 1024
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
        self._restored: set[str] = set()

    def rewrite(
        self, entries: Sequence[Entry], whole: bool, force: bool = False
    ) -> dict[str, bytes | None]:
        """The metafiles to write; None for one that has to go.

        Args:
            entries: the outs that are restored.
            whole: they are all of the run's.
            force: replace what people wrote and Git does not have.

        Raises:
            RestoreError: no metafiles can say what the run's said.
            UnsavedContentError: a metafile has what nothing else has.
        """
        # Nearly as often as not there is nothing to write, and that is quick to tell.
        now = {e.path: (e.hash_name, e.hash) for e in self.now.entries}
        same = all(now.get(e.path) == (e.hash_name, e.hash) for e in entries)
        second: tuple[dict[str, bytes | None], list[str]] | None = None
        for proposal in self._proposals(entries, whole):
            if proposal is None:
                continue
            changes = self._changes(proposal)
            if same and not changes:
                return {}
            said = self._read(proposal)
            if said is None or not _says(said, entries):
                continue
            untracked = self._untracked(said)
            if not untracked or all(map(self._in_git, changes)):
                return self._approved(changes, [], force)
            # Better not to lose what today's metafiles alone know, if there is another way.
            second = second or (changes, untracked)
        if second is not None:
            return self._approved(*second, force)
        names = ", ".join(e.path for e in entries[:10])
        raise RestoreError(
            f"Today's dvc.yaml and .dvc files cannot take back {names}: what tracks it has "
            "changed. Check out the run's Git commit first, or use --out DIR for the data alone."
        )

    def _approved(
        self, changes: dict[str, bytes | None], untracked: Sequence[str], force: bool
    ) -> dict[str, bytes | None]:
        by_hand = [path for path in changes if posixpath.basename(path) == "dvc.yaml"]
        unsaved = [path for path in by_hand if not self._in_git(path)]
        if untracked:
            unsaved = [path for path in changes if not self._in_git(path)]
        if unsaved and not force:
            raise UnsavedContentError(sorted(unsaved))
        new = [path for path in changes if path not in self.now.metafiles]
        hidden = ignored(self._project, new)
        if hidden:
            raise RestoreError(
                f"Git ignores {min(hidden)}, so DVC would not see it: change .gitignore first, "
                "or use --out DIR for the data alone."
            )
        return changes

    def _untracked(self, said: Mapping[str, tuple[str, str | None]]) -> list[str]:
        """Outs of today, not the run's, that the metafiles would no longer know."""
        mine = {e.path for e in self._state.entries if e.hash}
        others = [e for e in self.now.entries if e.cached and e.hash and e.path not in mine]
        return [e.path for e in others if said.get(e.path) != (e.hash_name, e.hash)]

    def _in_git(self, path: str) -> bool:
        """HEAD has a metafile as it is today, so replacing it loses nothing."""
        today = self.now.metafiles.get(path)
        return today is None or self._at_head(path, today)

    def ignores(self, entries: Sequence[Entry]) -> dict[str, bytes | None]:
        """The ``.gitignore`` files that keep outs out of Git, as ``dvc add`` would write them.

        Args:
            entries: the outs that are restored; those that are tracked today
                already are as the user wants them.
        """
        known = {e.path for e in self.now.entries}
        new = [e.path for e in entries if e.path not in known]
        found: dict[str, bytes | None] = {}
        if not new or find_git(self._project) is None:
            return found
        already = ignored(self._project, new)
        for out in sorted(set(new) - already):
            folder, _, name = out.rpartition("/")
            path = posixpath.join(folder, ".gitignore")
            today = found.get(path) or _bytes_of(os.path.join(self._project, path)) or b""
            line = "/" + re.sub(r"([\[\]*?!#\\])", r"\\\1", name)
            gap = b"" if not today or today.endswith(b"\n") else b"\n"
            found[path] = today + gap + os.fsencode(line) + b"\n"
        return found

    def _changes(self, proposal: Metafiles) -> dict[str, bytes | None]:
        today = self.now.metafiles
        return {path: data for path, data in proposal.items() if data != today.get(path)}

    def from_git(
        self, entries: Iterable[Entry], force: bool = False
    ) -> tuple[dict[str, bytes | None], list[str]]:
        """What Git has of the outs that DVC does not cache.

        Only paths that today's ``dvc.yaml`` itself leaves to Git are written:
        tags could name any other.

        Args:
            entries: those outs.
            force: replace what people wrote and Git does not have.

        Returns:
            The bytes to write, by path; and, for the others, why they are left.

        Raises:
            UnsavedContentError: one has content that nothing else has.
        """
        declared = {e.path: e for e in self.now.entries if not e.cached}
        found: dict[str, bytes | None] = {}
        left, unsaved = [], []
        for e in entries:
            paths.check(e.path)
            paths.Guard(self._project).check(e.path)
            full = os.path.join(self._project, e.path)
            known = declared.get(e.path)
            today = _bytes_of(full)
            if today is not None and _is(today, e):
                continue
            data = blob(self._project, str(self._state.git_commit), e.path)
            if known is None:
                left.append(f"{e.path}: today's dvc.yaml does not make it")
            elif e.isdir or os.path.isdir(full) or os.path.islink(full):
                left.append(f"{e.path}: Git has it, not DVC")
            elif data is None or not _is(data, e):
                left.append(f"{e.path}: not cached by DVC, and the run's commit has another one")
            else:
                found[e.path] = data
                if today is not None and not _is(today, known) and not self._at_head(e.path, today):
                    unsaved.append(e.path)
        if unsaved and not force:
            raise UnsavedContentError(sorted(unsaved))
        return found, left

    def _at_head(self, path: str, data: bytes) -> bool:
        head = self.now.git_commit
        return head is not None and blob(self._project, head, path) == data

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
        if data is not None and (self._state.source == "commit" or self._harmless(path, data)):
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
        self._restored = {e.path for e in entries}
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
            else:
                edit = self._edit if claim.stage is None else self._edit_lock
                if not edit(found, claim, e):
                    return None
        return found

    def _edit(self, found: dict[str, bytes | None], claim: Entry, e: Entry) -> bool:
        recorded = self._recorded(e.metafile) if e.metafile == claim.metafile else None
        mine = [other for other in self._state.entries if other.metafile == e.metafile]
        said = None if recorded is None else self._read({e.metafile: recorded})
        if said is not None and _says(said, mine):
            found[e.metafile] = recorded
            return True
        document = load_yaml(found.get(claim.metafile) or self.now.metafiles[claim.metafile])
        if document.get("deps"):
            # An import records where its bytes came from: another version's hash would lie.
            return False
        document.pop("md5", None)
        base = posixpath.join(posixpath.dirname(claim.metafile), document.get("wdir") or ".")
        outs = document["outs"]
        for number, out in enumerate(outs):
            if posixpath.normpath(posixpath.join(base, str(out["path"]))) == e.path:
                outs[number] = _record(e, out, for_lock=False)
        found[claim.metafile] = dump_yaml(document)
        return True

    def _edit_lock(self, found: dict[str, bytes | None], claim: Entry, e: Entry) -> bool:
        path = claim.metafile
        name = str(claim.stage).rpartition(":")[2]
        data = found.get(path) or self.now.metafiles.get(path) or b"schema: '2.0'\nstages: {}\n"
        document = load_yaml(data)
        stages = document.setdefault("stages", {})
        stage = None
        if (e.metafile, e.stage) == (path, claim.stage) and self._whole_stage(e):
            stage = _stage_of(self._recorded(path), name)
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

    def _harmless(self, path: str, data: bytes) -> bool:
        """Metafile bytes from a tag do no more than record the run's own hashes.

        A ``.dvc`` file with deps could make DVC contact a place of someone
        else's choosing, one with more outs could make it write elsewhere; a
        ``dvc.yaml`` holds commands. A lock without its ``dvc.yaml`` does nothing.
        """
        if posixpath.basename(path) == "dvc.lock":
            return len(data) <= _MAX_FROM_TAGS
        if not path.endswith(".dvc") or len(data) > _MAX_FROM_TAGS:
            return False
        try:
            document = load_yaml(data)
        except DvcError:
            return False
        plain = isinstance(document, dict) and set(document) <= _PLAIN_METAFILE
        outs = document.get("outs") if plain else None
        if not isinstance(outs, list) or not all(map(_plain, outs)):
            return False
        folder = posixpath.dirname(path)
        named = {posixpath.normpath(posixpath.join(folder, out["path"])) for out in outs}
        return named == {e.path for e in self._state.entries if e.metafile == path}

    def _whole_stage(self, e: Entry) -> bool:
        """All that the out's stage made for the run is restored, or is there already."""
        today = {(x.path, x.hash) for x in self.now.entries}
        return all(
            x.path in self._restored or (x.path, x.hash) in today
            for x in self._state.entries
            if (x.metafile, x.stage) == (e.metafile, e.stage) and x.hash
        )

    # -- trying it out -----------------------------------------------------

    def _read(self, proposal: Metafiles) -> dict[str, tuple[str, str | None]] | None:
        """What the project's metafiles would say with the proposal, as DVC reads them.

        Returns:
            Hash name and hash of each out; None if DVC would refuse them.
        """
        for path in proposal:
            paths.check(path)
            paths.Guard(self._project).check(path)
        with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
            try:
                os.mkdir(os.path.join(folder, ".dvc"))
                for path, data in {**self.now.metafiles, **self._variables(), **proposal}.items():
                    if data is not None:
                        target = os.path.join(folder, path)
                        os.makedirs(os.path.dirname(target), exist_ok=True)
                        with open(target, "wb") as file:
                            file.write(data)
                said = capture(folder, settings=_UNJUDGED)
            except (CaptureError, OSError, UnicodeError):
                return None
        assert said is not None
        hashes = {e.path: (e.hash_name, e.hash) for e in said.entries}
        return hashes if len(hashes) == len(said.entries) else None

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


def _plain(out: object) -> bool:
    """An out as `dvc add` writes it, beside its ``.dvc`` file."""
    return (
        isinstance(out, dict)
        and set(out) <= _PLAIN_OUT
        and isinstance(out.get("path"), str)
        and not out["path"].startswith("/")
        and "://" not in out["path"]
        and ".." not in out["path"].split("/")
    )


def _says(said: Mapping[str, tuple[str, str | None]], entries: Iterable[Entry]) -> bool:
    return all(said.get(e.path) == (e.hash_name, e.hash) for e in entries)


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
