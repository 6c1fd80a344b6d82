"""What looks like a secret, in the arguments of a command and in code."""

from __future__ import annotations

import re

from mlflow_dvc_plugin.state.program import MASK

_SENSITIVE = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|(?:api|access|private|secret|account|sas)[-_.]?"
    r"key|credentials?|auth|bearer|connection[-_.]?string|dsn|signature|sig)"
)
# An option, or the key of a setting, whose value is the next argument: `--db-password`.
_OPTION = re.compile(rf"--?(?:[\w.]*[-_.])*{_SENSITIVE}", re.IGNORECASE)
# A name with its value: `db.password=x`, `"token": "x"`, `?sig=x`.
_PAIR = re.compile(
    rf"((?:\b|[-_.]){_SENSITIVE}[\"']?\s*[=:]\s*[\"']?)([^\s\"'&;,}}]+)", re.IGNORECASE
)
# The same in code: a quoted text, or in YAML something with a digit in it.
_LITERAL = re.compile(
    rf"(?:\b|[-_.]){_SENSITIVE}[\"']?\s*(?:[=:]\s*[\"'][^\"'\n]{{6,}}[\"']|:\s*(?=\S*\d)[^\s\[(]{{8,}})",
    re.IGNORECASE,
)
_USER = re.compile(r"(://)[^/\s@]+@")
# What well-known services give out: AWS, GitHub, GitLab, Hugging Face, OpenAI, Slack, Databricks,
# Google, and JSON web tokens.
_TOKEN = re.compile(
    r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_\w{20,}"
    r"|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|dapi[0-9a-f]{32}|AIza[\w-]{35}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)


def mask_secrets(args: list[str]) -> list[str]:
    """Replace what looks like a secret in the arguments of a command."""
    masked: list[str] = []
    for arg in args:
        before = masked[-1] if masked else ""
        if _OPTION.fullmatch(before) and not arg.startswith("-"):
            masked.append(MASK)
            continue
        text = _USER.sub(rf"\1{MASK}@", arg)
        text = _PAIR.sub(rf"\1{MASK}", text)
        masked.append(_TOKEN.sub(MASK, text))
    return masked


def has_secret(text: str) -> bool:
    """Does code seem to have a secret in it?"""
    return any(pattern.search(text) for pattern in (_USER, _TOKEN, _LITERAL))
