"""What ``dvc.yaml`` declares beside data: parameters, metrics and plots."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.capturing.formats import pipeline, templates
from mlflow_dvc_plugin.capturing.formats.schema import SchemaError
from mlflow_dvc_plugin.capturing.formats.yaml import DocumentError
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.state import DataState

PARAMS_FILE = "params.yaml"


@dataclass
class Declared:
    """Files of a project, by path relative to it.

    Attributes:
        params: the keys that count in each params file; none for all of them.
        metrics: metrics files.
        plots: plots files and folders.
    """

    params: dict[str, list[str]] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    plots: list[str] = field(default_factory=list)


def declared(state: DataState) -> Declared:
    """What the running stage declares, with the lists that belong to no stage.

    Outside a stage: all of ``params.yaml``, and what any stage declares as
    metrics or plots.
    """
    found = Declared()
    if not state.project:
        return found
    where, name = _stage(state.stage)
    if state.stage is None:
        found.params[PARAMS_FILE] = []
    for metafile, data in state.metafiles.items():
        if posixpath.basename(metafile) != "dvc.yaml":
            continue
        folder = posixpath.dirname(metafile)
        try:
            content = pipeline.parse(data)
            definitions = templates.resolve(content, data, state.project, metafile)
        except (DocumentError, SchemaError, MlflowDvcError):
            continue
        _add(found, folder, content, stage=False)
        if state.stage is None:
            chosen = list(definitions.items())
        else:
            chosen = [(n, d) for n, d in definitions.items() if (metafile, n) == (where, name)]
        for key, definition in chosen:
            wdir = posixpath.join(folder, str(definition.get("wdir") or "."))
            _add(found, wdir, definition, stage=True)
            if state.stage is not None:
                _add_params(found, wdir, _params(definition, content, key))
    return found


def _stage(address: str | None) -> tuple[str, str]:
    metafile, _, name = (address or "").rpartition(":")
    return metafile or "dvc.yaml", name


def _add(found: Declared, folder: str, content: Mapping[str, Any], stage: bool) -> None:
    for item in content.get("metrics") or ():
        found.metrics += _inside(folder, item)
    plots = content.get("plots") or ()
    for item in [plots] if isinstance(plots, dict) else plots:
        if stage or isinstance(item, str):
            found.plots += _inside(folder, item)
            continue
        for name, options in item.items():
            # `y` may name the files; the key is then no more than a title.
            y = options.get("y") if isinstance(options, dict) else None
            found.plots += _inside(folder, y if isinstance(y, dict) else name)


def _params(definition: Mapping[str, Any], content: Mapping[str, Any], name: str) -> Any:
    if "params" in definition:
        return definition["params"]
    # DVC, asked about hard templates, tells of data only.
    raw = content.get("stages", {}).get(name.partition("@")[0], {})
    return raw.get("do", raw).get("params", ())


def _add_params(found: Declared, wdir: str, params: Any) -> None:
    for item in params or ():
        files = item if isinstance(item, dict) else {PARAMS_FILE: [str(item)]}
        for file, keys in files.items():
            for path in _inside(wdir, str(file)):
                known = found.params.setdefault(path, [])
                known += [str(key) for key in keys or ()]


def _inside(folder: str, item: Any) -> Iterator[str]:
    """Paths of an entry, relative to the project; those outside are left out."""
    for path in [item] if isinstance(item, str) else item:
        full = posixpath.normpath(posixpath.join(folder, str(path).replace(os.sep, "/")))
        if not full.startswith(("../", "/")) and full != ".." and "${" not in full:
            yield full
