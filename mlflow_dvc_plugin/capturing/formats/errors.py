"""Why DVC would not read a metafile."""

from __future__ import annotations


class DocumentError(Exception):
    """The text is not a YAML document that DVC would read."""


class SchemaError(Exception):
    """A value has a form that DVC refuses.

    Args:
        where: the value's place, as keys and indices.
        what: what is wrong.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where = where
