"""The outs of a run as a tree of folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mlflow_dvc_plugin.lineage.diff import Diff
from mlflow_dvc_plugin.lineage.retention.availability import Availability
from mlflow_dvc_plugin.state import Entry

MAX_DEPTH = 8


class Row(NamedTuple):
    """A folder, or an out in its folder.

    Attributes:
        depth: how many folders it is in, at most `MAX_DEPTH`.
        entry: None for a folder that is no out.
        sign: A (new), M (other) since the run before; empty if it is the same, or not known.
        place: where its data is, in words.
    """

    name: str
    depth: int
    entry: Entry | None = None
    sign: str = ""
    place: str = ""


def build_tree(
    entries: Iterable[Entry], changes: Diff | None, places: Mapping[str, Availability]
) -> list[Row]:
    """The rows of a tree: below each folder is what it contains, by path."""
    signs = {}
    if changes is not None:
        signs = {item.path: "new" for item in changes.added}
        signs |= {item.path: "changed" for item in changes.modified}
    rows: list[Row] = []
    above: list[str] = []
    for e in sorted(entries, key=lambda e: e.path.split("/")):
        # The URL of an external out has no folders.
        *folders, name = [e.path] if "://" in e.path else e.path.split("/")
        common = 0
        while common < min(len(folders), len(above)) and folders[common] == above[common]:
            common += 1
        new = enumerate(folders[common:], common)
        rows += [Row(f"{folder}/", min(depth, MAX_DEPTH)) for depth, folder in new]
        above = folders
        shown = f"{name}/" if e.isdir else name
        place = _describe(places.get(e.path))
        rows.append(Row(shown, min(len(folders), MAX_DEPTH), e, signs.get(e.path, ""), place))
    return rows


def _describe(found: Availability | None) -> str:
    """Where the data of an out is."""
    if found is None:
        return ""
    if found.missing:
        return "lost"
    places = ["cache"] if found.cache else []
    if found.remote:
        places.append("remote")
    if found.source:
        places.append("source")
    return ", ".join(places) or "not known"
