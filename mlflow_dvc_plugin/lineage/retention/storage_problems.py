"""What of a project's data is not stored where a restore can get it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from mlflow_dvc_plugin.dvc.errors import NOT_IN_REMOTE
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError, join_some
from mlflow_dvc_plugin.lineage.listings import is_listing, to_object
from mlflow_dvc_plugin.lineage.retention.forgotten_data import find_forgotten
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import Obj, parse_listing

NO_REMOTE = (
    "There is no default DVC remote, so the cache is the only copy of the data. Add one "
    "with `dvc remote add -d NAME URL`, then run `dvc push`."
)
NOT_PUSHED = "Not in the DVC remote: {}. `dvc push` uploads it."
_SHOWN = 3
_MOST_FILES = 1000


class _Need(NamedTuple):
    """An object that a restore needs, and its out."""

    obj: Obj
    out: Entry


class RemoteAnswer(NamedTuple):
    """What a remote said when it was asked for objects.

    Attributes:
        absent: the paths of those that it lacks.
        problem: why it did not say so, a sentence; empty if it answered.
    """

    absent: frozenset[str] = frozenset()
    problem: str = ""


def find_storage_problems(root: str, entries: list[Entry], tracking_uri: str | None) -> list[str]:
    """What is not in the cache, and not in a remote, a sentence each."""
    plain = [e for e in entries if e.kind == "plain"]
    if not entries:
        return []
    with closing(DvcProject(root)) as dvc:
        uncached = _find_uncached(dvc, plain)
        needs = {**{e.path: _Need(to_object(e), e) for e in plain}, **uncached}
        pushed = {path: need for path, need in needs.items() if need.out.push}
        absent, problems = _find_absent(dvc, pushed)
        stored = pushed.keys() - absent
        if dvc.remotes.find_default() is None:
            stored = {path for path in stored if pushed[path].out.remote}
    lost = {path: need for path, need in uncached.items() if path not in stored}
    forgotten = _find_forgotten(root, lost, tracking_uri) if lost else {}
    return [
        *(
            f"{join_some(paths, _SHOWN)}: {when}. A run that needs it cannot be restored."
            for when, paths in forgotten.items()
        ),
        *_name_paths("Not in the DVC cache: {}. `dvc fetch` downloads it.", uncached, forgotten),
        *problems,
        *_name_paths(NOT_PUSHED, absent, forgotten),
    ]


def _find_uncached(dvc: DvcProject, entries: Iterable[Entry]) -> dict[str, _Need]:
    """The objects that the cache lacks, by path: of outs, and of files in those with a listing.

    A folder that lacks many files stands for them: no remote is asked for each.
    """
    uncached: dict[str, _Need] = {}
    for e in entries:
        obj = to_object(e)
        needs = {e.path: _Need(obj, e)}
        for _, data in dvc.storage.cache.read([obj] if is_listing(obj) else []):
            for name, value in (parse_listing(data) or {}).items():
                needs[posixpath.join(e.path, name)] = _Need(Obj(obj.hash_name, value), e)
        missing = dvc.cache.find_missing(need.obj for need in needs.values())
        is_known = len(missing) <= _MOST_FILES
        lacking = {path: need for path, need in needs.items() if need.obj in missing}
        uncached.update(lacking if is_known else {e.path: needs[e.path]})
    return uncached


def _find_forgotten(
    root: str, lost: Mapping[str, _Need], tracking_uri: str | None
) -> dict[str, list[str]]:
    objs = {path: need.obj for path, need in lost.items()}
    outs = {to_object(need.out) for need in lost.values()}
    return find_forgotten(root, objs, outs, tracking_uri)


def _name_paths(
    text: str, paths: Iterable[str], forgotten: Mapping[str, Sequence[str]]
) -> list[str]:
    """A problem of all these paths, except for those that were forgotten."""
    known = {path for some in forgotten.values() for path in some}
    rest = sorted({*paths} - known)
    return [text.format(join_some(rest, _SHOWN))] if rest else []


def _find_absent(dvc: DvcProject, needs: Mapping[str, _Need]) -> tuple[set[str], list[str]]:
    """The paths of objects that their remotes lack, and what is wrong with the remotes."""
    by_remote: dict[str | None, dict[str, Obj]] = {}
    for path, need in needs.items():
        by_remote.setdefault(need.out.remote, {})[path] = need.obj
    problems = []
    if dvc.remotes.find_default() is None and (None in by_remote or not by_remote):
        by_remote.pop(None, None)
        problems.append(NO_REMOTE)
    answers = [ask_remote(dvc, remote, objs) for remote, objs in by_remote.items()]
    problems += [answer.problem for answer in answers if answer.problem]
    return {path for answer in answers for path in answer.absent}, problems


def ask_remote(dvc: DvcProject, remote: str | None, objs: Mapping[str, Obj]) -> RemoteAnswer:
    """Ask a remote (None for the default one) for objects, by path."""
    name = name_remote(remote)
    try:
        present = dvc.remotes.find_objects(objs.values(), remote)
    except EmptyRemoteError as err:
        return RemoteAnswer(
            problem=f"Nothing was pushed yet: the folder {err.folder} of "
            f"{name[:1].lower()}{name[1:]} does not exist, or is not mounted. `dvc push` "
            "creates it and uploads the data."
        )
    except DvcError as err:
        reason = str(err).rstrip(".")
        if reason == NOT_IN_REMOTE:  # which it says of everything
            reason = "its bucket does not exist"
        return RemoteAnswer(
            problem=f"{name} does not answer: {reason}. Check the network, its address with `dvc "
            "remote list`, and your credentials."
        )
    return RemoteAnswer(frozenset(path for path, obj in objs.items() if obj not in present))


def name_remote(remote: str | None) -> str:
    """A remote (None for the default one), at the beginning of a sentence."""
    return f"The DVC remote {remote}" if remote else "The DVC remote"
