"""What a run must meet besides that it can be restored: gates for deployments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, get_args

from mlflow_dvc_plugin.errors import NoGitError, join_some
from mlflow_dvc_plugin.lineage.retention.availability import Availability
from mlflow_dvc_plugin.lineage.retention.git_refs import read_refs
from mlflow_dvc_plugin.lineage.retention.pin import PREFIX
from mlflow_dvc_plugin.tracking import Run

Requirement = Literal["clean", "pushed", "pinned"]
REQUIREMENTS: tuple[Requirement, ...] = get_args(Requirement)
_SHOWN = 3


def find_pinned(root: str) -> frozenset[str]:
    """The ids of the runs that are pinned in this Git repository."""
    try:
        return frozenset(ref.removeprefix(PREFIX) for ref in read_refs(root, PREFIX))
    except NoGitError:
        return frozenset()


def find_unmet(
    run: Run,
    outs: Sequence[Availability],
    required: Sequence[Requirement],
    pinned: Collection[str],
) -> dict[str, str]:
    """The requirements that a run does not meet, and why.

    A commit has no status of its own, so it is always clean.
    """
    unmet: dict[str, str] = {}
    status = run.tags.get("dvc.status", "unknown")
    if "clean" in required and run.run_id and status not in ("clean", "saved"):
        unmet["clean"] = f"the status of its data is {status}"
    absent = [out.path for out in outs if not out.remote and not out.source]
    if "pushed" in required and absent:
        unmet["pushed"] = f"the remote does not have all of {join_some(absent, _SHOWN)}"
    if "pinned" in required and run.run_id not in pinned:
        unmet["pinned"] = "it is not pinned in this Git repository"
    return unmet
