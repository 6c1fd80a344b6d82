"""Hashes that are looked for: whole, or only the first digits of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.errors import InvalidHashError
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX

_MIN_DIGITS = 6
_HASH = re.compile(rf"[0-9a-f]{{{_MIN_DIGITS},}}(-[0-9]+)?(\.dir)?")  # an ETag may have a "-2"
_LISTED = re.compile(rb'"md5":\s*"([0-9a-f]+)"')
_FEW = 8  # hashes; a text is searched for each of them as fast as for all that are in it


def parse_hash(text: str) -> str:
    """The hash that a user means, whole or its first digits, with ``.dir`` or without.

    Raises:
        InvalidHashError: it is not a hash.
    """
    value = text.strip().lower()
    if not _HASH.fullmatch(value):
        raise InvalidHashError(text, _MIN_DIGITS)
    return value


def to_digits(text: str) -> str:
    """The digits of the hash that a user means, as indexes have them: without ``.dir``."""
    return parse_hash(text).removesuffix(DIR_SUFFIX)


class HashPrefixes:
    """The hashes that one search looks for, as :func:`parse_hash` gives them."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values = dict.fromkeys(values)
        self._of_files = [value for value in self.values if not value.endswith(DIR_SUFFIX)]
        self._lengths = sorted({len(value.removesuffix(DIR_SUFFIX)) for value in self.values})

    @property
    def has_files(self) -> bool:
        """Can one of them be the hash of a file?"""
        return bool(self._of_files)

    def match(self, found: str) -> Iterator[str]:
        """Those that a hash in an out or a listing is an instance of."""
        digits = found.removesuffix(DIR_SUFFIX)
        for length in self._lengths:
            if length > len(digits):
                return
            for value in {digits[:length], digits[:length] + found[len(digits) :]}:
                if value in self.values:
                    yield value

    def occur_in(self, listing: bytes) -> bool:
        """Is one of them in the bytes of a listing, which need not be parsed otherwise?"""
        if len(self._of_files) <= _FEW:
            return any(value.encode() in listing for value in self._of_files)
        listed = {value.decode() for value in _LISTED.findall(listing)}
        return any(True for value in listed for _ in self.match(value))
