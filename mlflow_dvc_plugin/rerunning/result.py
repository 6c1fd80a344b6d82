"""What a rerun found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.rerunning.environment.comparison import PackageDifference
from mlflow_dvc_plugin.rerunning.verdict import Comparison, Verdict


@dataclass(frozen=True)
class Rerun:
    """A run, the run that repeated it, and what both have in common.

    Attributes:
        upstream: the outputs of stages that ran before that of the run.
        packages: those with another version than recorded, and Python itself if that has another
            one; None if they cannot be compared.
        environment: where the versions are recorded; empty if they are not.
        reasons: what may have made the difference.
        folder: the worktree, if it was kept; else empty.
        remarks: what limits the verdict.
    """

    run_id: str
    rerun: str
    verdict: Verdict
    inputs: list[Comparison]
    outputs: list[Comparison]
    metrics: list[Comparison]
    upstream: list[Comparison] = field(default_factory=list)
    packages: list[PackageDifference] | None = None
    environment: str = ""
    reasons: tuple[str, ...] = ()
    folder: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def reproduced(self) -> bool:
        """The same came out, as far as it was compared."""
        return self.verdict != "different"

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        found = {
            "run_id": self.run_id,
            "rerun": self.rerun,
            "inputs": [each.to_dict("path") for each in self.inputs],
            "outputs": [each.to_dict("path") for each in self.outputs],
            "metrics": [each.to_dict("name") for each in self.metrics],
            "packages": None if self.packages is None else [e._asdict() for e in self.packages],
            "environment": self.environment or None,
            "reproduced": self.reproduced,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
        }
        found |= {"upstream": [e.to_dict("path") for e in self.upstream]} if self.upstream else {}
        return found | ({"worktree": self.folder} if self.folder else {})
