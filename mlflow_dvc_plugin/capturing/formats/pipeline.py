"""``dvc.yaml`` with its ``dvc.lock``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlflow_dvc_plugin.capturing.dvc_config import Config
from mlflow_dvc_plugin.capturing.formats.outs import Stage, build_out
from mlflow_dvc_plugin.capturing.formats.paths import WorkingDir
from mlflow_dvc_plugin.capturing.formats.schema import LOCK, PIPELINE, load_checked
from mlflow_dvc_plugin.errors import CaptureError

# Stage name -> its definition, without templates.
Definitions = Mapping[str, Mapping[str, Any]]
# Stage name -> the records of its outs in the lock.
LockOuts = Mapping[str, Sequence[Mapping[str, Any]]]

# Bytes of a file for which it pays to compile regular expressions.
_LARGE = 64_000
_OUT_SECTIONS = ("outs", "metrics", "plots")
_NOTHING: Mapping[str, Any] = {}
# A stage that never ran will get the hash of DVC 3.
_NEVER_RAN = {"hash": "md5"}


def parse_pipeline(data: bytes) -> dict[str, Any]:
    """Parse a ``dvc.yaml``, or raise a FormatError."""
    if len(data) > _LARGE:
        from mlflow_dvc_plugin.capturing.formats import regex_parser

        found = regex_parser.parse_pipeline(data)
        if found is not None:
            return found
    return load_checked(data, PIPELINE)


def parse_lock_outs(data: bytes) -> LockOuts:
    """Parse the records of each stage's outs in a ``dvc.lock``, or raise a FormatError."""
    if len(data) > _LARGE:
        from mlflow_dvc_plugin.capturing.formats import regex_parser

        outs = regex_parser.parse_lock_outs(data)
        if outs is not None:
            return outs
    return {name: stage.get("outs", []) for name, stage in parse_lock(data).items()}


def parse_lock(data: bytes) -> dict[str, Any]:
    """Parse the stages of a ``dvc.lock``, or raise a FormatError."""
    return dict(load_checked(data, LOCK).get("stages", {}))


def has_templates(content: Mapping[str, Any], data: bytes) -> bool:
    """Does a ``dvc.yaml`` contain templates, ``foreach`` or ``matrix``?"""
    if b"${" in data:
        return True
    definitions = content.get("stages", {})
    keys = set().union(*definitions.values())
    return "foreach" in keys or "matrix" in keys or any("@" in name for name in definitions)


def build_stages(
    definitions: Definitions, lock: LockOuts, metafile: str, project: str, config: Config
) -> list[Stage]:
    """Build the stages that a ``dvc.yaml`` defines, with what its lock records of them."""
    lockfile = posixpath.splitext(metafile)[0] + ".lock"
    prefix = "" if metafile == "dvc.yaml" else f"{metafile}:"
    own = WorkingDir.of_stage(project, config, metafile)
    stages = []
    for name, definition in definitions.items():
        address = prefix + name
        wdir = definition.get("wdir")
        folder = WorkingDir.of_stage(project, config, metafile, wdir) if wdir else own
        absent = _NOTHING if name in lock else _NEVER_RAN
        records = {out["path"]: out for out in lock.get(name, ())}
        outs = []
        for path, flags in _list_outs(definition, metafile, name):
            place = folder.locate(path)
            record = records.get(place.key, absent)
            outs.append(build_out(place, record, flags, metafile=lockfile, stage=address))
        deps = definition.get("deps") or ()
        folder.check_deps(deps)
        stages.append(Stage(address, name, metafile, folder, deps, tuple(outs)))
    return stages


def check_paths(definitions: Definitions, metafile: str) -> None:
    """Check that the paths are still strings after their templates were resolved."""
    for stage, definition in definitions.items():
        items = [item for section in _OUT_SECTIONS for item in definition.get(section) or ()]
        outs = [path for item in items for path in (item if isinstance(item, dict) else [item])]
        paths = [definition.get("wdir") or "", *(definition.get("deps") or ()), *outs]
        if not all(isinstance(path, str) for path in paths):
            raise CaptureError(metafile, f"a path of stage {stage!r} is not a string")


def _list_outs(
    definition: Mapping[str, Any], metafile: str, stage: str
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Path and flags of each out of a stage."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for section in _OUT_SECTIONS:
        items = definition.get(section)
        if not items:
            continue
        merged: dict[str, Mapping[str, Any]] = {}
        for item in items:
            if isinstance(item, str):
                merged.setdefault(item, _NOTHING)
                continue
            for path, flags in item.items():
                if not isinstance(flags, dict):
                    raise CaptureError(
                        metafile, f"DVC does not accept the options of {path!r} in stage {stage!r}"
                    )
                merged[path] = {**merged.get(path, _NOTHING), **flags}
        found += merged.items()
    return found
