"""Shells complete mlflow-dvc: with the script that `mlflow-dvc completion SHELL` prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_dvc_plugin.cli import COMMANDS

# Each prints what it would offer after the words.
_SCRIPTS = {
    "bash": """
eval "$(mlflow-dvc completion bash)"
complete -p mlflow-dvc >/dev/null || exit 3
compopt() { echo "files: $2"; }  # outside a real completion, bash refuses it
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_mlflow_dvc_completion mlflow-dvc
printf '%s\n' "${COMPREPLY[@]}"
""",
    "zsh": """
autoload -U compinit && compinit -u -D
eval "$(mlflow-dvc completion zsh)"
[[ $_comps[mlflow-dvc] == _mlflow_dvc_completion ]] || exit 3
_describe() { print -rl -- ${completions_with_descriptions%%:*}; }
compadd() { print -rl -- $completions; }
_path_files() { print "files: ${1/-f/default}"; }
words=("$@")
CURRENT=$#
_mlflow_dvc_completion
""",
    "fish": """
mlflow-dvc completion fish | source
complete --do-complete="$argv"
""",
}


# In CI, the others are installed while the quick tests run.
_SHELLS = ["bash", *(pytest.param(name, marks=pytest.mark.slow) for name in ("fish", "zsh"))]


@pytest.fixture(params=_SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shell that is installed; its HOME is empty, and mlflow-dvc is on its PATH."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    home, commands = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    commands.mkdir()
    command = commands / "mlflow-dvc"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlflow_dvc_plugin.cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return str(request.param)


def complete(shell: str, *words: str) -> list[str]:
    """What a shell offers for the last of the words after `mlflow-dvc`."""
    options = ["--norc"] if shell == "bash" else ["-f"] if shell == "zsh" else ["--no-config"]
    end = [] if shell == "fish" else [shell]
    done = subprocess.run(
        [shell, *options, "-c", _SCRIPTS[shell], *end, "mlflow-dvc", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done
    return [line.split("\t")[0] for line in done.stdout.splitlines() if line]


def test_a_shell_offers_all_commands(shell: str) -> None:
    assert sorted(complete(shell, "")) == sorted(COMMANDS)


def test_a_shell_offers_the_commands_that_begin_so(shell: str) -> None:
    assert sorted(complete(shell, "re")) == ["report", "rerun", "restore"]


def test_a_shell_offers_the_options_of_a_command(shell: str) -> None:
    assert complete(shell, "restore", "--wo") == ["--worktree"]


def test_a_shell_offers_files_where_a_command_wants_one(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "customers.csv").touch()
    monkeypatch.chdir(tmp_path / "here")
    offered = complete(shell, "find", "cus")
    assert offered == (["customers.csv"] if shell == "fish" else ["files: default"])


def test_another_shell_is_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_dvc_plugin.cli", "completion", "ksh"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
