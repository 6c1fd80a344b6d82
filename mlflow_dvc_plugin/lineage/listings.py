"""What is inside tracked folders: their listings, from the cache or a remote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

Members = Mapping[str, str]
NOWHERE = "its listing is neither in the cache nor in the remote"
DAMAGED = "its listing is damaged"


def is_folder(obj: Obj) -> bool:
    """The object is a folder's listing."""
    return obj.value.endswith(DIR_SUFFIX)


def obj_of(entry: Entry) -> Obj:
    """The object that an out with a hash is stored as."""
    return Obj(entry.hash_name, str(entry.hash))


def read(
    dvc: DvcProject | None, entries: Iterable[Entry]
) -> Iterator[tuple[Obj, Members | None, str]]:
    """The members of each distinct folder among the outs, one folder at a time.

    No data is downloaded and nothing is written: listings are small.

    Args:
        dvc: the open project; None outside one.
        entries: outs with hashes; those that are no folders are passed over.

    Returns:
        For each listing, what its files' hashes are by relative path; or None,
        and why that cannot be known.
    """
    by_remote: dict[str | None, list[Obj]] = {}
    for obj, remote in {obj_of(e): e.remote for e in entries}.items():
        if is_folder(obj):
            by_remote.setdefault(remote, []).append(obj)
    for remote, objs in by_remote.items():
        if dvc is None:
            yield from ((obj, None, "this is no DVC project") for obj in objs)
            continue
        rest = dict.fromkeys(objs)
        reason = NOWHERE
        try:
            for obj, data in dvc.remotes.read_objects(objs, remote):
                del rest[obj]
                members = parse(data)
                yield obj, members, "" if members is not None else DAMAGED
        except DvcError as err:
            reason = f"its listing is not in the cache, and the remote cannot be asked: {err}"
        yield from ((obj, None, reason) for obj in rest)


def parse(data: bytes) -> Members | None:
    """The members that a listing names; None if it is none."""
    try:
        found = {item["relpath"]: item["md5"] for item in json.loads(data)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    sound = all(isinstance(k, str) and isinstance(v, str) for k, v in found.items())
    return found if sound else None
