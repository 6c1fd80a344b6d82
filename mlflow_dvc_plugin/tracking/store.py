"""An MLflow store: asking it, and what it says when it fails."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow_dvc_plugin.errors import TrackingError

PAGE = 2000  # runs
EXPERIMENTS_AT_ONCE = 100
_NEXT = "check --tracking-uri or MLFLOW_TRACKING_URI"


def client_of(tracking_uri: str | None) -> Any:
    """An ``MlflowClient``.

    Args:
        tracking_uri: the MLflow store; None for MLflow's own choice.

    Raises:
        TrackingError: there is no such store, or it cannot be had.
    """
    # By default MLflow asks a dead server for minutes; a person waits here.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow.tracking import MlflowClient, get_tracking_uri

    try:
        # MLflow would make an empty store, in whatever folder this is, and find nothing in it.
        path = _local_path(tracking_uri or get_tracking_uri())
        if path and not os.path.exists(path):
            raise TrackingError(f"There is no MLflow store at {os.path.abspath(path)}: {_NEXT}.")
        return MlflowClient(tracking_uri=tracking_uri)
    except TrackingError:
        raise
    except Exception as err:
        raise tracking_error(err) from err


def close() -> None:
    """Close the databases that MLflow opened in this process, as Python does when it ends.

    SQLite then moves what it has in a ``-wal`` file into the database.

    Raises:
        AttributeError: this version of MLflow keeps them elsewhere.
    """
    for part in ("tracking", "model_registry"):
        module: Any = sys.modules.get(f"mlflow.store.{part}.sqlalchemy_store")
        if module is not None:
            for engine in module.SqlAlchemyStore._engine_map.values():
                engine.dispose()


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """What is on all pages; the next is asked for while one is read.

    Args:
        ask: brings the page of a token; None for the first one.

    Raises:
        TrackingError: the store did not answer.
    """
    bring: Callable[[], Any] = partial(ask, None)
    while True:
        try:
            page = bring()
        except Exception as err:
            raise tracking_error(err) from err
        if not page.token:
            yield from page
            return
        bring = _begun(partial(ask, page.token))
        yield from page


def _begun(ask: Callable[[], Any]) -> Callable[[], Any]:
    """The same, begun in a thread that does not keep a person who interrupts."""
    answer: Future[Any] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except Exception as err:  # noqa: BLE001 - whoever waits for it gets it
            answer.set_exception(err)

    threading.Thread(target=work, daemon=True).start()
    return answer.result


def tracking_error(err: Exception) -> TrackingError:
    """What to raise for an error of MLflow's."""
    lines = str(err).strip().splitlines()
    what = lines[0].rstrip(".") if lines else type(err).__name__
    return TrackingError(
        f"The MLflow store did not answer: {what}. If it is the wrong one, {_NEXT}."
    )


def _local_path(uri: str) -> str:
    """Where a store on this machine is; empty for any other, and for one in memory."""
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///").partition("?")[0]
        return "" if path == ":memory:" else path
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme in ("", "file") else ""
