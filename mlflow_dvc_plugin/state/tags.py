"""The MLflow tags that record a data state.

The limits apply to every project: an MLflow store refuses a longer tag, cuts it
off or fails, and ``mlflow.data.from_*`` copies all tags into one field.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

from mlflow_dvc_plugin.state.entry import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX

SCHEMA = "1"
DATA_PREFIX = "dvc.data."
DATA_OMITTED = "dvc.data_omitted"
OUT_PREFIX = "dvc.out."
MANIFEST = "dvc.manifest"
RERUN_OF = "dvc.rerun_of"  # the run that this one repeats
REPRODUCED = "dvc.reproduced"  # of a run that was repeated: the verdict
CODE_STATUS = "dvc.code_status"  # unless the code was as the commit has it
MANIFEST_RUN = "dvc.manifest_run"  # the run that has the manifest
HASHES = "dvc.hashes"
OUT_HASHES = "dvc.out_hashes"
# The indexes of hashes, and the tags that count what they lack.
OMITTED_HASHES = {HASHES: "dvc.hashes_omitted", OUT_HASHES: "dvc.out_hashes_omitted"}
# A run that has neither of these was recorded without an index.
INDEX_KEYS = (HASHES, OMITTED_HASHES[HASHES])
HASH_DIGITS = "0123456789abcdef"
MIN_HASH = 8  # digits; no hash in an index is cut to fewer
_MAX_HASH = 32

MAX_KEY = 250  # characters, as are the others
MAX_VALUE = 5_000
MAX_TOTAL = 16_000
MAX_MODIFIED = 20  # paths
MAX_MODIFIED_TOTAL = 2_000
_MAX_PATH_TAGS_TOTAL = 6_000
_MAX_SCALAR = 500

_OUTSIDE = re.compile(r"[^A-Za-z0-9_./ -]")
_DOTS = ("", ".", "..")


def build_fact_tags(facts: Mapping[str, str | None]) -> dict[str, str]:
    """Build one tag for each fact that is known."""
    return {key: line for key, value in facts.items() if (line := _line(value))}


def build_manifest_tags(parts: Sequence[str]) -> dict[str, str]:
    """Build the tags with the parts of a manifest."""
    return {f"{MANIFEST}.{n}" if n else MANIFEST: part for n, part in enumerate(parts)}


def build_code_tags(status: str | None) -> dict[str, str]:
    """Build the tag of a run whose code was not, or not surely, as the commit has it."""
    return {} if status in (None, "clean") else {CODE_STATUS: str(status)}


def build_error_tags(message: str) -> dict[str, str]:
    """Build the tags of a run whose data state could not be captured."""
    return {"dvc.schema": SCHEMA, "dvc.error": _line(message) or "unknown error"}


def to_tag_key(path: str, prefix: str = DATA_PREFIX) -> str:
    """The key of the tag with the hash of the out at `path`."""
    parts = _OUTSIDE.sub("_", path).split("/")
    clean = "/".join("_" if part in _DOTS else part for part in parts)
    if clean == path and len(clean) <= MAX_KEY - len(prefix):
        return prefix + clean
    digest = hashlib.md5(path.encode("utf-8", "surrogateescape"), usedforsecurity=False)
    return f"{(prefix + clean)[: MAX_KEY - 9]}-{digest.hexdigest()[:8]}"


def read_manifest_parts(tags: Mapping[str, str]) -> Sequence[str]:
    """The parts of a run's manifest, in order; none if it has no manifest."""
    parts: list[str] = []
    while (key := f"{MANIFEST}.{len(parts)}" if parts else MANIFEST) in tags:
        parts.append(tags[key])
    return parts


def refer_to_manifest(
    tags: dict[str, str], run_id: str, find_tags: Callable[[str], Mapping[str, str] | None]
) -> dict[str, str]:
    """Replace a manifest by the id of a run that has the same: that run, or the one it names.

    The tags stay as they are if no such run is known to `find_tags`.
    """
    others = find_tags(run_id) or {}
    if MANIFEST_RUN in others:
        run_id = others[MANIFEST_RUN]
        others = find_tags(run_id) or {}
    parts, other_parts = read_manifest_parts(tags), read_manifest_parts(others)
    if not parts or (parts != other_parts and not _describe_same_data(parts, other_parts)):
        return tags
    repeated = build_manifest_tags(parts)
    kept = {key: value for key, value in tags.items() if key not in repeated}
    return {**kept, MANIFEST_RUN: run_id}


