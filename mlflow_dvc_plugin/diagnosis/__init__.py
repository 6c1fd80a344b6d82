"""What works together here, and what is wrong: all that someone who helps has to know.

Each part is examined even if another one is broken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mlflow_dvc_plugin.capturing.run_start import capture_run_start
from mlflow_dvc_plugin.diagnosis.privacy import build_mask
from mlflow_dvc_plugin.diagnosis.project import Project, examine_project
from mlflow_dvc_plugin.diagnosis.registration import Registration, examine_registration
from mlflow_dvc_plugin.diagnosis.software import Software, examine_software
from mlflow_dvc_plugin.diagnosis.store import TIME_LIMIT, Store, StoreQuestion
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.lineage.retention.readiness import find_plugin_problems, find_state_problems
from mlflow_dvc_plugin.settings import Settings

if TYPE_CHECKING:
    from mlflow_dvc_plugin.diagnosis.storage import Cache, Remote


@dataclass(frozen=True)
class Diagnosis:
    """What was found; a part is None if it could not be examined, or is not there.

    Attributes:
        outs: how many outs a run that starts here would record; None outside a project.
        status: the ``dvc.status`` that it would have.
        problems: what keeps runs from being tagged or restored, a sentence each.
        remarks: what else is worth knowing, a sentence each.
    """

    software: Software | None
    registration: Registration | None
    project: Project | None
    outs: int | None
    status: str | None
    store: Store | None
    cache: Cache | None
    remotes: tuple[Remote, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return asdict(self)


def diagnose(tracking_uri: str | None = None) -> Diagnosis:
    """Examine everything that runs need here to be tagged, and later to be restored.

    No secret is in the result, and the home folder is ``~``.
    """
    notes = _Notes()
    software = notes.add(notes.attempt("The software", examine_software))
    project = notes.add(notes.attempt("The project", examine_project))
    root = project.root if project else None
    registration = question = storage = None
    if software and software.mlflow:
        examine = partial(examine_registration, root)
        registration = notes.add(notes.attempt("The plugin", examine))
        question = notes.attempt("The MLflow store", partial(StoreQuestion, tracking_uri))
    found = None
    if project and not project.find_problems():
        found = notes.attempt("The data", partial(capture_run_start, even_disabled=True))
    notes.problems += find_plugin_problems(found.settings if found else Settings(), root)
    if found:
        tags = found.state.to_tags(found.settings.max_path_tags)
        notes.problems += find_state_problems(found, tags)
    if root and software and software.dvc:
        from mlflow_dvc_plugin.diagnosis.storage import StorageQuestion

        entries = found.state.entries if found else ()
        storage = notes.attempt("The DVC project", partial(StorageQuestion, root, entries))
    # All that has to be imported is imported by now.
    deadline = monotonic() + TIME_LIMIT
    cache, remotes, store = None, None, None
    if storage:
        notes.secrets += storage.secrets
        cache = notes.add(notes.attempt("The DVC cache", storage.examine_cache))
        remotes = notes.attempt("The DVC remotes", partial(storage.collect, deadline))
        notes.problems += storage.find_problems()
    if question:
        store = notes.add(notes.attempt("The MLflow store", partial(question.collect, deadline)))
    for remote in remotes or ():
        notes.add(remote)
    found_parts = Diagnosis(
        software=software,
        registration=registration,
        project=project,
        outs=len(found.state.entries) if found else None,
        status=found.state.status if found else None,
        store=store,
        cache=cache,
        remotes=remotes or (),
        problems=tuple(dict.fromkeys(notes.problems)),
        remarks=tuple(notes.remarks),
    )
    masked: Diagnosis = build_mask(notes.secrets)(found_parts)
    return masked


class _Part(Protocol):
    def find_problems(self) -> list[str]: ...
    def find_remarks(self) -> list[str]: ...


_T = TypeVar("_T")
_P = TypeVar("_P", bound=_Part)


class _Notes:
    """What is to be said of the parts, as they are examined."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.remarks: list[str] = []
        self.secrets: list[str] = []

    def add(self, part: _P | None) -> _P | None:
        """Note the problems and the remarks of a part."""
        if part is not None:
            self.problems += part.find_problems()
            self.remarks += part.find_remarks()
        return part

    def attempt(self, what: str, examine: Callable[[], _T]) -> _T | None:
        """Examine a part; note an error instead, so that the other parts are examined, too."""
        try:
            return examine()
        except MlflowDvcError as err:
            self.problems.append(str(err))
        except Exception as err:  # noqa: BLE001 - whoever asks for help needs the other parts
            self.problems.append(
                f"{what} cannot be examined: {type(err).__name__}: {err}. This is a defect of "
                "mlflow-dvc: please report it."
            )
        return None
