"""No block of a page is left unexecuted without a word, and no page says what is not so."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.documentation.blocks import (
    REPOSITORY,
    list_claimed,
    list_executed,
    list_pages,
    read_blocks,
    read_page,
)

PAGES = list_pages()
# Languages of blocks that are no code, and what reads them.
READERS: dict[str, Callable[[str], Any]] = {
    "yaml": yaml.safe_load,
    "json": json.loads,
    "text": str,
    "toml": str,
    "mermaid": str,
}


@pytest.mark.parametrize("page", PAGES)
def test_each_block_is_executed_or_says_why_not(page: str) -> None:
    executed = list_executed(page)
    for block in read_blocks(page):
        ways = [bool(block.reason), block in list_claimed(), block in executed]
        where = f"{page}:{block.line}"
        if block.is_code:
            assert sum(ways) == 1, f"{where} is executed in {sum(ways)} ways"
        else:
            READERS[block.language](block.code)
            assert not block.reason, f"{where} is no code"


@pytest.mark.parametrize("page", PAGES)
def test_each_reason_belongs_to_a_block(page: str) -> None:
    reasons = re.findall(r"^<!-- not executed: (.+?) -->$", read_page(page), re.MULTILINE)
    assert reasons == [block.reason for block in read_blocks(page) if block.reason]


@pytest.mark.parametrize("page", PAGES)
def test_no_fence_is_overlooked(page: str) -> None:
    fences = re.findall(r"^ *```", read_page(page), re.MULTILINE)
    assert len(fences) == 2 * len(read_blocks(page))


def list_messages() -> list[str]:
    """The texts that the package has, with `…` for each value in them."""
    found = []
    for path in (REPOSITORY / "mlflow_dvc_plugin").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                ]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[sd]|\{\w*\}", "…", node.value))
    return found


def test_each_message_that_is_explained_is_in_the_code() -> None:
    quotes = re.findall(r"^> (.+)$", read_page("docs/error-messages.md"), re.MULTILINE)
    messages = list_messages()
    assert len(quotes) == len(set(quotes)) > 40
    assert [quote for quote in quotes if not any(quote in message for message in messages)] == []
