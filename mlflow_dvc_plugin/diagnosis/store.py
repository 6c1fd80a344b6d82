"""The MLflow store: which one it is, and whether it answers."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

from mlflow_dvc_plugin.errors import TrackingError
from mlflow_dvc_plugin.tracking import registration
from mlflow_dvc_plugin.tracking.background import start

TIME_LIMIT = 5  # seconds, for everything that is asked over a network


@dataclass(frozen=True)
class Store:
    """An MLflow store.

    Attributes:
        kind: such as ``SQLite database``.
        source: what names it.
        exists: it is not a local one that MLflow has still to create.
        answers: it answered; None if it does not exist yet.
        seconds: how long the answer took.
        problem: why it did not answer, a sentence.
    """

    uri: str
    kind: str
    source: str
    exists: bool
    answers: bool | None = None
    seconds: float | None = None
    problem: str = ""

    def find_problems(self) -> list[str]:
        """What keeps runs from being tagged, a sentence each."""
        return [self.problem] if self.problem else []

    def find_remarks(self) -> list[str]:
        """What is worth knowing, a sentence each."""
        if self.source != registration.DEFAULT:
            return []
        remark = (
            "No MLFLOW_TRACKING_URI is set, so MLflow uses a store in the working directory: what "
            "starts in another folder writes to another store."
        )
        return [remark]


class StoreQuestion:
    """A question to the MLflow store, which is asked in the background."""

    def __init__(self, tracking_uri: str | None) -> None:
        found = registration.find_store(tracking_uri)
        self._store = Store(*found)
        self._answer: Future[float] | None = None
        if found.exists:
            registration.import_store(found.uri)
            self._answer = start(partial(_ask, found.uri))

    def collect(self, deadline: float) -> Store:
        """Wait for the answer until `deadline` of the monotonic clock."""
        if self._answer is None:
            return self._store
        try:
            seconds = self._answer.result(max(0, deadline - monotonic()))
        except FutureTimeoutError:
            problem = (
                f"The MLflow store {self._store.uri} did not answer within {TIME_LIMIT} s. Start "
                "the server, or check the network, --tracking-uri and MLFLOW_TRACKING_URI."
            )
        except TrackingError as err:
            problem = str(err)
        else:
            return replace(self._store, answers=True, seconds=round(seconds, 3))
        return replace(self._store, answers=False, problem=problem)


def _ask(uri: str) -> float:
    before = monotonic()
    registration.ask_store(uri)
    return monotonic() - before
