"""A project's stages, from all its metafiles."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from mlflow_dvc_plugin.capture import dvcfile, files, pipeline, templates
from mlflow_dvc_plugin.capture.config import Config
from mlflow_dvc_plugin.capture.document import DocumentError
from mlflow_dvc_plugin.capture.dvcignore import DvcIgnore, refused_by
from mlflow_dvc_plugin.capture.schema import SchemaError
from mlflow_dvc_plugin.capture.stages import Locator, Stage
from mlflow_dvc_plugin.capture.walk import walk
from mlflow_dvc_plugin.errors import CaptureError

_T = TypeVar("_T")

_ATTEMPTS = 4


class Contents(NamedTuple):
    """What a project's metafiles say.

    Attributes:
        stages: of all ``dvc.yaml`` and ``.dvc`` files.
        metafiles: bytes by path relative to the project.
    """

    stages: list[Stage]
    metafiles: dict[str, bytes]


def read_project(project: str, git: tuple[str, str] | None, config: Config) -> Contents:
    """Read all metafiles of a project that DVC would read.

    DVC writes metafiles in place, and half of one may be valid YAML: what was
    read counts only if those just written to are still the same afterwards, and
    so are the lock files, which take DVC the longest.

    Raises:
        CaptureError: one of them cannot be read, or DVC would refuse it.
    """
    for _ in range(_ATTEMPTS):
        signatures: dict[str, files.Signature | None] = {}
        contents = _read(project, git, config, signatures)
        if any(map(files.is_fresh, signatures.values())):
            files.pause()
        if all(files.signature(path) == before for path, before in signatures.items()):
            return contents
    changed = [path for path, before in signatures.items() if files.signature(path) != before]
    name = os.path.relpath(changed[0], project) if changed else "dvc.lock"
    raise CaptureError(name, "it changes while it is read; try again when DVC is done")


def _read(
    project: str,
    git: tuple[str, str] | None,
    config: Config,
    signatures: dict[str, files.Signature | None],
) -> Contents:
    """Read all metafiles once; `signatures` gets those, taken before, that must still hold."""
    locator = Locator(project, config)
    stages: list[Stage] = []
    metafiles: dict[str, bytes] = {}
    outs: set[str] = set()
    dvcignores: dict[str, DvcIgnore] = {}

    def parsed(name: str, parse: Callable[[bytes], _T]) -> _T:
        path = os.path.join(project, name)
        before = files.signature(path)
        if name.endswith(".lock") or files.is_fresh(before):
            signatures[path] = before
        metafiles[name] = files.read(path, name)
        try:
            return parse(metafiles[name])
        except (DocumentError, SchemaError):
            # DVC writes in place: what makes no sense may be half of it.
            metafiles[name] = files.reread(path, name)
        try:
            return parse(metafiles[name])
        except (DocumentError, SchemaError) as err:
            raise CaptureError(name, str(err)) from err

    for folder in walk(project, git, outs, dvcignores):
        base = f"{folder.path}/" if folder.path else ""
        for name in folder.metafiles:
            metafile = base + name
            if name == "dvc.yaml":
                content = parsed(metafile, pipeline.parse)
                lock: dict[str, Any] = {}
                if folder.lock:
                    lock = parsed(f"{base}dvc.lock", pipeline.parse_records)
                definitions = templates.resolve(content, metafiles[metafile], project, metafile)
                if definitions is not content.get("stages"):
                    pipeline.check(definitions, metafile)
                read = pipeline.stages(definitions, lock, metafile, locator)
            else:
                read = dvcfile.stages(parsed(metafile, dvcfile.parse), metafile, locator)
            stages += read
            outs.update(out.path for stage in read for out in stage.outs)
        if folder.lock and f"{base}dvc.lock" not in metafiles:
            # DVC reads a lock file only by way of its dvc.yaml, but it is the
            # project's, and belongs to what was recorded.
            name = f"{base}dvc.lock"
            metafiles[name] = files.read(os.path.join(project, name), name)
    _refuse_ignored(stages, dvcignores)
    return Contents(stages, metafiles)


def _refuse_ignored(stages: list[Stage], dvcignores: dict[str, DvcIgnore]) -> None:
    for stage in stages:
        for out in stage.outs:
            if out.local and refused_by(dvcignores, out.entry.path, out.path):
                raise CaptureError(
                    stage.metafile,
                    f"DVC refuses its out {out.entry.path!r}, which .dvcignore names",
                )
