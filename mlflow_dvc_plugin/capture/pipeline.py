"""``dvc.yaml`` with its ``dvc.lock``."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from mlflow_dvc_plugin.capture import schema
from mlflow_dvc_plugin.capture.document import load
from mlflow_dvc_plugin.capture.stages import Locator, Out, Stage, recorded_out
from mlflow_dvc_plugin.errors import CaptureError

# Stage name -> its definition, without any template left in it.
Definitions = Mapping[str, Mapping[str, Any]]

_OUT_SECTIONS = ("outs", "metrics", "plots")


def parse(data: bytes) -> dict[str, Any]:
    """The content of a ``dvc.yaml``.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    content = load(data) or {}
    schema.pipeline(content, "")
    return dict(content)


def parse_lock(data: bytes) -> dict[str, Any]:
    """The stages of a ``dvc.lock``.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    content = load(data) or {}
    schema.lockfile(content, "")
    return dict(content.get("stages", {}))


def stages(
    definitions: Definitions, lock: Mapping[str, Any], metafile: str, locator: Locator
) -> list[Stage]:
    """The stages that a ``dvc.yaml`` defines, with what its lock records of them.

    Raises:
        CaptureError: DVC refuses a path in it.
    """
    lockfile = posixpath.splitext(metafile)[0] + ".lock"
    prefix = "" if metafile == "dvc.yaml" else f"{metafile}:"
    found = []
    for name, definition in definitions.items():
        _check(definition, metafile, name)
        wdir = locator.folder(metafile, definition.get("wdir"))
        locked = lock.get(name)
        records = {out["path"]: out for out in (locked or {}).get("outs", ())}
        outs: list[Out] = []
        for section in _OUT_SECTIONS:
            for path, flags in _outs(definition.get(section), metafile, name).items():
                place = locator.place(metafile, wdir, path)
                record = records.get(place.key, {})
                outs.append(
                    recorded_out(
                        place,
                        record,
                        # A stage that never ran has DVC 3's hash to come.
                        hash_name=record.get("hash") if locked else "md5",
                        metafile=lockfile,
                        stage=prefix + name,
                        cached=flags.get("cache", True),
                        remote=flags.get("remote"),
                        push=flags.get("push", True),
                    )
                )
        deps = [
            locator.place(metafile, wdir, dep).path
            for dep in definition.get("deps") or ()
            if not dep.startswith("ds://")
        ]
        found.append(Stage(prefix + name, name, metafile, wdir, tuple(deps), tuple(outs)))
    return found


def _check(definition: Mapping[str, Any], metafile: str, stage: str) -> None:
    """Templates may have become something else than the texts that they were."""
    sections = [definition.get(section) or () for section in _OUT_SECTIONS]
    paths = [path for items in sections for item in items for path in _paths(item)]
    texts = [definition.get("wdir") or "", *(definition.get("deps") or ()), *paths]
    if not all(isinstance(text, str) for text in texts):
        raise CaptureError(metafile, f"a path of stage {stage!r} is no text")


def _paths(item: Any) -> list[Any]:
    return list(item) if isinstance(item, dict) else [item]


def _outs(section: Any, metafile: str, stage: str) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for item in section or ():
        for path, flags in ({item: {}} if isinstance(item, str) else item).items():
            if not isinstance(flags, dict):
                raise CaptureError(metafile, f"DVC refuses how stage {stage!r} defines {path!r}")
            merged.setdefault(path, {}).update(flags)
    return merged
