"""The plain form of metafiles, as regular expressions.

Each takes a millisecond to compile, and few projects need them all: they are made
when they are first asked for.
"""

from __future__ import annotations

import re
from functools import cache

_WORD = r"(?:[nN]ull|NULL|[tT]rue|TRUE|[fF]alse|FALSE)"
# A text without quotes that is neither such a word, a number nor a date (no number has
# any of the letters that end the second form's beginning), and has nothing in it that
# means something to YAML.
_TEXT = (
    rf"(?:(?!{_WORD}[:\n])[A-Za-z_]|[0-9][0-9A-Fa-fOoXx_.=@+, -]*[G-NP-WYZg-np-wyz/]"
    r"|(?:\.[A-Za-z0-9_.=@+, -]*)?/)[A-Za-z0-9_./=@+, -]*(?<! )"
)
# 32 digits with one `e` among them, or none, would be a number.
_MD5 = r"(?=[0-9e]*[abcdf])[0-9a-f]{32}(?:\.dir)?"
_COUNT = r"[0-9]{1,18}"
# YAML's keys are shorter than 1024 characters.
LONGEST_KEY = 1000
_REST = rf"{{0,{LONGEST_KEY - 1}}}"
# One line that is surely a text, or any, or several of a folded text: what is in
# those is looked at afterwards.
_COMMAND = (
    rf'(?:(?!{_WORD}\n)([A-Za-z_/][ -"$-9;-~]*)'
    r"|([A-Za-z_./][^\n]*(?:\n {6,}[^ \n][^\n]*)*))\n"
)
_FLAG = r"(?:cache|persist|push): (?:true|false)\n"


def _maybe(pattern: str) -> str:
    return f"(?:{pattern}|)"  # twice as fast as a question mark


def _uncaptured(pattern: str) -> str:
    return re.sub(r"\((?!\?)", "(?:", pattern)


_OUT = (
    rf"    - path: ({_TEXT})\n"
    + _maybe(r"      hash: (md5)\n")
    + rf"      md5: ({_MD5})\n"
    + _maybe(rf"      size: ({_COUNT})\n")
    + _maybe(rf"      nfiles: ({_COUNT})\n")
    + _maybe(r"      isexec: (true)\n")
)
_PARAM_KEY = rf"[A-Za-z_][A-Za-z0-9_./-]{_REST}"


@cache
def out() -> re.Pattern[str]:
    """One out of a stage in a ``dvc.lock``."""
    return re.compile(_OUT, re.ASCII)


@cache
def param_key() -> re.Pattern[str]:
    """The name of a param, or of its file, in a ``dvc.lock``."""
    return re.compile(rf"^ +({_PARAM_KEY}):", re.ASCII | re.MULTILINE)


@cache
def locked() -> re.Pattern[str]:
    """A stage in a ``dvc.lock``; of its outs, it tells the first and the text of the others."""
    value = r"(?:[A-Za-z][A-Za-z0-9_./-]*|-?\d{1,15}(?:\.\d{1,15})?(?:e-?\d{1,3})?)"
    params = (
        rf"(?:      {_PARAM_KEY}:\n"
        rf"(?:        {_PARAM_KEY}:(?: {value}\n|\n(?:        - {value}\n)+))+)+"
    )
    record = _uncaptured(_OUT)
    return re.compile(
        rf"  ([A-Za-z_][A-Za-z0-9_.@-]{_REST}):\n    cmd: {_COMMAND}"
        + _maybe(rf"    deps:\n(?:{record})+")
        + _maybe(rf"    params:\n({params})")
        + _maybe(rf"    outs:\n{_OUT}((?:{record})*)")
        + r"(?=  \S|\Z)",
        re.ASCII,
    )


@cache
def defined() -> re.Pattern[str]:
    """A stage in a ``dvc.yaml``."""

    def section(name: str, end: str = r"\n") -> str:
        return _maybe(rf"    {name}:\n((?: {{4,6}}- {_TEXT}{end})+)")

    flagged = rf"(?:\n|:\n(?: {{8,10}}{_FLAG})+)"
    return re.compile(
        rf"  ([A-Za-z_][A-Za-z0-9_.-]{_REST}):\n    cmd: {_COMMAND}"
        + _maybe(rf"    wdir: ({_TEXT})\n")
        + section("deps")
        + section("params")
        + section("outs", flagged)
        + section("metrics", flagged)
        + section("plots", flagged)
        + r"\n*(?=  \S|\Z)",
        re.ASCII,
    )


@cache
def item() -> re.Pattern[str]:
    """An item of a stage's list in a ``dvc.yaml``, with its flags."""
    return re.compile(rf"( +)- ({_TEXT})(:?)\n((?: +{_FLAG})*)", re.ASCII)


@cache
def dvcfile() -> re.Pattern[str]:
    """A whole ``.dvc`` file."""
    field = (
        rf"(?:md5: {_MD5}|size: {_COUNT}|nfiles: {_COUNT}|hash: md5|path: {_TEXT}"
        r"|(?:isexec|cache|push|persist): (?:true|false))\n"
    )
    return re.compile(
        rf"(?:md5: {_MD5}\n)?(?:wdir: ({_TEXT})\n)?"
        rf"outs:\n- ({field}(?:  {field})*)(?:md5: {_MD5}\n)?",
        re.ASCII,
    )
