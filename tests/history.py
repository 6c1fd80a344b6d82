"""An MLflow history for tests: real runs in a real store, and the command line in process."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.cli import main
from tests.record import record

# What `find` says where it finds nothing.
IN_A_STAGE = (
    "Runs in a DVC stage are found by the inputs of their stage, and after `mlflow-dvc link` by "
    "what they made."
)


@dataclass
class History:
    """Runs of a project, each a second after the one before.

    Attributes:
        uri: the store.
        project: the project that the runs are of.
    """

    uri: str
    project: Path
    _seconds: itertools.count[int] = field(default_factory=lambda: itertools.count(1_700_000_000))

    def __post_init__(self) -> None:
        self.client = MlflowClient(self.uri)

    def run(
        self,
        experiment: str = "0",
        tags: dict[str, str] | None = None,
        status: str | None = "FINISHED",
        start: int | None = None,
        **metrics: float,
    ) -> str:
        """A run started in the project as it is now; its id."""
        recorded = dict(record(self.project).tags) if tags is None else tags
        when = next(self._seconds) * 1000 if start is None else start
        made = self.client.create_run(experiment, start_time=when, tags=recorded)
        run_id = str(made.info.run_id)
        for name, value in metrics.items():
            self.client.log_metric(run_id, name, value)
        if status:
            self.client.set_terminated(run_id, status, end_time=when + 500)
        return run_id

    def tags(self, run_id: str) -> dict[str, str]:
        return dict(self.client.get_run(run_id).data.tags)


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        assert self.code in (0, 1), self.stderr
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """The one line that a command says when it fails as expected."""
        assert (self.code, self.stdout) == (1, ""), self
        (line,) = self.stderr.splitlines()
        assert line.startswith("Error: ")
        return line


def mlflow_dvc(*args: str) -> Done:
    """Run a command in this process: no second is lost on imports."""
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with streams[0], streams[1], pytest.raises(SystemExit) as done:
        main(args)
    return Done(int(done.value.code or 0), out.getvalue(), err.getvalue())
