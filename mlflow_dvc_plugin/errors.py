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
