"""Mutated metafiles, of forms and of real projects: capture gives what DVC's own index gives."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from mlflow_dvc_plugin.errors import CaptureError
from tests.capturing.oracle import dvc_outs, our_outs
from tests.capturing.test_corpus import CORPUS
from tests.capturing.test_forms import DVC_FILES, PIPELINES
from tests.capturing.test_yaml import SCALARS
from tests.effort import bounded

Files = dict[str, bytes]

_MAX_BYTES = 8_000  # of a metafile; DVC takes seconds for a large one
_METAFILES = (".dvc", "dvc.yaml", "dvc.lock")
WORDS = (
    *("- b", "a:", "cache: false", "- path: b", "wdir: ..", "desc: x", "frozen: true", "outs:"),
    *("${item}", "../b", "b/", "./b", "a" * 32, "0" * 32 + ".dir", "null", "{}", "[]", "-1"),
    *SCALARS,
)


def _read_projects() -> list[Files]:
    """The small folders of real projects: their metafiles, and the files beside these."""
    found: list[Files] = []
    for archive in sorted((CORPUS.parent / "projects").glob("*.tar.gz")):
        if archive.name.startswith("opentimes"):
            continue  # 4,172 outs of one matrix
        folders: dict[str, Files] = {}
        with tarfile.open(archive) as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                folder, _, name = member.name.rpartition("/")
                stream = tar.extractfile(member)
                if stream is not None and member.size < _MAX_BYTES and "/.dvc" not in folder:
                    folders.setdefault(folder, {})[name] = stream.read()
        found += [files for files in folders.values() if "dvc.yaml" in files]
    for path in sorted(CORPUS.rglob("*.dvc")):
        if path.is_file() and path.stat().st_size < _MAX_BYTES:
            found.append({"a.dvc": path.read_bytes()})
    return found


def _read_forms() -> list[Files]:
    found = [{"a.dvc": text.encode()} for text in DVC_FILES.values()]
    return found + [{name: text.encode() for name, text in p.items()} for p in PIPELINES.values()]


def find_margin(line: bytes) -> bytes:
    return line[: len(line) - len(line.lstrip())]


@st.composite
def mutated(draw: Callable[[Any], Any], samples: list[Files]) -> Files:
    files = dict(draw(st.sampled_from(samples)))
    names = sorted(name for name in files if name.endswith(_METAFILES))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        name = draw(st.sampled_from(names))
        lines = files[name].splitlines(keepends=True) or [b""]
        at = draw(st.sampled_from(range(len(lines))))
        line, margin = lines[at], find_margin(lines[at])
        # What fits in another place often has the same margin.
        other = draw(st.sampled_from([each for each in lines if find_margin(each) == margin]))
        word = draw(st.sampled_from(WORDS)).encode()
        key, mark, value = line.partition(b": ")
        lines[at : at + 1] = draw(
            st.sampled_from(
                [
                    *[[key + mark + other.partition(b": ")[2] + b"\n"]] * 3,
                    *[[key + b": " + word + b"\n"]] * 3,
                    *[[margin + b"- " + word + b"\n"]] * 2,
                    [other],
                    [line, other],
                    [line, line],
                    [line, margin + word + b"\n"],
                    [margin + word + b"\n"],
                    [key + mark + value.rstrip() + b" " + word + b"\n"],
                    [b" " + line],
                    [line.removeprefix(b" ")],
                    [],
                ]
            )
        )
        files[name] = b"".join(lines)
    return files


def compare(root: Path) -> str:
    """What both make of a project: the same, an error, or one an error."""
    try:
        expected = dvc_outs(root)
    except Exception:  # noqa: BLE001 - whatever it trips over, DVC refuses the project
        expected = None
    try:
        found = our_outs(root)
    except CaptureError:
        found = None
    if expected is None or found is None:
        return "both refuse" if expected == found else "DVC refuses" if found else "we refuse"
    assert found == list(map(_lower, expected))
    return "same"


def _lower(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row with its hash in lower case, as DVC's schema means it, though its index keeps it."""
    path, name, value, *rest = row
    return path, name, value if value is None or name == "etag" else str(value).lower(), *rest


PATIENCE = settings(
    max_examples=bounded(25, 2000),
    deadline=60_000,
    suppress_health_check=list(HealthCheck),
)


def check(files: Files, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.rmtree(root, ignore_errors=True)
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    event(compare(root))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes no sense is read again after a pause: not hundreds of times here."""
    monkeypatch.setattr("mlflow_dvc_plugin.capturing.files._PAUSE_SECONDS", 0)


@pytest.mark.slow
@PATIENCE
@given(files=mutated(_read_forms()))
def test_mutated_forms(files: Files, tmp_path: Path) -> None:
    check(files, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.exists(), reason="no corpus here")
@PATIENCE
@given(files=mutated(_read_projects() or [{}]))
def test_mutated_metafiles_of_real_projects(files: Files, tmp_path: Path) -> None:
    check(files, tmp_path)
