"""An MLflow store: asking it, and what it says when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from mlflow_dvc_plugin.errors import TrackingError

PAGE = 1000  # runs
EXPERIMENTS_AT_ONCE = 100


def client_of(tracking_uri: str | None) -> Any:
    """An ``MlflowClient``.

    Args:
        tracking_uri: the MLflow store; None for MLflow's own choice.

    Raises:
        TrackingError: the store cannot be had.
    """
    # By default MLflow asks a dead server for minutes; a person waits here.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow.tracking import MlflowClient

    try:
        return MlflowClient(tracking_uri=tracking_uri)
    except Exception as err:
        raise tracking_error(err) from err


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """What is on all pages.

    Args:
        ask: brings the page of a token; None for the first one.

    Raises:
        TrackingError: the store did not answer.
    """
    token: str | None = None
    while True:
        try:
            page = ask(token)
        except Exception as err:
            raise tracking_error(err) from err
        yield from page
        token = page.token
        if not token:
            return


def tracking_error(err: Exception) -> TrackingError:
    """What to raise for an error of MLflow's."""
    lines = str(err).strip().splitlines()
    return TrackingError(
        f"The MLflow store did not answer: {lines[0] if lines else type(err).__name__}"
    )
