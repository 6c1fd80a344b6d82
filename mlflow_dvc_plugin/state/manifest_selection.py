"""What of a state goes into the manifest of a run: as much as fits into the tags."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

from mlflow_dvc_plugin.state.entry import Entry
from mlflow_dvc_plugin.state.manifest import MAX_ENTRIES, Manifest, dump

# More differences than this never fit, so it is not worth the time to try.
_MAX_CHANGED = 50 * MAX_ENTRIES
# A metafile that may contain an address or a secret never goes into a tag.
# `train@v1:` is a stage.
_PRIVATE = re.compile(rb"://|\burl\s*:|@[\w.-]+:(?=\S)", re.IGNORECASE)


def build_manifest(
    entries: Sequence[Entry],
    committed: Sequence[Entry] | None,
    metafiles: Mapping[str, bytes],
    room: int,
) -> list[str]:
    """Write a state as parts of a manifest, of at most `room` characters together.

    `committed` is what the commit's metafiles record, if that is known. There are no
    parts if the state does not fit.
    """
    for manifest in _list_candidates(entries, committed, metafiles):
        parts = dump(manifest)
        if sum(map(len, parts)) <= room:
            return parts
    return []


def _list_candidates(
    entries: Sequence[Entry], committed: Sequence[Entry] | None, metafiles: Mapping[str, bytes]
) -> Iterator[Manifest]:
    """The possible manifests of a state, the one that says most first."""
    pipelines = {
        path: hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]
        for path, data in metafiles.items()
        if path.rpartition("/")[2] == "dvc.yaml"
    }
    public = {
        path: data
        for path, data in metafiles.items()
        if path not in pipelines and not _PRIVATE.search(data)
    }
    if len(entries) <= MAX_ENTRIES:
        whole = Manifest(tuple(entries), metafiles=public, pipelines=pipelines)
        yield from (whole, whole._replace(metafiles={}))
    if committed is None:
        return
    before = {e.path: e for e in committed}
    changed = tuple(e for e in entries if e._replace(input=False) != before.get(e.path))
    if len(changed) <= _MAX_CHANGED:
        touched = {e.metafile for e in changed}
        partial = Manifest(
            changed,
            tuple(sorted(before.keys() - {e.path for e in entries})),
            complete=False,
            metafiles={path: data for path, data in public.items() if path in touched},
            pipelines=pipelines,
        )
        yield from (partial, partial._replace(metafiles={}))
