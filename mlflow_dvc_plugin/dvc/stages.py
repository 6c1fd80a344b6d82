"""A stage, as DVC runs it, and what ``dvc.lock`` records of its last run."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from mlflow_dvc_plugin.dvc.errors import translate_errors
from mlflow_dvc_plugin.state import Entry


class StageRecord(NamedTuple):
    """A stage of a project.

    Attributes:
        commands: what DVC gives to the shell, one after the other.
        folder: where they run, relative to the project.
        dep_paths: the files and folders that it depends on, relative to the project.
        deps: what ``dvc.lock`` records of all that it depends on: hashes, and the
            values of params.
        outs: what it makes, with the hashes in ``dvc.lock``.
    """

    commands: tuple[str, ...]
    folder: str
    dep_paths: tuple[str, ...]
    deps: dict[str, Any]
    outs: tuple[Entry, ...]


def read_stage(repo: Any, address: str) -> StageRecord:
    """Read the stage with this address, with all templates resolved; a DvcError if there is none.

    The address is relative to the project.
    """
    with translate_errors():
        return _to_record(repo, _load_stage(repo, address), address)


def read_upstream(repo: Any, address: str) -> dict[str, StageRecord]:
    """The stages on which a stage depends, by address, in the order in which they run."""
    import networkx as nx
    from dvc.repo.reproduce import get_active_graph

    with translate_errors():
        graph, last = get_active_graph(repo.index.graph), _load_stage(repo, address)
        order = [stage for stage in nx.dfs_postorder_nodes(graph, last) if stage.cmd]
        addresses = {_to_address(repo, stage): stage for stage in order if stage != last}
        return {key: _to_record(repo, stage, key) for key, stage in addresses.items()}


def _load_stage(repo: Any, address: str) -> Any:
    path, _, name = address.rpartition(":")
    return repo.stage.load_one(os.path.join(repo.root_dir, path or "dvc.yaml"), name)


def _to_address(repo: Any, stage: Any) -> str:
    path = _to_relative(repo, stage.path)
    return str(stage.name) if path == "dvc.yaml" else f"{path}:{stage.name}"


def _to_record(repo: Any, stage: Any, address: str) -> StageRecord:
    command = stage.cmd or ()
    return StageRecord(
        commands=(command,) if isinstance(command, str) else tuple(command),
        folder=_to_relative(repo, stage.wdir),
        dep_paths=tuple(
            _to_relative(repo, dep.fs_path) for dep in stage.deps if dep.protocol == "local"
        ),
        deps={f"{type(dep).__name__} {dep.def_path}": dep.hash_info.value for dep in stage.deps},
        outs=tuple(_to_entry(repo, out, address) for out in stage.outs),
    )


def _to_entry(repo: Any, out: Any, address: str) -> Entry:
    is_local = out.protocol == "local"
    return Entry(
        path=_to_relative(repo, out.fs_path) if is_local else str(out),
        hash_name=out.hash_info.name or "md5",
        hash=out.hash_info.value,
        isdir=bool(out.hash_info.isdir),
        cached=out.use_cache,
        stage=address,
    )


def _to_relative(repo: Any, path: str) -> str:
    return os.path.relpath(path, repo.root_dir).replace(os.sep, "/")
