"""``dvc.yaml`` with its ``dvc.lock``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow_dvc_plugin.capture import plain
from mlflow_dvc_plugin.capture.stages import Locator, Stage, recorded_out
from mlflow_dvc_plugin.errors import CaptureError

# Stage name -> its definition, without any template left in it.
Definitions = Mapping[str, Mapping[str, Any]]

_OUT_SECTIONS = ("outs", "metrics", "plots")
_NOTHING: Mapping[str, Any] = {}


def parse(data: bytes) -> dict[str, Any]:
    """The content of a ``dvc.yaml``.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    found = plain.pipeline(data)
    if found is not None:
        return found
    from mlflow_dvc_plugin.capture import schema
    from mlflow_dvc_plugin.capture.document import load

    content = load(data) or {}
    schema.pipeline(content, "")
    return dict(content)


def parse_records(data: bytes) -> dict[str, Any]:
    """The stages of a ``dvc.lock``, each with its outs, and more only by chance.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    found = plain.locked(data)
    return parse_lock(data) if found is None else found


def parse_lock(data: bytes) -> dict[str, Any]:
    """The stages of a ``dvc.lock``.

    Raises:
        DocumentError: it is no YAML document.
        SchemaError: DVC refuses it.
    """
    from mlflow_dvc_plugin.capture import schema
    from mlflow_dvc_plugin.capture.document import load

    content = load(data) or {}
    schema.lockfile(content, "")
    return dict(content.get("stages", {}))


def has_templates(content: Mapping[str, Any], data: bytes) -> bool:
    """Is there anything in a ``dvc.yaml`` that stands for something else?"""
    if b"${" in data:
        return True
    return any(is_group(d) or "@" in name for name, d in content.get("stages", {}).items())


def is_group(definition: Mapping[str, Any]) -> bool:
    """Does a definition stand for several stages?"""
    return "foreach" in definition or "matrix" in definition


def stages(
    definitions: Definitions, lock: Mapping[str, Any], metafile: str, locator: Locator
) -> list[Stage]:
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
        chosen = definition.get("wdir")
        wdir = locator.folder(metafile, chosen) if chosen else home
        locked = lock.get(name)
        records = {out["path"]: out for out in locked.get("outs", ())} if locked else {}
        outs = []
        for path, flags in _outs(definition, metafile, name):
            place = locator.place(metafile, wdir, path)
            record = records.get(place.key, _NOTHING)
            outs.append(
                recorded_out(
                    place,
                    record,
                    # A stage that never ran has DVC 3's hash to come.
                    hash_name="md5" if locked is None else record.get("hash"),
                    metafile=lockfile,
                    stage=address,
                    cached=flags.get("cache", True),
                    remote=flags.get("remote"),
                    push=flags.get("push", True),
                )
            )
        deps = [
            locator.path(metafile, wdir, dep)
            for dep in definition.get("deps") or ()
            if not dep.startswith("ds://")
        ]
        found.append(Stage(address, name, metafile, wdir, tuple(deps), tuple(outs)))
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
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for section in _OUT_SECTIONS:
        merged: dict[str, Mapping[str, Any]] = {}
        for item in definition.get(section) or ():
            if isinstance(item, str):
                merged.setdefault(item, _NOTHING)
                continue
            for path, flags in item.items():
                if not isinstance(flags, dict):
                    raise CaptureError(
                        metafile, f"DVC refuses how stage {stage!r} defines {path!r}"
                    )
                merged[path] = {**merged.get(path, _NOTHING), **flags}
        yield from merged.items()
