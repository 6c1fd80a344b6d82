"""Regular expressions for the form in which DVC writes metafiles.

Each takes a millisecond to compile, and few projects need them all, so each is
compiled when it is first used.
"""

from __future__ import annotations

import re
from functools import cache

_WORD = r"(?:[nN]ull|NULL|[tT]rue|TRUE|[fF]alse|FALSE)"
# A string without quotes: it is no such word, no number and no date (no number contains
# one of the letters that the second form requires), and has no character with a
# meaning in YAML.
_TEXT = (
    rf"(?:(?!{_WORD}[:\n])[A-Za-z_]|[0-9][0-9A-Fa-fOoXx_.=@+, -]*[G-NP-WYZg-np-wyz/]"
    r"|(?:\.[A-Za-z0-9_.=@+, -]*)?/)[A-Za-z0-9_./=@+, -]*(?<! )"
)
# 32 digits, or 31 with one `e`, would be a number.
_MD5 = r"(?=[0-9e]*[abcdf])[0-9a-f]{32}(?:\.dir)?"
_COUNT = r"[0-9]{1,18}"
# YAML limits a key to 1024 characters.
MAX_KEY = 1000
_REST = rf"{{0,{MAX_KEY - 1}}}"
# One line that is certainly a string; or a string in quotes, or one or more lines of any
# text, which the parser then checks.
_COMMAND = (
    rf'(?:(?!{_WORD}\n)([A-Za-z_/][ -"$-9;-~]*)'
    r"|('[ -&(-~]*(?:\n {6}[!-&(-~][ -&(-~]*)*'"
    r"|[A-Za-z_./][^\n]*(?:\n {6,}[^ \n][^\n]*)*))\n"
)
_FLAG = r"(?:cache|persist|push): (?:true|false)\n"


def _optional(pattern: str) -> str:
    return f"(?:{pattern}|)"  # twice as fast as a question mark


def _record(indent: str) -> str:
    """What a ``dvc.lock`` records of a dep or out, in DVC's order or sorted by key."""
    # A path that makes the line too long follows on the next one.
    path = rf"path:(?: | ?\n  {indent}){_TEXT}\n"
    md5, size, nfiles = rf"md5: {_MD5}\n", rf"size: {_COUNT}\n", rf"nfiles: {_COUNT}\n"
    in_order = (
        path
        + _optional(rf"{indent}hash: md5\n")
        + rf"{indent}{md5}"
        + _optional(rf"{indent}{size}")
        + _optional(rf"{indent}{nfiles}")
        + _optional(rf"{indent}isexec: true\n")
    )
    by_key = (
        "hash: md5\n"
        + _optional(rf"{indent}isexec: true\n")
        + rf"{indent}{md5}"
        + _optional(rf"{indent}{nfiles}")
        + rf"{indent}{path}"
        + _optional(rf"{indent}{size}")
    )
    return rf"{indent[:-2]}- (?:{in_order}|{by_key})"


@cache
def compile_param_line() -> re.Pattern[str]:
    """A line of the params in a ``dvc.lock``: indent, dash of a list's item, key, and value."""
    word = r"[A-Za-z][A-Za-z0-9_./-]*"
    number = r"-?\d{1,15}(?:\.\d{1,15})?(?:e-?\d{1,3})?"
    value = rf"(?:{word}|{number}|'[ -&(-~]*'|\[\]|{{}})"
    key = rf"[A-Za-z_][A-Za-z0-9_./*@+-]{_REST}|0|-?[1-9]\d{{0,9}}"
    return re.compile(
        rf"^( +)(- )?(?:({key}):(?: (?={value}\n)|(?=\n)))?({value}|(?<=:))\n",
        re.ASCII | re.MULTILINE,
    )


@cache
def compile_lock_stage() -> re.Pattern[str]:
    """A stage in a ``dvc.lock``, whose params are not checked."""
    record = _record("      ")
    return re.compile(
        rf"  ([A-Za-z_][A-Za-z0-9_.@-]{_REST}):\n    cmd: {_COMMAND}"
        + _optional(rf"    deps:\n(?:{record})+")
        + _optional(r"    params:\n((?:      [^\n]*\n)+)")
        + _optional(rf"    outs:\n((?:{record})+)")
        + r"(?=  \S|\Z)",
        re.ASCII,
    )


@cache
def compile_stage() -> re.Pattern[str]:
    """A stage in a ``dvc.yaml``."""

    def section(name: str, end: str = r"\n") -> str:
        return _optional(rf"    {name}:\n((?: {{4,6}}- {_TEXT}{end})+)")

    flagged = rf"(?:\n|:\n(?: {{8,10}}{_FLAG})+)"
    return re.compile(
        rf"  ([A-Za-z_][A-Za-z0-9_.-]{_REST}):\n    cmd: {_COMMAND}"
        + _optional(rf"    wdir: ({_TEXT})\n")
        + section("deps")
        + section("params")
        + section("outs", flagged)
        + section("metrics", flagged)
        + section("plots", flagged)
        + r"\n*(?=  \S|\Z)",
        re.ASCII,
    )


@cache
def compile_item() -> re.Pattern[str]:
    """An item of a list in a stage of ``dvc.yaml``, with its flags."""
    return re.compile(rf"( +)- ({_TEXT})(:?)\n((?: +{_FLAG})*)", re.ASCII)
