"""Data state ⇄ MLflow tags.

The limits hold for any project: MLflow's stores refuse, cut or choke on what
is over them, and ``mlflow.data.from_*`` copies all tags into one field.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from mlflow_dvc_plugin import manifest
from mlflow_dvc_plugin.state import DataState

SCHEMA = "1"
DATA_PREFIX = "dvc.data."
OUT_PREFIX = "dvc.out."
MANIFEST = "dvc.manifest"

MAX_KEY = 250  # characters, as are the others
MAX_VALUE = 5_000
MAX_TOTAL = 16_000
MAX_MODIFIED = 20
_MAX_PATH_TAGS_TOTAL = 6_000
_MAX_MODIFIED_TOTAL = 2_000
_MAX_SCALAR = 500

_OUTSIDE = re.compile(r"[^A-Za-z0-9_./ -]")
_ODD_PART = re.compile(r"(?:^|(?<=/))(?:\.{0,2})(?=/|$)")


# The state that was written last, how many paths were shown, and its tags.
_last: tuple[DataState, int, dict[str, str]] | None = None


def to_tags(state: DataState, max_path_tags: int = 20) -> dict[str, str]:
    """The tags that record a state.

    Args:
        state: what to record.
        max_path_tags: how many outs get a ``dvc.data.<path>`` tag.

    Returns:
        Keys and values within the limits of every MLflow store. The key
        ``dvc.manifest`` is absent if the state is too large for tags.
    """
    global _last  # noqa: PLW0603 - the runs of a search mostly have the same state
    if _last is None or _last[0] is not state or _last[1] != max_path_tags:
        _last = state, max_path_tags, _tags(state, max_path_tags)
    return dict(_last[2])


def _tags(state: DataState, max_path_tags: int) -> dict[str, str]:
    # MLflow shows tags in this order, and a reader looks at the first few.
    scalars = {
        "dvc.data_hash": state.data_hash,
        "dvc.status": state.status,
        "dvc.lock_hash": state.lock_hash,
        "dvc.git_commit": state.git_commit,
        "dvc.stage": state.stage,
        "dvc.inputs_hash": state.inputs_hash,
        "dvc.exp_name": state.exp_name,
        "dvc.exp_baseline": state.exp_baseline,
        "dvc.remote": state.remote,
    }
    tags = {key: line for key, value in scalars.items() if (line := _line(value))}
    if modified := _line(_modified(state.modified), _MAX_MODIFIED_TOTAL):
        tags["dvc.modified"] = modified
    tags.update(_path_tags(state, max_path_tags))
    tags.update({"dvc.root": _line(state.root), "dvc.schema": SCHEMA})
    room = MAX_TOTAL - sum(map(len, tags.values()))
    parts = manifest.build(state.entries, state.committed, state.metafiles, room)
    for number, part in enumerate(parts or ()):
        tags[f"{MANIFEST}.{number}" if number else MANIFEST] = part
    return tags


def error_tags(message: str) -> dict[str, str]:
    """The tags of a run whose data state could not be read."""
    return {"dvc.schema": SCHEMA, "dvc.error": _line(message) or "unknown error"}


def path_key(path: str, prefix: str = DATA_PREFIX) -> str:
    """The key of the tag that holds the hash of the out at `path`.

    Args:
        path: relative to the project.
        prefix: what the keys of such tags start with.
    """
    clean = _ODD_PART.sub("_", _OUTSIDE.sub("_", path))
    if clean == path and len(clean) <= MAX_KEY - len(prefix):
        return prefix + clean
    digest = hashlib.md5(path.encode("utf-8", "surrogateescape"), usedforsecurity=False)
    return f"{(prefix + clean)[: MAX_KEY - 9]}-{digest.hexdigest()[:8]}"


def manifest_parts(tags: Mapping[str, str]) -> Sequence[str]:
    """The texts of a run's manifest, in order; none if it has no manifest."""
    parts: list[str] = []
    while (key := f"{MANIFEST}.{len(parts)}" if parts else MANIFEST) in tags:
        parts.append(tags[key])
    return parts


def _path_tags(state: DataState, most: int) -> dict[str, str]:
    if state.stage is None:
        shown = sorted(
            (e for e in state.entries if e.cached and e.hash),
            key=lambda e: (e.stage is not None, e.path),
        )
    else:
        shown = [e for e in state.entries if e.input and e.hash]
    tags: dict[str, str] = {}
    folders: set[str] = set()
    room = _MAX_PATH_TAGS_TOTAL
    for entry in shown:
        if len(tags) == most:
            break
        key = path_key(entry.path)
        value = _line(str(entry.hash))
        above = _folders_of(key)
        # A file store keeps a tag as a file: "a" and "a/b" cannot both be.
        if key in folders or not above.isdisjoint(tags) or not 0 < len(value) <= room:
            continue
        tags[key] = value
        folders |= above
        room -= len(value)
    omitted = len(shown) - len(tags)
    if omitted:
        tags["dvc.data_omitted"] = str(omitted)
    return tags


def _folders_of(key: str) -> set[str]:
    return {key[: match.start()] for match in re.finditer("/", key)}


def _modified(paths: Sequence[str]) -> str:
    shown: list[str] = []
    for path in paths[:MAX_MODIFIED]:
        if len(",".join([*shown, path])) > _MAX_MODIFIED_TOTAL:
            break
        shown.append(path)
    return ",".join(shown)


def _line(value: str | None, most: int = _MAX_SCALAR) -> str:
    """One line of text that every store can hold."""
    text = (value or "").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:most].strip()
