"""The MLflow store: how to open it, read its pages and write tags, and its errors as ours."""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from mlflow_dvc_plugin.errors import MlflowDvcError, RunNotFoundError, TrackingError
from mlflow_dvc_plugin.tracking.background import start
from mlflow_dvc_plugin.tracking.database import check_release

PAGE = 2000  # runs
EXPERIMENTS_AT_ONCE = 100
_TAGS_AT_ONCE = 100  # the most that MLflow takes
_HINT = "Check --tracking-uri or MLFLOW_TRACKING_URI"
_NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def open_client(tracking_uri: str | None) -> Any:
    """An ``MlflowClient`` of a store; None for MLflow's own choice."""
    from mlflow.tracking import MlflowClient, get_tracking_uri

    with translate_errors():
        # MLflow would create an empty store there, and every search would find nothing.
        uri = tracking_uri or get_tracking_uri()
        path = find_local_path(uri)
        if path and not os.path.exists(path):
            raise TrackingError(f"There is no MLflow store at {os.path.abspath(path)}. {_HINT}.")
        check_release(uri)
        return MlflowClient(tracking_uri=tracking_uri)


def close_databases() -> None:
    """Close the databases that MLflow opened in this process, as Python does when it ends.

    SQLite then moves what it has in a ``-wal`` file into the database. It is an
    AttributeError if this version of MLflow keeps them elsewhere.
    """
    for part in ("tracking", "model_registry"):
        module: Any = sys.modules.get(f"mlflow.store.{part}.sqlalchemy_store")
        if module is not None:
            for engine in module.SqlAlchemyStore._engine_map.values():
                engine.dispose()


def read_pages(fetch: Callable[[str | None], Any]) -> Iterator[Any]:
    """The items of all pages; the next page is fetched while the caller reads one."""
    result: Callable[[], Any] = partial(fetch, None)
    while True:
        with translate_errors():
            page = result()
        if not page.token:
            yield from page
            return
        result = start(partial(fetch, page.token)).result
        yield from page


def write_tags(
    run_id: str,
    tags: Mapping[str, str],
    remove: Iterable[str] = (),
    tracking_uri: str | None = None,
) -> None:
    """Set tags of a run, and delete others."""
    from mlflow.entities import RunTag

    client = open_client(tracking_uri)
    items = [RunTag(key, value) for key, value in tags.items()]
    with translate_errors():
        for start in range(0, len(items), _TAGS_AT_ONCE):
            client.log_batch(run_id, tags=items[start : start + _TAGS_AT_ONCE])
        for key in remove:
            client.delete_tag(run_id, key)


@contextmanager
def translate_errors(not_found: str = "") -> Iterator[None]:
    """Raise MLflow's errors as ours; `not_found` is the message if the store lacks an item."""
    try:
        yield
    except MlflowDvcError:
        raise
    except Exception as err:
        if not_found and getattr(err, "error_code", "") in _NOT_FOUND:
            raise RunNotFoundError(not_found) from err
        raise to_tracking_error(err) from err


def to_tracking_error(err: BaseException) -> TrackingError:
    """What to raise for an error of MLflow's."""
    causes = list(_walk_causes(err))
    url = next((url for each in causes if (url := _find_server(each))), "")
    reason = next((text for each in reversed(causes) if (text := _explain_network_error(each))), "")
    if url and reason:
        return TrackingError(
            f"MLflow at {url} does not answer ({reason}). Start the server, or check "
            "--tracking-uri or MLFLOW_TRACKING_URI."
        )
    lines = str(err).strip().splitlines()
    what = lines[0].rstrip(".") if lines else type(err).__name__
    return TrackingError(f"MLflow reports an error: {what}. {_HINT} if this is the wrong store.")


def _walk_causes(err: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from, the innermost last."""
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__


def _find_server(err: BaseException) -> str:
    """The address of the server that a request went to, without a user's password."""
    parts = urlsplit(getattr(getattr(err, "request", None), "url", None) or "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def _explain_network_error(err: BaseException) -> str:
    """Why there is no connection; empty if this error does not say it."""
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not valid: {err.verify_message}"
    if isinstance(err, ssl.SSLError):
        return f"TLS failed: {err.reason or err}"
    if isinstance(err, socket.gaierror):
        return "unknown host"
    if isinstance(err, TimeoutError):
        return "timed out"
    if isinstance(err, OSError) and err.errno and err.strerror:
        return err.strerror[:1].lower() + err.strerror[1:]
    return ""


def to_absolute_uri(uri: str) -> str:
    """The address of a store for a process that runs in another folder."""
    path = find_local_path(uri)
    if os.path.isabs(path) or not os.path.exists(path):  # "databricks" looks like a path
        return uri
    if not uri.startswith("sqlite:///"):
        return os.path.abspath(path)
    options = "".join(uri.partition("?")[1:])
    return f"sqlite:///{os.path.abspath(path)}{options}"


def find_local_path(uri: str) -> str:
    """Where a store on this machine is; empty for any other, and for one in memory."""
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///").partition("?")[0]
        return "" if path == ":memory:" else path
    from urllib.request import url2pathname

    parts = urlsplit(uri)
    return url2pathname(parts.path) if parts.scheme in ("", "file") else ""
