"""All metafiles of a project, and the stages in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mlflow_dvc_plugin.capturing import files
from mlflow_dvc_plugin.capturing.dvc_config import Config
from mlflow_dvc_plugin.capturing.dvc_writer import DvcWriter
from mlflow_dvc_plugin.capturing.formats import dvcfile, pipeline
from mlflow_dvc_plugin.capturing.formats.outs import KnownStages, ProjectMetafiles, Stage
from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore, OutIgnore
from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.capturing.walk import walk_project
from mlflow_dvc_plugin.errors import CaptureError, FormatError

_ATTEMPTS = 4

_Parse = Callable[[bytes], Any]


def read_metafiles(
    project: str,
    git: tuple[str, str] | None,
    config: Config,
    watch: Watch,
    known: KnownStages | None = None,
) -> ProjectMetafiles:
    """Read all metafiles of a project that DVC would read.

    DVC writes metafiles in place, and half of one can be valid YAML. So a reading
    counts only if the lock files, which DVC writes for the longest time, and all
    metafiles that were written just before are still the same afterwards.
    `git` is None if DVC does not use Git; `known` comes from an earlier reading with
    the same configuration.
    """
    writer = DvcWriter(project)
    attempts = 0
    while attempts < _ATTEMPTS or writer.has_time_left():
        reader = _Reader(project, config, writer, watch, known or {})
        metafiles = reader.read(git)
        writer.wait(reader.signatures)
        changed = [path for path, s in reader.signatures.items() if files.find_signature(path) != s]
        if not changed:
            return metafiles
        attempts += 1
    name = os.path.relpath(changed[0], project)
    raise CaptureError(name, "the file changes while it is read; try again when DVC has finished")


class _Reader:
    """One reading of a project's metafiles."""

    def __init__(
        self, project: str, config: Config, writer: DvcWriter, watch: Watch, known: KnownStages
    ) -> None:
        self._project = project
        self._config = config
        self._writer = writer
        self._watch = watch
        self._known_before = known
        self._known: KnownStages = {}
        self._contents: dict[str, bytes] = {}
        # Of the files that must be the same after the reading, taken before it.
        self.signatures: dict[str, files.Signature | None] = {}

    def read(self, git: tuple[str, str] | None) -> ProjectMetafiles:
        stages: list[Stage] = []
        outs: set[str] = set()
        dvcignores: dict[str, DvcIgnore] = {}
        for path, names, has_lock in walk_project(
            self._project, git, outs, dvcignores, self._watch
        ):
            base = f"{path}/" if path else ""
            for name in names:
                new = self._read_stages(base, name, has_lock)
                stages += new
                outs.update([out.path for stage in new for out in stage.outs])
            if has_lock and f"{base}dvc.lock" not in self._contents:
                # DVC reads a lock file only for a dvc.yaml, but this one, too, belongs
                # to what a run records.
                self._read_bytes(f"{base}dvc.lock")
        self._check_ignored(stages, dvcignores)
        hashes = {path: files.hash_bytes(data) for path, data in self._contents.items()}
        return ProjectMetafiles(stages, self._contents, hashes, self._known)

    def _read_stages(self, base: str, name: str, has_lock: bool) -> list[Stage]:
        metafile = base + name
        lock = f"{base}dvc.lock" if name == "dvc.yaml" and has_lock else None
        names = [metafile, lock] if lock else [metafile]
        data = [self._read_bytes(each) for each in names]
        before = self._known_before.get(metafile)
        if before is not None and before[0] == data:
            self._known[metafile] = before
            return before[1]
        if name == "dvc.yaml":
            stages, is_independent = self._parse_pipeline(metafile, lock)
        else:
            content = self._parse(metafile, dvcfile.parse_dvcfile)
            stages = [dvcfile.build_stage(content, metafile, self._project, self._config)]
            is_independent = True
        if is_independent:
            self._known[metafile] = [self._contents[each] for each in names], stages
        return stages

    def _parse_pipeline(self, metafile: str, lock: str | None) -> tuple[list[Stage], bool]:
        """The stages of a ``dvc.yaml``, and whether they depend on no other file."""
        content = self._parse(metafile, pipeline.parse_pipeline)
        lock_outs = self._parse(lock, pipeline.parse_lock_outs) if lock else {}
        data = self._contents[metafile]
        definitions = content.get("stages", {})
        has_templates = pipeline.has_templates(content, data)
        if has_templates:
            from mlflow_dvc_plugin.capturing.formats.templates import resolve_templates

            definitions = resolve_templates(
                content, data, self._project, metafile, self._watch.add_file
            )
            pipeline.check_paths(definitions, metafile)
        stages = pipeline.build_stages(
            definitions, lock_outs, metafile, self._project, self._config
        )
        return stages, not has_templates

    def _read_bytes(self, name: str) -> bytes:
        path = os.path.join(self._project, name)
        self._watch.add_file(path)
        before = files.find_signature(path)
        if name.endswith(".lock") or files.is_fresh(before):
            self.signatures[path] = before
        self._contents[name] = files.read_file(path, name)
        return self._contents[name]

    def _parse(self, name: str, parse: _Parse) -> Any:
        is_writing: bool | None = None
        while True:
            try:
                return parse(self._contents[name])
            except FormatError as err:
                # DVC writes in place: what cannot be parsed may be incomplete.
                can_wait = is_writing and self._writer.has_time_left()
                if is_writing is not None and not can_wait:
                    raise CaptureError(name, str(err)) from err
            is_writing = self._writer.is_seen()
            files.pause()
            self._contents[name] = files.read_file(os.path.join(self._project, name), name)

    def _check_ignored(self, stages: list[Stage], dvcignores: dict[str, DvcIgnore]) -> None:
        rules = OutIgnore(dvcignores, self._watch.add_file)
        for stage in stages:
            for out in stage.outs:
                if out.local and rules.ignores(out.entry.path, out.path):
                    raise CaptureError(
                        stage.metafile,
                        f"DVC refuses the out {out.entry.path!r}, because .dvcignore hides it",
                    )
