"""The README says what the code does, and CI runs what the README says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mlflow_dvc_plugin.cli import COMMANDS
from mlflow_dvc_plugin.settings import Settings

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

# The modules of the package state that name tags.
NAMES = ("tags.py", "model_tags.py", "data_state.py", "forgotten_tag.py")
# The tags that only versions of registered models have.
OF_MODELS = {"dvc.run_id", "dvc.model.<path>", "dvc.model_manifest"}


def table(heading: str) -> list[str]:
    """The names in backticks in the first column of the first table below a heading."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def written_tags() -> set[str]:
    """The tag names and prefixes that the package state has as string constants."""
    state = REPOSITORY / "mlflow_dvc_plugin/state"
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in map(state.joinpath, NAMES)]
    texts = (
        node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)
    )
    names = {text for text in texts if isinstance(text, str) and re.match(r"dvc\.\w+\.?$", text)}
    return {f"{name}<path>" if name.endswith(".") else name for name in names}


def commands() -> list[str]:
    return re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)


def test_the_tag_table_lists_exactly_the_tags_that_are_written() -> None:
    listed = table("What a run records")
    assert len(listed) == len(set(listed))
    assert set(listed) == written_tags() - OF_MODELS
    models = (REPOSITORY / "docs/models.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in models for name in OF_MODELS)


def test_it_has_one_command_for_the_demo_and_one_for_the_tests() -> None:
    demo, tests = commands()
    assert demo.endswith("mlflow-dvc demo")
    assert " -m pytest" in tests
    for command in (demo, tests):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_ci_runs_the_readmes_test_command() -> None:
    script = (REPOSITORY / ".ci/run").read_text(encoding="utf-8")
    extract = re.search(r"readme_tests=\$\(grep -E '(.+)' README.md\)", script)
    assert extract
    found = [line for line in README.splitlines() if re.search(extract[1], line)]
    assert found == [commands()[1]]
    assert 'bash -euo pipefail -c "$readme_tests"' in script


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_local_links_lead_somewhere(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (REPOSITORY / target).exists(), target


def test_each_command_that_is_shown_exists() -> None:
    shown = set(re.findall(r"mlflow-dvc ([a-z]+)", README))
    assert shown
    assert shown <= set(COMMANDS)


def test_the_settings_table_lists_settings_with_their_defaults() -> None:
    names = table("Settings")
    defaults = Settings()
    for name in names:
        assert hasattr(defaults, name.removeprefix("MLFLOW_DVC_").lower()), name
    for key in ("max_path_tags", "status_budget_ms"):
        assert f"| `MLFLOW_DVC_{key.upper()}` | `{getattr(defaults, key)}` |" in README