def _describe_same_data(parts: Sequence[str], other_parts: Sequence[str]) -> bool:
    """Do two manifests differ in nothing but the program, such as that of a worker process?"""
    from mlflow_dvc_plugin.errors import ManifestError
    from mlflow_dvc_plugin.state.manifest import parse

    try:
        one, other = (parse(each)._replace(program=None) for each in (parts, other_parts))
    except ManifestError:
        return False
    return one == other


def build_path_tags(shown: Sequence[Entry], most: int) -> dict[str, str]:
    """Build tags with the hashes of at most `most` outs, and one with the number of the others."""
    tags: dict[str, str] = {}
    folders: set[str] = set()
    room = _MAX_PATH_TAGS_TOTAL
    for entry in shown:
        if len(tags) == most:
            break
        key = to_tag_key(entry.path)
        value = _line(str(entry.hash))
        above = {key[: match.start()] for match in re.finditer("/", key)}
        # A file store writes each tag to a file, so it cannot have both "a" and "a/b".
        if key in folders or not above.isdisjoint(tags) or not 0 < len(value) <= room:
            continue
        tags[key] = value
        folders |= above
        room -= len(value)
    omitted = len(shown) - len(tags)
    if omitted:
        tags[DATA_OMITTED] = str(omitted)
    return tags


def build_hash_tags(entries: Sequence[Entry], room: int, key: str = HASHES) -> dict[str, str]:
    """Build the index of the hashes of outs, for MLflow's own search.

    The tag has each distinct hash once, without ``.dir``, in the order of the outs and
    separated by a space. All are cut to one length if they do not fit whole: the longest
    from 32 to 8 digits. Those that still do not fit, and hashes that are not hexadecimal, are
    counted in a tag of their own, which also says "0" if there is nothing to index.

    Args:
        entries: outs that have a hash.
        room: the most characters for both values together.
        key: the tag's key, one of `OMITTED_HASHES`.
    """
    hashes = dict.fromkeys([str(e.hash) for e in entries])
    most = min(room - len(str(len(hashes))), MAX_VALUE) + 1  # no space before the first
    digits = (each.removesuffix(DIR_SUFFIX) for each in hashes)
    valid = (each for each in digits if len(each) >= MIN_HASH and not each.strip(HASH_DIGITS))
    shown = list(islice(valid, max(0, most // (MIN_HASH + 1))))
    tags: dict[str, str] = {}
    if shown:
        length = min(_MAX_HASH, most // len(shown) - 1)
        tags[key] = " ".join([each[:length] for each in shown])
    if len(shown) < len(hashes) or not shown:
        tags[OMITTED_HASHES[key]] = str(len(hashes) - len(shown))
    return tags


def build_index_tags(
    used: Sequence[Entry], made: Sequence[Entry], recorded: Mapping[str, str]
) -> dict[str, str]:
    """Build the indexes of what a run used and made, beside the other tags that it has."""
    room = MAX_TOTAL - _count_recorded(recorded, OMITTED_HASHES)
    tags = build_hash_tags(used, room)
    if made:
        tags.update(build_hash_tags(made, room - count_characters(tags), OUT_HASHES))
    return tags


def build_out_tags(made: Sequence[Entry], recorded: Mapping[str, str]) -> dict[str, str]:
    """Build the tags with the hashes of what a run made, beside the other tags that it has."""
    tags = {to_tag_key(e.path, OUT_PREFIX): str(e.hash) for e in made}
    room = MAX_TOTAL - _count_recorded({**recorded, **tags}, [OUT_HASHES])
    return {**tags, **build_hash_tags(made, room, OUT_HASHES)}


def _count_recorded(tags: Mapping[str, str], without: Collection[str]) -> int:
    """The length of all values of our tags together, without some that are built anew."""
    return count_characters(
        {key: v for key, v in tags.items() if key.startswith("dvc.") and key not in without}
    )


def build_end_tags(status: str, changed: Sequence[str]) -> dict[str, str]:
    """Build the tags that tell, at a run's end, what became of its data while it ran."""
    return {"dvc.status_end": status, **build_paths_tag("dvc.changed", changed)}


def build_paths_tag(key: str, paths: Sequence[str]) -> dict[str, str]:
    """Build a tag with paths, as many as fit; no tag without any."""
    shown: list[str] = []
    for path in paths[:MAX_MODIFIED]:
        if len(",".join([*shown, path])) > MAX_MODIFIED_TOTAL:
            break
        shown.append(path)
    line = _line(",".join(shown), MAX_MODIFIED_TOTAL)
    return {key: line} if line else {}


def count_characters(tags: Mapping[str, str]) -> int:
    """The length of all values together."""
    return sum(map(len, tags.values()))


def _line(value: str | None, most: int = _MAX_SCALAR) -> str:
    """One line of text that every store accepts."""
    text = (value or "").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:most].strip()
