"""The code blocks of README.md and of the pages in docs/, and which of them are executed where."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
SHELL = {"", "sh", "bash", "shell", "console"}
PYTHON = {"python", "py"}
_FENCE = re.compile(
    r"(?:^<!-- not executed: (?P<reason>.+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A code block.

    Attributes:
        page: its file, relative to the repository.
        line: the number of its first line of code.
        reason: why it is not executed; empty if it is.
    """

    page: str
    line: int
    language: str
    code: str
    reason: str

    @property
    def is_code(self) -> bool:
        """It is for a shell or for Python."""
        return self.language in SHELL | PYTHON


def list_pages() -> list[str]:
    """README.md and all pages of docs/."""
    pages = (REPOSITORY / "docs").rglob("*.md")
    return ["README.md", *sorted(str(path.relative_to(REPOSITORY)) for path in pages)]


def read_page(page: str) -> str:
    """The text of a page."""
    return (REPOSITORY / page).read_text(encoding="utf-8")


@cache
def read_blocks(page: str) -> tuple[Block, ...]:
    """All blocks of a page, in order."""
    text = read_page(page)
    return tuple(
        Block(
            page,
            text.count("\n", 0, match.start("code")) + 1,
            match["language"].strip(),
            re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
            match["reason"] or "",
        )
        for match in _FENCE.finditer(text)
    )


def find_block(page: str, word: str) -> Block:
    """The one block of a page that has a word in it, for a test that executes it.

    Both arguments have to be literals: :func:`list_claimed` reads them.
    """
    (found,) = (block for block in read_blocks(page) if word in block.code)
    return found


@cache
def list_claimed() -> frozenset[Block]:
    """The blocks that a test executes which asks :func:`find_block` for them."""
    found = set()
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "find_block(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "find_block":
                found.add(find_block(*map(ast.literal_eval, node.args)))
    return frozenset(found)


def list_executed(page: str) -> list[Block]:
    """The blocks of a page that :mod:`tests.documentation.test_pages` executes."""
    return [
        block
        for block in read_blocks(page)
        if block.is_code and not block.reason and block not in list_claimed()
    ]
