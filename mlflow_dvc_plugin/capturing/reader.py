"""A project's stages, from all its metafiles."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing import files
from mlflow_dvc_plugin.capturing.config import Config
from mlflow_dvc_plugin.capturing.formats import canonical as plain
from mlflow_dvc_plugin.capturing.formats import dvcfile, pipeline
from mlflow_dvc_plugin.capturing.formats.errors import DocumentError, SchemaError
from mlflow_dvc_plugin.capturing.formats.stages import Locator, Stage
from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore, refused_by
from mlflow_dvc_plugin.capturing.memory import disk as kept
from mlflow_dvc_plugin.capturing.memory.dvc_activity import Writer
from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.capturing.walk import walk
from mlflow_dvc_plugin.errors import CaptureError

_ATTEMPTS = 4
# Stages that may take a YAML parser before what is kept of the file is looked for.
_PATIENCE = 50

_Quick = Callable[[bytes, int], dict[str, Any] | None]

# The stages of a metafile, with all the bytes that they were read from.
Known = dict[str, tuple[list[bytes], list[Stage]]]


class Contents(NamedTuple):
    """What a project's metafiles say.

    Attributes:
        stages: of all ``dvc.yaml`` and ``.dvc`` files.
        metafiles: bytes by path relative to the project.
        known: the stages of each metafile that depend on nothing else.
    """

    stages: list[Stage]
    metafiles: dict[str, bytes]
    known: Known


def read_project(
    project: str,
    git: tuple[str, str] | None,
    config: Config,
    watch: Watch | None = None,
    known: Known | None = None,
) -> Contents:
    """Read all metafiles of a project that DVC would read.

    DVC writes metafiles in place, and half of one may be valid YAML: what was
    read counts only if those just written to are still the same afterwards, and
    so are the lock files, which take DVC the longest.

    Args:
        project: absolute path of the project.
        git: its Git work tree and ``.git`` directory; None if DVC uses none.
        config: its DVC configuration.
        watch: gets all that the contents rest on.
        known: what an earlier reading with the same configuration gave.

    Raises:
        CaptureError: one of them cannot be read, or DVC would refuse it.
    """
    writer = Writer(project)
    attempts = 0
    while attempts < _ATTEMPTS or writer.is_waited_for:
        reader = _Reader(project, config, writer, watch or Watch(), known or {})
        contents = reader.read(git)
        signatures = reader.signatures
        writer.wait(signatures)
        if all(files.signature(path) == before for path, before in signatures.items()):
            return contents
        attempts += 1
    changed = [path for path, before in signatures.items() if files.signature(path) != before]
    name = os.path.relpath(changed[0], project) if changed else "dvc.lock"
    raise CaptureError(name, "it changes while it is read; try again when DVC is done")


class _Reader:
    """One reading of a project's metafiles."""

    def __init__(
        self, project: str, config: Config, writer: Writer, watch: Watch, known: Known
    ) -> None:
        self._project = project
        self._writer = writer
        self._locator = Locator(project, config)
        self._watch = watch
        self._before = known
        self._known: Known = {}
        self._metafiles: dict[str, bytes] = {}
        # Those, taken before, that must still hold afterwards.
        self.signatures: dict[str, files.Signature | None] = {}

    def read(self, git: tuple[str, str] | None) -> Contents:
        stages: list[Stage] = []
        outs: set[str] = set()
        dvcignores: dict[str, DvcIgnore] = {}
        for folder in walk(self._project, git, outs, dvcignores, self._watch):
            base = f"{folder.path}/" if folder.path else ""
            for name in folder.metafiles:
                read = self._stages(base, name, folder.lock)
                stages += read
                outs.update([out.path for stage in read for out in stage.outs])
            if folder.lock and f"{base}dvc.lock" not in self._metafiles:
                # DVC reads a lock file only by way of its dvc.yaml, but it is the
                # project's, and belongs to what was recorded.
                self._bytes(f"{base}dvc.lock")
        self._refuse_ignored(stages, dvcignores)
        return Contents(stages, self._metafiles, self._known)

    def _stages(self, base: str, name: str, lock: bool) -> list[Stage]:
        metafile = base + name
        names = [metafile]
        if name == "dvc.yaml" and lock:
            names.append(f"{base}dvc.lock")
        data = [self._bytes(each) for each in names]
        before = self._before.get(metafile)
        if before is not None and before[0] == data:
            self._known[metafile] = before
            return before[1]
        if name == "dvc.yaml":
            content = self._parsed(metafile, plain.pipeline, pipeline.parse)
            locked = {}
            if lock:
                locked = self._parsed(names[1], plain.records, pipeline.parse_records)
            definitions = content.get("stages", {})
            alone = not pipeline.has_templates(content, self._metafiles[metafile])
            if not alone:
                from mlflow_dvc_plugin.capturing.formats.templates import resolve

                definitions = resolve(
                    content, self._metafiles[metafile], self._project, metafile, self._watch.file
                )
                pipeline.check(definitions, metafile)
            stages = pipeline.stages(definitions, locked, metafile, self._locator)
        else:
            alone = True
            content = self._parsed(metafile, None, dvcfile.parse)
            stages = dvcfile.stages(content, metafile, self._locator)
        if alone:
            self._known[metafile] = [self._metafiles[each] for each in names], stages
        return stages

    def _bytes(self, name: str) -> bytes:
        path = os.path.join(self._project, name)
        self._watch.file(path)
        before = files.signature(path)
        if name.endswith(".lock") or files.is_fresh(before):
            self.signatures[path] = before
        self._metafiles[name] = files.read(path, name)
        return self._metafiles[name]

    def _parsed(self, name: str, quick: _Quick | None, parse: kept.Parse) -> dict[str, Any]:
        try:
            # What is read at once is not worth to be kept.
            found = quick(self._metafiles[name], _PATIENCE) if quick else None
            return found or kept.parsed(self._project, parse, self._metafiles[name])
        except (DocumentError, SchemaError):
            # DVC writes in place: what makes no sense may be half of it.
            return self._parsed_later(name, parse)

    def _parsed_later(self, name: str, parse: kept.Parse) -> dict[str, Any]:
        path = os.path.join(self._project, name)
        while True:
            at_work = self._writer.is_at_work()
            self._metafiles[name] = files.reread(path, name)
            try:
                return parse(self._metafiles[name])
            except (DocumentError, SchemaError) as err:
                if not (at_work and self._writer.is_waited_for):
                    raise CaptureError(name, str(err)) from err

    def _refuse_ignored(self, stages: list[Stage], dvcignores: dict[str, DvcIgnore]) -> None:
        look = self._watch.file
        for stage in stages:
            for out in stage.outs:
                path = out.entry.path
                if out.local and refused_by(dvcignores, path, out.path, look):
                    raise CaptureError(
                        stage.metafile, f"DVC refuses its out {path!r}, which .dvcignore names"
                    )
