"""The params, metrics and plots files that ``dvc.yaml`` declares."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.capturing.formats.pipeline import parse_pipeline
from mlflow_dvc_plugin.capturing.formats.templates import resolve_templates
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.state import DataState

PARAMS_FILE = "params.yaml"


@dataclass
class PipelineFiles:
    """Files of a project; ``params`` has the keys to read from each, all keys if it has none."""

    params: dict[str, list[str]] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    plots: list[str] = field(default_factory=list)


def read_pipeline(state: DataState) -> PipelineFiles:
    """The files that the running stage declares, and the top-level metrics and plots.

    Outside a stage: all of ``params.yaml``, and the metrics and plots of every stage.
    """
    files = PipelineFiles()
    if state.stage is None:
        files.params[PARAMS_FILE] = []
    for metafile, data in state.metafiles.items():
        if posixpath.basename(metafile) != "dvc.yaml":
            continue
        try:
            content = parse_pipeline(data)
            definitions = resolve_templates(content, data, state.project, metafile)
        except MlflowDvcError:
            continue
        folder = posixpath.dirname(metafile)
        _add_outputs(files, folder, content, is_stage=False)
        for name, definition in definitions.items():
            address = name if metafile == "dvc.yaml" else f"{metafile}:{name}"
            if state.stage in (None, address):
                wdir = posixpath.join(folder, str(definition.get("wdir") or "."))
                _add_outputs(files, wdir, definition, is_stage=True)
                if state.stage is not None:
                    _add_params(files, wdir, _find_params(definition, content, name))
    return files


def _add_outputs(
    files: PipelineFiles, folder: str, content: Mapping[str, Any], is_stage: bool
) -> None:
    for item in content.get("metrics") or ():
        files.metrics += _paths(folder, item)
    plots = content.get("plots") or ()
    for item in [plots] if isinstance(plots, dict) else plots:
        if is_stage or isinstance(item, str):
            files.plots += _paths(folder, item)
            continue
        for name, options in item.items():
            # Where `y` names the files, the key is only a title.
            y = options.get("y") if isinstance(options, dict) else None
            files.plots += _paths(folder, y if isinstance(y, dict) else name)


def _find_params(definition: Mapping[str, Any], content: Mapping[str, Any], name: str) -> Any:
    if "params" in definition:
        return definition["params"]
    # Where DVC resolved the templates, the definition has only deps and outs.
    raw = content.get("stages", {}).get(name.partition("@")[0], {})
    return raw.get("do", raw).get("params", ())


def _add_params(files: PipelineFiles, wdir: str, params: Any) -> None:
    for item in params or ():
        keys_by_file = item if isinstance(item, dict) else {PARAMS_FILE: [str(item)]}
        for file, keys in keys_by_file.items():
            for path in _paths(wdir, str(file)):
                files.params.setdefault(path, []).extend(str(key) for key in keys or ())


def _paths(folder: str, item: Any) -> Iterator[str]:
    """The paths that an item names, relative to the project, without those outside it."""
    for path in [item] if isinstance(item, str) else item:
        full = posixpath.normpath(posixpath.join(folder, str(path).replace(os.sep, "/")))
        if not full.startswith(("../", "/")) and full != ".." and "${" not in full:
            yield full
