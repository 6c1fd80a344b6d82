"""``dvc.yaml`` with its ``dvc.lock``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlflow_dvc_plugin.capturing.formats import canonical as plain
from mlflow_dvc_plugin.capturing.formats.stages import Locator, Stage, recorded_out
from mlflow_dvc_plugin.errors import CaptureError

# Stage name -> its definition, without any template left in it.
Definitions = Mapping[str, Mapping[str, Any]]
# Stage name -> what its lock records of its outs.
Records = Mapping[str, Sequence[Mapping[str, Any]]]

_OUT_SECTIONS = ("outs", "metrics", "plots")
_NOTHING: Mapping[str, Any] = {}
_TO_COME = {"hash": "md5"}


def parse(data: bytes) -> dict[str, Any]:
    """The content of a ``dvc.yaml``.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    found = plain.pipeline(data)
    if found is not None:
        return found
    from mlflow_dvc_plugin.capturing.formats import schema
    from mlflow_dvc_plugin.capturing.formats.yaml import load

    content = load(data) or {}
    schema.pipeline(content, "")
    return dict(content)


def parse_records(data: bytes) -> dict[str, Any]:
    """What a ``dvc.lock`` records of the outs of each stage.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    found = plain.records(data)
    if found is not None:
        return found
    return {name: stage.get("outs", []) for name, stage in parse_lock(data).items()}


def parse_lock(data: bytes) -> dict[str, Any]:
    """The stages of a ``dvc.lock``.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    from mlflow_dvc_plugin.capturing.formats import schema
    from mlflow_dvc_plugin.capturing.formats.yaml import load

    content = load(data) or {}
    schema.lockfile(content, "")
    return dict(content.get("stages", {}))


def has_templates(content: Mapping[str, Any], data: bytes) -> bool:
    """Is there anything in a ``dvc.yaml`` that stands for something else?"""
    if b"${" in data:
        return True
    definitions = content.get("stages", {})
    keys = set().union(*definitions.values())
    return "foreach" in keys or "matrix" in keys or any("@" in name for name in definitions)


def is_group(definition: Mapping[str, Any]) -> bool:
    """Does a definition stand for several stages?"""
    return "foreach" in definition or "matrix" in definition


def stages(definitions: Definitions, lock: Records, metafile: str, locator: Locator) -> list[Stage]:
    """The stages that a ``dvc.yaml`` defines, with what its lock records of them.

    Raises:
        CaptureError: DVC refuses a path in it.
    """
    lockfile = posixpath.splitext(metafile)[0] + ".lock"
    prefix = "" if metafile == "dvc.yaml" else f"{metafile}:"
    home = locator.folder(metafile, None)
    found = []
    for name, definition in definitions.items():
        address = prefix + name
        wdir = definition.get("wdir")
        folder = locator.folder(metafile, wdir) if wdir else home
        # A stage that never ran has DVC 3's hash to come.
        missing = {} if name in lock else _TO_COME
        records = {out["path"]: out for out in lock.get(name, ())}
        outs = []
        for path, flags in _outs(definition, metafile, name):
            place = folder.place(path)
            record = records.get(place.key, missing)
            outs.append(
                recorded_out(
                    place,
                    record,
                    hash_name=record.get("hash"),
                    metafile=lockfile,
                    stage=address,
                    cached=flags.get("cache", True),
                    remote=flags.get("remote"),
                    push=flags.get("push", True),
                )
            )
        reads = definition.get("deps") or ()
        folder.check(reads)
        found.append(Stage(address, name, metafile, folder, reads, tuple(outs)))
    return found


def check(definitions: Definitions, metafile: str) -> None:
    """Templates may have become something else than the texts that they were.

    Raises:
        CaptureError: DVC would refuse what they became.
    """
    for stage, definition in definitions.items():
        sections = [definition.get(section) or () for section in _OUT_SECTIONS]
        paths = [path for items in sections for item in items for path in _paths(item)]
        texts = [definition.get("wdir") or "", *(definition.get("deps") or ()), *paths]
        if not all(isinstance(text, str) for text in texts):
            raise CaptureError(metafile, f"a path of stage {stage!r} is no text")


def _paths(item: Any) -> list[Any]:
    return list(item) if isinstance(item, dict) else [item]


def _outs(
    definition: Mapping[str, Any], metafile: str, stage: str
) -> Iterable[tuple[str, Mapping[str, Any]]]:
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
                        metafile, f"DVC refuses how stage {stage!r} defines {path!r}"
                    )
                merged[path] = {**merged.get(path, _NOTHING), **flags}
        found += merged.items()
    return found
