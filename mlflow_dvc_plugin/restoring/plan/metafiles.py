"""What the metafiles must say once the data is back.

Two ways, the better one first. *Exact*: the run's own metafiles, byte for
byte. *Merged*: today's metafiles, with the run's hashes written in. Either is
rehearsed before anything in the project is touched: read as DVC reads it, it
must say the run's hashes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.errors import CaptureError, RestoreError, UnsavedContentError
from mlflow_dvc_plugin.git import find_ignored
from mlflow_dvc_plugin.restoring.files.paths import overlap
from mlflow_dvc_plugin.restoring.files.small_files import Texts
from mlflow_dvc_plugin.restoring.plan.git_files import at_head, dropped
from mlflow_dvc_plugin.restoring.plan.merge import Merger
from mlflow_dvc_plugin.restoring.plan.rehearsal import Rehearsal, Said
from mlflow_dvc_plugin.restoring.run_data.metafiles import Recorded
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry

_UNJUDGED = Settings(status_budget_ms=0)


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
        self.now = now or said_now(project)
        self._project = project
        self._state = state
        self._recorded = Recorded(project, state)
        self._rehearsal = Rehearsal(project, self.now.metafiles)

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
        same = differing(self.now, entries) == []
        second: tuple[dict[str, bytes | None], list[str]] | None = None
        for proposal in self._proposals(entries, whole):
            if proposal is None:
                continue
            today = self.now.metafiles
            changes = {path: data for path, data in proposal.items() if data != today.get(path)}
            if same and not changes:
                return {}
            said = self._rehearsal.said(proposal)
            if said is None or any(said.get(e.path) != (e.hash_name, e.hash) for e in entries):
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

    def _proposals(self, entries: Sequence[Entry], whole: bool) -> Iterable[Texts | None]:
        if whole and self._state.stage is None:
            yield self._exact()
        merger = Merger(self._project, self._state, self.now, self._recorded, self._rehearsal)
        yield merger.merged(entries)

    def _exact(self) -> Texts | None:
        found: dict[str, bytes | None] = {}
        for path in {e.metafile for e in self._state.entries if e.hash}:
            found[path] = self._recorded.metafile(path)
        found.update(self._recorded.pipelines(self.now.metafiles))
        if None in found.values():
            return None
        restored = [e.path for e in self._state.entries]
        for e in self.now.entries:
            if e.metafile not in found and any(overlap(e.path, path) for path in restored):
                found[e.metafile] = None
        return found

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
        hidden = find_ignored(self._project, new, dropped(self.now, changes))
        if hidden:
            raise RestoreError(
                f"Git ignores {min(hidden)}, so DVC would not see it: change .gitignore first, "
                "or use --out DIR for the data alone."
            )
        return changes

    def _untracked(self, said: Said) -> list[str]:
        """Outs of today, not the run's, that the metafiles would no longer know."""
        mine = {e.path for e in self._state.entries if e.hash}
        others = [e for e in self.now.entries if e.cached and e.hash and e.path not in mine]
        return [e.path for e in others if said.get(e.path) != (e.hash_name, e.hash)]

    def _in_git(self, path: str) -> bool:
        """HEAD has a metafile as it is today, so replacing it loses nothing."""
        today = self.now.metafiles.get(path)
        return today is None or at_head(self._project, self.now, path, today)


def said_now(project: str) -> DataState:
    """What a project's metafiles say today; the workspace is not looked at.

    Args:
        project: absolute path of the project.

    Raises:
        RestoreError: they cannot be read.
    """
    try:
        now = capture(project, settings=_UNJUDGED)
    except CaptureError as err:
        raise RestoreError(
            f"The project's metafiles cannot be read: {err}. Mend them first."
        ) from err
    assert now is not None
    return now


def differing(now: DataState, entries: Iterable[Entry]) -> list[str]:
    """Those of the outs that a project's metafiles say something else of.

    Args:
        now: what they say.
        entries: what they should say.
    """
    said = {e.path: (e.hash_name, e.hash) for e in now.entries}
    return [e.path for e in entries if said.get(e.path) != (e.hash_name, e.hash)]
