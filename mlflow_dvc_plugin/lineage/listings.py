"""The listings of tracked folders: which files are inside, read from the cache or a remote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Members, Obj, parse_listing

NOT_FOUND = "its listing is neither in the cache nor in the remote"


class Listing(NamedTuple):
    """The listing of a folder.

    Attributes:
        members: None if it cannot be read.
        error: the remote's error, if that is the reason.
    """

    obj: Obj
    members: Members | None
    reason: str = ""
    error: DvcError | None = None


def is_listing(obj: Obj) -> bool:
    """The object is the listing of a folder."""
    return obj.value.endswith(DIR_SUFFIX)


def to_object(entry: Entry) -> Obj:
    """The object of an out that has a hash."""
    return Obj(entry.hash_name, str(entry.hash))


def read_listings(dvc: DvcProject | None, entries: Iterable[Entry]) -> Iterator[Listing]:
    """The listing of each distinct folder among the outs.

    Data is not downloaded, and nothing is written: listings are small.
    """
    by_remote: dict[str | None, list[Obj]] = {}
    for obj, remote in {to_object(e): e.remote for e in entries}.items():
        if is_listing(obj):
            by_remote.setdefault(remote, []).append(obj)
    for remote, objs in by_remote.items():
        if dvc is None:
            reason = "its listing can only be read in a DVC project"
            yield from (Listing(obj, None, reason) for obj in objs)
        else:
            yield from _read_remote(dvc, objs, remote)


def _read_remote(dvc: DvcProject, objs: list[Obj], remote: str | None) -> Iterator[Listing]:
    unread = dict.fromkeys(objs)
    reason, error = NOT_FOUND, None
    try:
        for obj, data in dvc.remotes.read_objects(objs, remote):
            del unread[obj]
            members = parse_listing(data)
            yield Listing(obj, members, "" if members is not None else "its listing is damaged")
    except DvcError as err:
        reason, error = f"its listing is not in the cache, and {explain_remote_error(err)}", err
    yield from (Listing(obj, None, reason, error) for obj in unread)


def explain_remote_error(error: DvcError) -> str:
    """Why a remote does not tell what it has."""
    if isinstance(error, EmptyRemoteError):
        return str(error)
    return f"the remote does not answer: {error}"
