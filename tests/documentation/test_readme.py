"""The README and the reference say what the code does, and CI runs what the README says."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from mlflow_dvc_plugin.cli import COMMANDS
from mlflow_dvc_plugin.settings import Settings, load_settings
from tests.documentation.blocks import (
    REPOSITORY,
    find_block,
    list_pages,
    read_page,
)

README = read_page("README.md")
# The modules of the package state that name tags.
NAMES = ("tags.py", "model_tags.py", "data_state.py", "forgotten_tag.py")
# The tags that only versions of registered models have.
OF_MODELS = {"dvc.run_id", "dvc.model.<path>", "dvc.model_manifest"}


def list_names(text: str) -> list[str]:
    """The names in backticks in the first column of tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
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


def test_the_tag_table_lists_exactly_the_tags_that_are_written() -> None:
    listed = list_names(README.split("\n## What a run records\n")[1].split("\n## ")[0])
    assert len(listed) == len(set(listed))
    assert set(listed) == written_tags() - OF_MODELS
    models = read_page("docs/models.md")
    assert all(f"`{name}`" in models for name in OF_MODELS)


def test_the_settings_page_lists_all_settings_with_their_defaults() -> None:
    page = read_page("docs/reference/settings.md")
    names = list_names(page)
    assert sorted(names) == sorted(f"MLFLOW_DVC_{name.upper()}" for name in Settings._fields)
    for key in ("max_path_tags", "status_budget_ms"):
        default = getattr(Settings(), key)
        assert f"| `MLFLOW_DVC_{key.upper()}` | `{default}` |" in page


def test_the_example_of_the_settings_page_is_accepted(tmp_path: Path) -> None:
    block = find_block("docs/reference/settings.md", "[tool.mlflow-dvc]")
    (tmp_path / "pyproject.toml").write_text(block.code)
    assert load_settings(str(tmp_path)).exclude == ("data/scratch/**",)


def test_the_page_of_the_commands_is_what_their_help_says() -> None:
    script = runpy.run_path(str(REPOSITORY / "docs/scripts/commands.py"))
    current = script["render_commands"]()
    hint = "run: python docs/scripts/commands.py"
    assert read_page("docs/reference/commands.md") == current, hint


def test_it_has_one_command_for_the_demo_and_one_for_the_tests() -> None:
    demo, tests = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert demo.endswith("mlflow-dvc demo")
    assert " -m pytest" in tests
    for command in (demo, tests):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_ci_runs_the_readmes_test_command() -> None:
    script = (REPOSITORY / ".ci/run").read_text(encoding="utf-8")
    extract = re.search(r"readme_tests=\$\(grep -E '(.+)' README.md\)", script)
    assert extract
    found = [line for line in README.splitlines() if re.search(extract[1], line)]
    assert len(found) == 1
    assert 'bash -euo pipefail -c "$readme_tests"' in script


@pytest.mark.parametrize("page", [*list_pages(), "CONTRIBUTING.md", "CHANGELOG.md"])
def test_local_links_lead_somewhere(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", read_page(page)):
        if "://" in target:
            continue
        path = (REPOSITORY / page).parent / target if target else REPOSITORY / page
        assert path.exists(), target
        assert not anchor or anchor in list_anchors(path), f"{target}#{anchor}"


def list_anchors(path: Path) -> list[str]:
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", list_pages())
def test_each_command_that_is_shown_exists(page: str) -> None:
    shown = set(re.findall(r"mlflow-dvc ([a-z]+)", read_page(page)))
    assert shown <= set(COMMANDS), page


def test_the_site_has_each_page_once() -> None:
    config = (REPOSITORY / ".mkdocs.yml").read_text(encoding="utf-8")
    listed = [f"docs/{name}" for name in re.findall(r": (\S+\.md)$", config, re.MULTILINE)]
    assert sorted(listed) == list_pages()[1:]
