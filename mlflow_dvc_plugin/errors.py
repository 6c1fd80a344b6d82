"""Every error that this package raises on purpose.

Each is one sentence that says what is wrong, where, and what to do next, so
that the command line can print it as it stands.
"""

from __future__ import annotations


class MlflowDvcError(Exception):
    """Base of all errors of this package."""


class CaptureError(MlflowDvcError):
    """The data state of a project cannot be read truthfully.

    Args:
        where: the metafile or folder at fault, relative to the project.
        what: what is wrong with it.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


class SettingsError(MlflowDvcError):
    """A setting has a value that cannot be used."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        super().__init__(f"{name} is {value!r}, but it takes {wanted}.")
        self.name = name


class ManifestError(MlflowDvcError):
    """The state recorded in a run's ``dvc.manifest`` tags cannot be used."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The run's dvc.manifest cannot be used: {what}.")
        self.what = what


class GitError(MlflowDvcError):
    """Git does not have, or cannot give, what is needed."""


class RunNotFoundError(MlflowDvcError):
    """No run is meant by what the user wrote."""


class TrackingError(MlflowDvcError):
    """The MLflow store did not answer as it should."""


class NoRecordedStateError(MlflowDvcError):
    """The run's tags do not say what its data was."""


class DvcError(MlflowDvcError):
    """DVC refused, or could not do, what was asked of it."""


class ProjectBusyError(MlflowDvcError):
    """Another DVC command is at work in the project."""
