"""The files of a run's data, to read where they are stored: in a cache, or in a remote.

No workspace is needed, and nothing is written to it.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from mlflow_dvc_plugin.run_files.file_system import RunFileSystem
    from mlflow_dvc_plugin.tracking import Run

__all__ = ["filesystem", "open"]


def filesystem(
    run: str | Run,
    url: str | None = None,
    project: str | None = None,
    *,
    config: str | None = None,
    tracking_uri: str | None = None,
) -> RunFileSystem:
    """A read-only fsspec file system with the files of a run's data.

    It reads from the project's DVC cache, or else from a DVC remote; never from the
    workspace. What is read as a whole (`cat`, `get`) is verified by its hash; what is read
    in parts (`open`, `cat_file` with a range) is not.

    Args:
        run: the run, or what ``mlflow-dvc restore`` takes for one.
        url: the address of a DVC remote, such as ``s3://bucket/dvc``. None for the
            project or, outside one, for ``MLFLOW_DVC_URL``.
        project: the project's folder; None for the one at the working directory.
        config: a DVC configuration file that names the remote, instead of `url`.
        tracking_uri: the MLflow store; None for MLflow's own choice.

    Raises:
        MlflowDvcError: there is no such run, its data is unknown, or it is not known
            where the data is.
    """
    from mlflow_dvc_plugin.run_files.file_system import RunFileSystem

    return RunFileSystem(run, url, project, config=config, tracking_uri=tracking_uri)


@overload
def open(run: str | Run, path: str, mode: Literal["rb"] = "rb", **options: Any) -> IO[bytes]: ...  # noqa: A001
@overload
def open(run: str | Run, path: str, mode: Literal["r", "rt"], **options: Any) -> IO[str]: ...  # noqa: A001
def open(  # noqa: A001 - it does for a run's data what the builtin does for a folder's
    run: str | Run, path: str, mode: str = "rb", **options: Any
) -> IO[Any]:
    """Open one file of a run's data, to read it; from a remote it is read in blocks.

    Its bytes are not verified: use ``filesystem(run).cat(path)`` for that.

    Args:
        run: the run, or what ``mlflow-dvc restore`` takes for one.
        path: the file, relative to the run's project.
        mode: ``rb``, or ``r`` for text.
        options: those of :func:`filesystem`; others go to fsspec, such as `encoding`,
            `compression` and `block_size`.

    Raises:
        NoFileError: the run has no data at this path.
        NoObjectError: neither the cache nor the remote has the file.
    """
    known = ("url", "project", "config", "tracking_uri")
    where = {name: options.pop(name) for name in known if name in options}
    opened: IO[Any] = filesystem(run, **where).open(path, mode, **options)
    return opened
