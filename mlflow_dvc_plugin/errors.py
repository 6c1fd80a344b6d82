"""Every error that this package raises on purpose.

Each is one sentence that says what is wrong, where, and what to do next, so
that the command line can print it as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence


def join_some(items: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first items, and how many more there are: ``a, b and 3 more``."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return separator.join(items[:most]) + more


class MlflowDvcError(Exception):
    """Base of all errors of this package."""

    def __str__(self) -> str:
        """One printable line, although it can quote what others wrote, such as a tag."""
        text = super().__str__()
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


class CaptureError(MlflowDvcError):
    """The data state of a project cannot be read truthfully, because of `where`."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where


class FormatError(MlflowDvcError):
    """A file is not YAML that DVC reads, or DVC refuses the value at `where`."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(what)
        self.where = where


class SettingsError(MlflowDvcError):
    """A setting has a value that cannot be used."""

    def __init__(self, name: str, value: object, wanted: str) -> None:
        super().__init__(f"{name} is {value!r}, but it takes {wanted}.")


class ManifestError(MlflowDvcError):
    """The state recorded in a run's ``dvc.manifest`` tags cannot be used."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The run's dvc.manifest cannot be used: {what}.")


class StateFileError(MlflowDvcError):
    """A file that ``mlflow-dvc export`` should have written cannot be used."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"{where} cannot be used: {what}. Write it anew with `mlflow-dvc export --output FILE`."
        )


class GitError(MlflowDvcError):
    """Git does not have, or cannot give, what is needed."""


class NoGitError(GitError):
    """There is no Git repository where one is needed."""


class DatasetError(MlflowDvcError):
    """Data is not what DVC recorded, not tracked, or not to be had."""


class RunNotFoundError(MlflowDvcError):
    """No run is meant by what the user wrote."""


class TrackingError(MlflowDvcError):
    """The MLflow store did not answer as it should."""


class NoRecordedStateError(MlflowDvcError):
    """The run's tags do not say what its data was."""


class DvcError(MlflowDvcError):
    """DVC, or a remote, reported an error."""


class NoObjectError(DvcError, FileNotFoundError):
    """Neither the cache nor the remote has an object with the right bytes."""


class EmptyRemoteError(DvcError):
    """The folder of a local remote does not exist, so the remote holds nothing."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"nothing was pushed to the remote yet: its folder {folder} does not exist, or is not "
            "mounted"
        )
        self.folder = folder


class ProjectBusyError(MlflowDvcError):
    """Another DVC command is running in the project."""


class NoProjectError(MlflowDvcError):
    """There is no DVC project where one is needed."""


class NoFileError(MlflowDvcError, FileNotFoundError):
    """A run has no data at a path."""


class FolderError(MlflowDvcError, IsADirectoryError):
    """A folder was named where a file is needed."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path or 'The project'} is a folder. Name a file in it.")


class ReadOnlyError(MlflowDvcError, PermissionError):
    """Someone tried to change the data of a run."""

    def __init__(self, *_: object) -> None:
        super().__init__("The data of a run cannot be changed: it can only be read.")


class LineageError(MlflowDvcError):
    """A run's data cannot be kept, sent, or told from other data."""


class InvalidHashError(LineageError):
    """A text is not a hash, nor the first digits of one."""

    def __init__(self, text: str, least: int) -> None:
        super().__init__(
            f"{text[:80]!r} is not a hash. Give all of its digits, from 0 to f, or at least the "
            f"first {least}."
        )


class ReportError(MlflowDvcError):
    """A graph or a report cannot be made, or not be written."""


class NoOriginError(MlflowDvcError):
    """There is neither a project nor a remote to get data from."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} is not in a DVC project, so it is not known where the data is. Give the "
            "address of a DVC remote with --url URL or in MLFLOW_DVC_URL, or a DVC configuration "
            "file with --config FILE."
        )


class RerunError(MlflowDvcError):
    """A run cannot be repeated, or its repetition cannot be compared with it."""


class RestoreError(MlflowDvcError):
    """A restore, or an undo, cannot be done."""


class OptionsError(RestoreError):
    """Options exclude or need each other."""


class UnsafePathError(RestoreError):
    """A recorded path leads where a restore never writes."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"The recorded path {path[:200]!a} is refused: {reason}.")


class MissingObjectsError(RestoreError):
    """Data of the run is neither in the cache nor in the remote; reasons by path.

    `forgotten` says that some of it was deleted on purpose; empty if that is not so.
    """

    def __init__(self, reasons: dict[str, str], forgotten: str = "") -> None:
        shown = join_some([f"{path} ({reason})" for path, reason in reasons.items()], 20, "; ")
        super().__init__(
            f"The DVC cache lacks {shown}. {forgotten}Nothing was changed. Run `dvc push` on a "
            "machine that has the data, or name another remote with --remote or --url."
        )
        self.reasons = reasons


class ForgottenObjectsError(RestoreError):
    """Data of the run was deleted on purpose; `when` says on which date."""

    def __init__(self, paths: list[str], when: str) -> None:
        verb = "was" if len(paths) == 1 else "were"
        super().__init__(
            f"{join_some(paths, 20)} {verb} {when}: deleted on purpose, from everywhere. Nothing "
            "was changed. Use --skip-forgotten to restore the rest."
        )
        self.paths = paths


class UnsavedContentError(RestoreError):
    """A restore would replace content that is saved nowhere else."""

    def __init__(self, paths: list[str]) -> None:
        have = "has" if len(paths) == 1 else "have"
        super().__init__(
            f"{join_some(paths, 20)} {have} content that is in neither the DVC cache nor Git. "
            "Nothing was changed. Save it with `dvc add`, `dvc commit` or `git commit`, or use "
            "--force to save it first, so that `mlflow-dvc undo` can bring it back."
        )
        self.paths = paths
