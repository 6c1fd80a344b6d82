"""What a search for runs by their data found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.lineage.run_states import Role
from mlflow_dvc_plugin.tracking import Run

# A path, its hash, and what the run has to do with it.
Match = tuple[str, str, Role]


@dataclass(frozen=True)
class FoundRun:
    """A run that used or made the data that was asked for.

    Attributes:
        run_id: its id.
        run_name: its name.
        experiment_id: the experiment that it belongs to.
        start_time: milliseconds since 1970 (UTC).
        data_hash: the fingerprint of its data state.
        paths: the paths by which it matches, sorted.
        metrics: the chosen metrics that it has.
        roles: for each path, did the run use it (``input``) or make it (``output``).
        hashes: for each path, its hash.
        modified: those of the paths that are, or are in, an out that was proven to
            be another when the run started: nobody recorded which.
    """

    run_id: str
    run_name: str
    experiment_id: str
    start_time: int
    data_hash: str | None
    paths: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    modified: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        document = dict(vars(self))
        if not self.modified:
            del document["modified"]
        return document


@dataclass(frozen=True)
class Findings:
    """What a search found.

    Attributes:
        runs: the newest first.
        unread: runs whose recorded state cannot be read, so that they may or
            may not belong here.
        unlisted: folders that could not be looked into, with the reasons.
    """

    runs: list[FoundRun]
    unread: int = 0
    unlisted: dict[str, str] = field(default_factory=dict)


class Gathering:
    """Gathers runs that match, each once.

    Args:
        metrics: names of metrics to keep.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = metrics
        self._found: dict[str, FoundRun] = {}
        self._unread: set[str] = set()

    def add(self, run: Run, matches: Iterable[Match]) -> None:
        """A run, and the paths by which it matches: none if it does not."""
        for path, value, role in matches:
            found = self._found.get(run.run_id)
            if found is None:
                found = self._found[run.run_id] = self._bare(run)
            if path not in found.roles:
                found.paths.append(path)
            found.roles[path] = role
            found.hashes[path] = value

    def doubt(self, run: Run) -> None:
        """A run that may match: what it recorded cannot be read."""
        self._unread.add(run.run_id)

    def findings(self, unlisted: Mapping[str, str] | None = None) -> Findings:
        """All of it."""
        runs = sorted(self._found.values(), key=lambda found: (-found.start_time, found.run_id))
        for found in runs:
            found.paths.sort()
            used = [p for p in found.paths if found.roles[p] == "input"]
            found.modified[:] = _within(used, found.modified)
        return Findings(runs, len(self._unread - self._found.keys()), dict(unlisted or {}))

    def _bare(self, run: Run) -> FoundRun:
        return FoundRun(
            run.run_id,
            run.name,
            run.experiment_id,
            run.start_time,
            run.tags.get("dvc.data_hash"),
            metrics={name: run.metrics[name] for name in self._metrics if name in run.metrics},
            modified=list(run.modified),
        )


def _within(paths: Iterable[str], tops: Iterable[str]) -> list[str]:
    """Those of the paths that are one of the others, or inside one; commas may have split those."""
    listed = f",{','.join(tops)},"
    return [path for path in paths if any(f",{top}," in listed for top in _from_top(path))]


def _from_top(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
