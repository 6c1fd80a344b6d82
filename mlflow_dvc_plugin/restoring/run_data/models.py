"""The out that a model version is, if DVC has its bytes."""

from __future__ import annotations

from mlflow_dvc_plugin.dvc.yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import DvcError, ManifestError, RestoreError
from mlflow_dvc_plugin.state import DataState, Entry, manifest
from mlflow_dvc_plugin.state.model_tags import MODEL_MANIFEST
from mlflow_dvc_plugin.tracking import Run


def read_model_out(run: Run) -> Entry | None:
    """The out that the model is by which the user named a run; None if it is none.

    Raises:
        ManifestError: the model's tags do not describe one out.
    """
    found = _read_manifest(run)
    return None if found is None else found.entries[0]


def add_model_out(state: DataState, run: Run) -> DataState:
    """The state of a run with the model by which the user named it, among its outs.

    Raises:
        RestoreError: DVC does not have the bytes of the model.
    """
    if run.model is None:
        raise RestoreError("--model needs a model, such as models:/NAME/VERSION, in place of RUN.")
    found = _read_manifest(run)
    if found is None:
        raise RestoreError(
            f"{run.model.uri} does not refer to an output of DVC. MLflow has its bytes: `mlflow "
            f"artifacts download --artifact-uri {run.model.uri}`."
        )
    out = found.entries[0]
    others = (e for e in state.entries if e.path != out.path)
    metafiles = dict(state.metafiles)
    if out.metafile in found.metafiles:
        lock = _merge_locks(metafiles.get(out.metafile), found.metafiles[out.metafile])
        metafiles[out.metafile] = lock
    return state._replace(entries=tuple(sorted([*others, out])), metafiles=metafiles)


def _read_manifest(run: Run) -> manifest.Manifest | None:
    text = run.model.tags.get(MODEL_MANIFEST) if run.model is not None else None
    if text is None:
        return None
    found = manifest.parse([text])
    if len(found.entries) != 1 or not found.entries[0].hash:
        raise ManifestError("it does not describe the bytes of a model")
    return found._replace(entries=(found.entries[0]._replace(cached=True, input=False),))


def _merge_locks(lock: bytes | None, other: bytes) -> bytes:
    """The bytes of a ``dvc.lock`` with the stages of another, which win."""
    if lock is None:
        return other
    try:
        document = load_yaml(lock)
        document["stages"].update(load_yaml(other)["stages"])
    except (DvcError, LookupError, ValueError, TypeError, AttributeError):
        return lock
    return dump_yaml(document)
