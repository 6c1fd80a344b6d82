"""The threat model names tests that prove it: all of them exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text()
CLAIMS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_the_page_names_tests() -> None:
    assert len(CLAIMS) > 20
    assert PAGE.count("tests/") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", PAGE))


@pytest.mark.parametrize(("path", "name"), CLAIMS)
def test_what_the_page_claims_is_tested(path: str, name: str) -> None:
    assert f"\ndef {name}(" in (ROOT / path).read_text()


def test_how_to_report_is_said_where_github_looks_for_it() -> None:
    text = (ROOT / ".github/SECURITY.md").read_text()
    assert "Report a\nvulnerability" in text
    assert "(../docs/security.md)" in text
