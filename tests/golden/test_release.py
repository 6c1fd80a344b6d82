"""No release can forget to record its golden set."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.version import Version

from mlflow_dvc_plugin.version import __version__
from tests.golden.sets import count_bytes, list_sets

CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")


def find_unrecorded(version: str, changelog: str) -> list[str]:
    """The released versions that have no golden set; a version under development is none."""
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    if not Version(version).is_devrelease:
        released.append(version)
    return sorted({*released} - {*list_sets()})


def test_each_release_has_a_golden_set() -> None:
    unrecorded = find_unrecorded(__version__, CHANGELOG)
    assert not unrecorded, f"Record {unrecorded} with `python -m tests.golden.record`."


def test_a_release_without_a_golden_set_is_noticed() -> None:
    assert find_unrecorded("9.9.9", CHANGELOG) == ["9.9.9"]
    assert find_unrecorded("9.9.9.dev0", CHANGELOG) == []
    assert find_unrecorded("9.9.9.dev0", f"## [9.9.8] - 2030-01-01\n{CHANGELOG}") == ["9.9.8"]


def test_what_is_not_released_yet_is_a_version_under_development() -> None:
    unreleased = CHANGELOG.partition("## [Unreleased]")[2].partition("\n## ")[0]
    assert Version(__version__).is_devrelease or not unreleased.strip()


def test_all_golden_sets_together_are_small() -> None:
    assert count_bytes() < 300_000
