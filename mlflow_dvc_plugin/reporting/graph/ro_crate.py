"""A graph as a Workflow Run RO-Crate: what a paper, or an archive, says of runs.

The formats are RO-Crate 1.1 and, of the Workflow Run RO-Crate profiles 0.5, the Workflow Run
Crate if a ``dvc.yaml`` is known, else the Process Run Crate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mlflow_dvc_plugin.errors import ReportError, UnsafePathError
from mlflow_dvc_plugin.reporting.graph.nodes import Graph, Node
from mlflow_dvc_plugin.restoring.files.paths import check_path

_CRATE = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_RUN_CRATE = "https://w3id.org/ro/wfrun"
_PIPELINE = "dvc.yaml"
_FILE = "ro-crate-metadata.json"
_STATUS = {
    "finished": "CompletedActionStatus",
    "failed": "FailedActionStatus",
    "killed": "FailedActionStatus",
    "running": "ActiveActionStatus",
}
_Entity = dict[str, Any]
_MLFLOW: _Entity = {
    "@id": "#mlflow",
    "@type": "SoftwareApplication",
    "name": "MLflow",
    "url": "https://mlflow.org",
}
_DVC: _Entity = {
    "@id": "#dvc",
    "@type": "ComputerLanguage",
    "name": "DVC pipelines",
    "alternateName": "DVC",
    "identifier": {"@id": "https://dvc.org"},
    "url": {"@id": "https://dvc.org"},
}


def write_ro_crate(graph: Graph, metafiles: Mapping[str, bytes], folder: str) -> list[str]:
    """Write a crate: its metadata, and the metafiles. The data itself is named by its hashes.

    Returns the paths of the files in the folder.

    Raises:
        ReportError: the folder has other files, or cannot be written.
    """
    files = {path: data for path, data in metafiles.items() if _is_safe(path)}
    text = json.dumps(build_ro_crate(graph, list(files)), indent=2, ensure_ascii=False) + "\n"
    contents = {**files, _FILE: text.encode("utf-8", "replace")}
    try:
        os.makedirs(folder, exist_ok=True)
        if os.listdir(folder):
            raise ReportError(f"{folder} is not empty. Name a new folder for the RO-Crate.")
        for path, data in contents.items():
            target = os.path.join(folder, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)
    except OSError as err:
        raise ReportError(f"{err.filename or folder} cannot be written: {err.strerror}.") from err
    return sorted(contents)


def build_ro_crate(graph: Graph, metafiles: Sequence[str]) -> _Entity:
    """The metadata of a crate in which these metafiles are."""
    runs = [node for node in graph.nodes if node.kind == "run"]
    if not runs:
        raise ReportError("There is no run to describe in an RO-Crate.")
    has_workflow = _PIPELINE in metafiles
    profiles = [_to_profile(f"{_RUN_CRATE}/process/0.5", "Process Run Crate")]
    if has_workflow:
        profiles.append(_to_profile(f"{_RUN_CRATE}/workflow/0.5", "Workflow Run Crate"))
        profiles.append(_to_profile(_WORKFLOW_CRATE, "Workflow RO-Crate"))
    tool = _PIPELINE if has_workflow else "#mlflow"
    actions = [_to_action(graph, run, tool) for run in runs]
    used = [node for run in runs for node in (*graph.list_used(run), *graph.list_made(run))]
    data = list({_to_id(node): _to_data(node) for node in used}.values())
    files = [_to_file(path) for path in metafiles]
    root: _Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Runs and their data: {', '.join(run.name for run in runs[:3])}",
        "description": "MLflow runs, with the hashes of the data that DVC tracked for them.",
        "datePublished": max(run.facts.get("ended") or run.facts["started"] for run in runs),
        "license": "The licenses of the data and of the code apply.",
        "conformsTo": _refer(profiles),
        "hasPart": _refer([*files, *data]),
        "mentions": _refer(actions),
    }
    if has_workflow:
        root["mainEntity"] = {"@id": _PIPELINE}
    descriptor: _Entity = {
        "@id": _FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [{"@id": _CRATE}, *([{"@id": _WORKFLOW_CRATE}] if has_workflow else [])],
    }
    entities = [descriptor, root, *profiles, _MLFLOW, _DVC, *files, *data, *actions]
    return {"@context": f"{_CRATE}/context", "@graph": entities}


def _to_profile(uri: str, name: str) -> _Entity:
    version = uri.rpartition("/")[2]
    return {"@id": uri, "@type": "CreativeWork", "name": name, "version": version}


def _to_action(graph: Graph, run: Node, tool: str) -> _Entity:
    status = _STATUS.get(run.facts.get("status", ""), "PotentialActionStatus")
    action: _Entity = {
        "@id": f"#run-{run.hash}",
        "@type": "CreateAction",
        "name": f"MLflow run {run.name}",
        "identifier": run.hash,
        "instrument": {"@id": tool},
        "startTime": run.facts["started"],
        "actionStatus": {"@id": f"http://schema.org/{status}"},
        "object": _refer(map(_to_data, graph.list_used(run))),
        "result": _refer(map(_to_data, graph.list_made(run))),
    }
    if "ended" in run.facts:
        action["endTime"] = run.facts["ended"]
    if run.url:
        action["url"] = run.url
    return action


def _to_id(node: Node) -> str:
    """The URI of data or of a model: its hash and path, or its name."""
    if node.kind == "data":
        value = node.hash.partition(".")[0]
        return f"hash://md5/{_quote(value)}#{_quote(node.name)}"
    if node.kind == "version":
        return f"models:/{_quote(node.name)}"
    return f"models:/{_quote(node.hash)}"


def _to_data(node: Node) -> _Entity:
    entity: _Entity = {"@id": _to_id(node), "@type": "File", "name": node.name}
    if node.hash.endswith(".dir"):
        entity["@type"] = "Dataset"
    if node.hash:
        entity["identifier"] = node.hash
    if "bytes" in node.facts:
        entity["contentSize"] = node.facts["bytes"]
    return entity


def _to_file(path: str) -> _Entity:
    entity: _Entity = {"@id": _quote(path), "@type": "File", "name": path}
    if path == _PIPELINE:
        entity["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
        entity["name"] = "DVC pipeline"
        entity["programmingLanguage"] = {"@id": "#dvc"}
    return entity


def _refer(entities: Iterable[_Entity]) -> list[_Entity] | _Entity:
    """References to entities; RO-Crate wants a single one without a list."""
    found = [{"@id": each["@id"]} for each in entities]
    return found[0] if len(found) == 1 else found


def _is_safe(path: str) -> bool:
    """Tags are not trusted: the path leads to a place in the folder of the crate."""
    try:
        check_path(path)
    except UnsafePathError:
        return False
    return path != _FILE


def _quote(text: str) -> str:
    """A part of a URI; half a character, from a tag, has no bytes."""
    return quote(text, errors="replace")
