"""What is surely absent is told by a listing of its folder, as a stat of each would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.workspace import expected_outs
from mlflow_dvc_plugin.capturing.workspace.expected_outs import ExpectedOuts
from mlflow_dvc_plugin.state import Entry

NAMES = st.sampled_from(["a", "b", "é", "dir/a", "dir/b", "dir/deep/a", "link/a", "gone/a", "a/x"])


def out(root: Path, path: str, made: bool = True, local: bool = True) -> Out:
    full = f"{root}/{path}" if local else f"s3://{path}"
    return Out(Entry(path, "md5", "0" * 32 if made else None), full, local)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    (made / "dir" / "deep").mkdir(parents=True)
    (made / "link").symlink_to("dir")
    return made


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(NAMES, st.booleans(), st.booleans()), max_size=20),
    st.sets(NAMES),
    st.integers(1, 4),
)
def test_only_what_is_not_there_is_absent(
    root: Path, wanted: list[tuple[str, bool, bool]], there: set[str], together: int
) -> None:
    files = [root / path for path in ("a", "b", "é", "dir/a", "dir/b", "dir/deep/a")]
    for path in files:
        path.unlink(missing_ok=True)
        if str(path.relative_to(root)) in there:
            path.write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expected_outs, "_MIN_LISTED", together)
        expected = ExpectedOuts([out(root, *each) for each in wanted])
        assert [o.path for o in expected.outs] == [
            out(root, *each).path for each in wanted if each[1]
        ]
        found = set(expected.find_candidates(lambda: False))
        absent = [o for position, o in enumerate(expected.outs) if position not in found]
        assert all(o.local and not os.path.lexists(o.path) for o in absent)
        assert expected.find_candidates(lambda: True) == list(range(len(expected.outs)))


def test_a_folder_is_listed_once_and_seen_anew_each_time(tmp_path: Path) -> None:
    expected = ExpectedOuts([out(tmp_path, f"d/{number}") for number in range(100)])
    assert expected.find_candidates(lambda: False) == []
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "7").write_text("")
    assert expected.find_candidates(lambda: False) == [7]
    for number in range(500):
        (tmp_path / "d" / f"other{number}").write_text("")
    assert expected.find_candidates(lambda: False) == list(range(100))
