"""Models whose bytes DVC has: versions of registered models that refer to an out."""

from __future__ import annotations

from urllib.parse import urlencode

from mlflow_dvc_plugin.dvc.yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import LineageError
from mlflow_dvc_plugin.lineage.derivation.link import link
from mlflow_dvc_plugin.lineage.derivation.model_versions import LinkedModel
from mlflow_dvc_plugin.lineage.workspace import explain_path, read_state
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.manifest import Manifest, dump
from mlflow_dvc_plugin.state.model_tags import RUN, build_model_tags, select_model_tags
from mlflow_dvc_plugin.tracking import find_run
from mlflow_dvc_plugin.tracking.models import Model, Registry


def link_model(
    name: str, path: str, *, run: str | None, dry_run: bool, tracking_uri: str | None
) -> LinkedModel:
    """Register the out at a path as a version of a model, without a copy of its bytes.

    The version is tied to the run that made the out: `run`, or else the run of its stage,
    as :func:`link` finds it. A version that refers to the same bytes and run is not
    registered again.

    Raises:
        LineageError: DVC tracks no out there, or it is not certain which run made it.
    """
    root = find_root()
    out, lock = _find_out(root, path)
    found = find_run(run or _find_maker(out, dry_run, tracking_uri), tracking_uri)
    tags = {
        RUN: found.run_id,
        **select_model_tags(found.tags, found.run_id),
        **build_model_tags(out, _build_manifest(out, lock)),
    }
    registry = Registry(tracking_uri)
    for model in registry.list_versions(name):
        if tags.items() <= model.tags.items():
            return LinkedModel(model, tags)
    if dry_run:
        return LinkedModel(Model("", name, "", found.run_id), tags, changed=True)
    source = f"dvc:///out?{urlencode({'path': out.path, out.hash_name: out.hash})}"
    model = registry.register_reference(name, source, found.run_id, found.experiment_id, tags)
    return LinkedModel(model, tags, changed=True)


def _find_out(root: str, path: str) -> tuple[Entry, bytes | None]:
    """The out at a path, and for the out of a stage the bytes of its ``dvc.lock``."""
    state = read_state(root)
    for e in state.entries:
        if e.path == path and e.cached and e.hash:
            return e, state.metafiles.get(e.metafile) if e.stage is not None else None
    raise LineageError(explain_path(root, path) or f"DVC has no hash for {path} yet.")


def _build_manifest(out: Entry, lock: bytes | None) -> str:
    """The manifest of an out, with the record of its stage in ``dvc.lock`` if there is room."""
    metafiles = {}
    if lock is not None:
        stage = str(out.stage).rpartition(":")[2]
        record = {stage: load_yaml(lock)["stages"][stage]}
        metafiles = {out.metafile: dump_yaml({"schema": "2.0", "stages": record})}
    parts = dump(Manifest((out,), metafiles=metafiles))
    return parts[0] if len(parts) == 1 else dump(Manifest((out,)))[0]


def _find_maker(out: Entry, dry_run: bool, tracking_uri: str | None) -> str:
    """The id of the run that made an out."""
    if out.stage is None:
        raise LineageError(
            f"{out.path} is not the output of a stage, so it is not known which run made it. Name "
            "the run with --run RUN."
        )
    linked, unlinked = link(
        experiments=(), dry_run=dry_run, tracking_uri=tracking_uri, path=out.path
    )
    for stage in linked:
        return stage.run_id
    reason = unlinked.get(out.stage, "stage not found")
    raise LineageError(
        f"It is not certain which run made {out.path}: {reason}. Name the run with --run RUN."
    )
