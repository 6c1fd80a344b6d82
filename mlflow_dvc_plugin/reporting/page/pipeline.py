"""The pipeline that a run's stage belongs to, as its ``dvc.lock`` has it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from mlflow_dvc_plugin.capturing.formats.pipeline import parse_lock
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.reporting.graph.nodes import Edge, Graph, Node

_MOST = 60  # stages


def find_pipeline(metafiles: Mapping[str, bytes], stage: str, inputs: Iterable[str]) -> Graph:
    """The stages that are tied to a stage by data, whatever its versions; empty if there are none.

    Only what DVC ran once is in a ``dvc.lock``, so a run gives the paths of its inputs.
    """
    deps: dict[str, list[str]] = {}
    outs: dict[str, list[str]] = {}
    for metafile, data in metafiles.items():
        if posixpath.basename(metafile) != "dvc.lock":
            continue
        folder = posixpath.dirname(metafile)
        prefix = f"{folder}/dvc.yaml:" if folder else ""
        for name, record in _parse(data).items():
            deps[prefix + name] = [_join(folder, item) for item in record.get("deps") or ()]
            outs[prefix + name] = [_join(folder, item) for item in record.get("outs") or ()]
    deps.setdefault(stage, list(inputs))
    if len(deps) > _MOST:
        return Graph()
    edges = [
        Edge(source, target)
        for source, made in outs.items()
        for target, read in deps.items()
        if source != target and any(_overlap(one, other) for one in made for other in read)
    ]
    tied = {stage}
    for _ in deps:
        near = [each for each in edges if each.source in tied or each.target in tied]
        tied |= {name for each in near for name in (each.source, each.target)}
    nodes = tuple(Node(name, "stage", name) for name in deps if name in tied)
    if len(nodes) < 2:
        return Graph()
    return Graph(nodes, tuple(e for e in edges if e.source in tied), frozenset([stage]))


def _parse(data: bytes) -> dict[str, Any]:
    try:
        return parse_lock(data)
    except MlflowDvcError:
        return {}


def _join(folder: str, item: Mapping[str, Any]) -> str:
    return posixpath.normpath(posixpath.join(folder, str(item["path"])))


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
