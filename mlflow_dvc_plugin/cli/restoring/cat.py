"""``mlflow-dvc cat RUN PATH``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

import click

from mlflow_dvc_plugin.cli.output import origin_options, tracking_uri_option
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.restoring.restore import to_run_paths
from mlflow_dvc_plugin.errors import FolderError


@click.command("cat")
@click.argument("run")
@click.argument("path")
@origin_options
@tracking_uri_option
def command(
    run: str, path: str, *, url: str | None, config: str | None, tracking_uri: str | None
) -> None:
    """Print one file of the data of RUN without restoring it.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. Nothing is printed
    before the whole file was verified by its hash.
    """
    from mlflow_dvc_plugin.run_files import filesystem

    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        fetched = os.path.join(folder, "file")
        with ProgressBar() as progress:
            (inside,) = to_run_paths((path,), elsewhere=bool(url or config))
            files = filesystem(run, url, config=config, tracking_uri=tracking_uri)
            if files.isdir(inside):
                raise FolderError(inside)
            progress.begin("Fetching", 0)
            files.get_file(inside, fetched)
        with open(fetched, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
