"""--help, --version and a shell's completion come at once: they import no more than they show."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from mlflow_dvc_plugin.cli import _GROUPS, COMMANDS, cli

# What takes long to import: other packages, and the work that commands do.
_SLOW = (
    *("dvc", "mlflow", "rich", "yaml", "pathspec", "sqlite3", "ssl"),
    *(
        f"mlflow_dvc_plugin.{room}"
        for room in ("capturing", "datasets", "demo", "dvc", "reporting", "rerunning", "restoring")
    ),
    *("mlflow_dvc_plugin.run_files", "mlflow_dvc_plugin.state", "mlflow_dvc_plugin.tracking"),
)


def _find_slow_imports(code: str) -> str:
    """The slow modules that a fresh interpreter has after some code."""
    script = f"""
import sys
before = set(sys.modules)
{code}
print(*(m for m in {_SLOW} if m in sys.modules and m not in before), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "mlflow-dvc" in done.stdout
    return done.stderr.strip()


@pytest.mark.parametrize("args", [["--version"], ["--help"]])
def test_the_command_alone_imports_nothing_slow(args: list[str]) -> None:
    code = (
        "from mlflow_dvc_plugin.cli import main\n"
        f"try:\n    main({args})\nexcept SystemExit:\n    pass"
    )
    assert _find_slow_imports(code) == ""


def test_the_help_of_a_command_imports_nothing_slow() -> None:
    code = (
        "from mlflow_dvc_plugin.cli import COMMANDS, main\n"
        "for name in COMMANDS:\n"
        "    try:\n        main([name, '--help'])\n    except SystemExit:\n        pass"
    )
    assert _find_slow_imports(code) == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    _, helps = _GROUPS[COMMANDS[name]]
    assert helps[name].rstrip(".") == command.get_short_help_str(100).rstrip(".")
