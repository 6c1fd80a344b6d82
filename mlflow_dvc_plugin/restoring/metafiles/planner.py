"""Plan the metafiles that a restore writes.

There are two ways, and the better one is tried first. *Exact*: the run's own
metafiles, byte for byte. *Merged*: today's metafiles, with the run's hashes
written in. Either is previewed before anything in the project changes: read as
DVC reads it, it must say the run's hashes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.errors import CaptureError, RestoreError, join_some
from mlflow_dvc_plugin.git import find_ignored
from mlflow_dvc_plugin.restoring.files.contents import Contents
from mlflow_dvc_plugin.restoring.files.paths import is_within
from mlflow_dvc_plugin.restoring.metafiles.git_outs import is_in_head
from mlflow_dvc_plugin.restoring.metafiles.gitignore import find_removed_lines
from mlflow_dvc_plugin.restoring.metafiles.merge import Merger
from mlflow_dvc_plugin.restoring.metafiles.preview import Preview
from mlflow_dvc_plugin.restoring.metafiles.run_metafiles import RunMetafiles
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry


class MetafilePlan(NamedTuple):
    """The metafiles to write, and those whose present content is saved nowhere else."""

    contents: dict[str, bytes | None]
    unsaved: list[str]


class MetafilePlanner:
    """Plans the metafiles that a restore of a run writes."""

    def __init__(self, project: str, state: DataState, workspace: DataState | None = None) -> None:
        self.workspace = workspace or read_workspace(project)
        self._project = project
        self._state = state
        self._run_metafiles = RunMetafiles(project, state)
        self._preview = Preview(project, self.workspace.metafiles)

    def plan(self, entries: Sequence[Entry], whole: bool) -> MetafilePlan:
        """Plan the metafiles that say the hashes of outs; `whole` says these are all of the run."""
        # Often there is nothing to write, and that is quick to tell.
        unchanged = not find_differing(self.workspace, entries)
        fallback: MetafilePlan | None = None
        paths = {e.path for e in self._state.entries if e.hash}
        # Today's outs, other than the run's, whose hashes the metafiles must not lose.
        others = [e for e in self.workspace.entries if e.cached and e.hash and e.path not in paths]
        for proposal in self._propose(entries, whole):
            if proposal is None:
                continue
            present = self.workspace.metafiles
            changes = {path: data for path, data in proposal.items() if data != present.get(path)}
            if unchanged and not changes:
                return MetafilePlan({}, [])
            outs = self._preview.read_outs(proposal)
            if outs is None or any(outs.get(e.path) != (e.hash_name, e.hash) for e in entries):
                continue
            if all(outs.get(e.path) == (e.hash_name, e.hash) for e in others):
                pipelines = [path for path in changes if posixpath.basename(path) == "dvc.yaml"]
                return self._check_ignored(MetafilePlan(changes, self._find_unsaved(pipelines)))
            unsaved = self._find_unsaved(changes)
            if not unsaved:
                return self._check_ignored(MetafilePlan(changes, []))
            # Only today's metafiles know some hashes: try not to lose them.
            fallback = fallback or MetafilePlan(changes, unsaved)
        if fallback is not None:
            return self._check_ignored(fallback)
        names = join_some([e.path for e in entries], 10)
        raise RestoreError(
            f"Today's dvc.yaml and .dvc files cannot track {names} as the run did, "
            "because they have changed too much. Check out the run's Git commit first, or use "
            "--out DIR to restore the data alone."
        )

    def _propose(self, entries: Sequence[Entry], whole: bool) -> Iterable[Contents | None]:
        if whole and self._state.stage is None:
            yield self._collect_exact()
        yield Merger(
            self._project, self._state, self.workspace, self._run_metafiles, self._preview
        ).merge(entries)

    def _collect_exact(self) -> Contents | None:
        """Collect the run's own metafiles; None if one of them is not known."""
        contents: dict[str, bytes | None] = {}
        for path in {e.metafile for e in self._state.entries if e.hash and e.metafile}:
            contents[path] = self._run_metafiles.read(path)
        contents.update(self._run_metafiles.find_changed_pipelines(self.workspace.metafiles))
        if None in contents.values():
            return None
        paths = [e.path for e in self._state.entries if e.metafile]
        for e in self.workspace.entries:
            if e.metafile not in contents and any(
                is_within(e.path, path) or is_within(path, e.path) for path in paths
            ):
                contents[e.metafile] = None
        return contents

    def _check_ignored(self, plan: MetafilePlan) -> MetafilePlan:
        new = [path for path in plan.contents if path not in self.workspace.metafiles]
        removed = find_removed_lines(self.workspace, plan.contents)
        hidden = find_ignored(self._project, new, removed)
        if hidden:
            raise RestoreError(
                f"Git ignores {min(hidden)}, so DVC would not read it. Change .gitignore first, or "
                "use --out DIR to restore the data alone."
            )
        return plan

    def _find_unsaved(self, paths: Iterable[str]) -> list[str]:
        """Find the metafiles whose present bytes are not in HEAD, so that replacing loses them."""
        metafiles = self.workspace.metafiles
        return [
            path
            for path in paths
            if path in metafiles
            and not is_in_head(self._project, self.workspace, path, metafiles[path])
        ]


def read_workspace(project: str) -> DataState:
    """Read what a project's metafiles say today, without looking at the data."""
    try:
        state = capture(project, settings=Settings(status_budget_ms=0))
    except CaptureError as err:
        raise RestoreError(
            f"The project's metafiles cannot be read: {err}. Repair them, then run the same "
            "command again."
        ) from err
    assert state is not None
    return state


def find_differing(state: DataState, entries: Iterable[Entry]) -> list[str]:
    """Find the outs that have other hashes in a state."""
    hashes = {e.path: (e.hash_name, e.hash) for e in state.entries}
    return [e.path for e in entries if hashes.get(e.path) != (e.hash_name, e.hash)]
