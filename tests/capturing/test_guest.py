"""A guest in a training job: whatever the project holds, capture answers or says why not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zc.lockfile import LockFile

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.dvc_writer import DvcWriter, own_lock
from mlflow_dvc_plugin.errors import CaptureError
from tests.capturing.oracle import UNJUDGED
from tests.capturing.test_corpus import CORPUS
from tests.capturing.test_forms import DVC_FILES, PIPELINES, REFUSED
from tests.effort import bounded
from tests.project import Project

PATIENCE = settings(
    max_examples=bounded(100, 3000),
    deadline=5000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _samples(name: str) -> list[bytes]:
    found = [pipeline[name].encode() for pipeline in PIPELINES.values() if name in pipeline]
    if name == "a.dvc":
        found = [form.encode() for form in DVC_FILES.values()]
        found += [form if isinstance(form, bytes) else form.encode() for form in REFUSED.values()]
        found += [
            path.read_bytes()[:2000]
            for path in sorted(CORPUS.rglob("*.dvc"))[:30]
            if path.is_file()
        ]
    return found


PIECES = [
    b"\n", b" ", b"  ", b"\t", b"- ", b": ", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"<<: *a",
    b"!!",
    b"|\n", b">-\n", b"'", b'"', b"#", b"%", b"---\n", b"\0", b"\xff", b"\r", b"${", b"${a}",
    b"null",
    b"~", b"1e400", b"0x", b"-", b"?", b"path", b"outs", b"foreach", b"matrix", b"md5", b"@",
    b"9" * 5000,
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What makes no sense is read again after a pause: not hundreds of times here."""
    if "mutated" in request.node.name:
        monkeypatch.setattr("mlflow_dvc_plugin.capturing.files._PAUSE_SECONDS", 0)


@st.composite
def mutated(draw: Callable[[Any], Any], name: str) -> bytes:
    data: bytes = draw(st.sampled_from(_samples(name)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 20)))
        data = data[:at] + draw(st.sampled_from([b"", *PIECES])) + data[until:]
    return data


def answers(project: Path) -> None:
    """Capture gives a state, or says in one line why not."""
    sentence = ""
    try:
        capture(project, UNJUDGED)
    except CaptureError as err:
        sentence = str(err)
    assert "\n" not in sentence


@pytest.mark.slow
@PATIENCE
@given(mutated("a.dvc"))
def test_mutated_dvc_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".dvc").mkdir(exist_ok=True)
    (tmp_path / "a.dvc").write_bytes(data)
    answers(tmp_path)


@pytest.mark.slow
@PATIENCE
@given(mutated("dvc.yaml"), mutated("dvc.lock"))
def test_mutated_pipeline(tmp_path: Path, pipeline: bytes, lock: bytes) -> None:
    # DVC is asked elsewhere: here it would take a second for each example.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mlflow_dvc_plugin.capturing.formats.dvc_resolver.resolve_with_dvc", lambda *_: {}
        )
        (tmp_path / ".dvc").mkdir(exist_ok=True)
        (tmp_path / "dvc.yaml").write_bytes(pipeline)
        (tmp_path / "dvc.lock").write_bytes(lock)
        answers(tmp_path)


BOMBS = {
    "deep list": b"a: " + b"[" * 100_000,
    "deep map": b"{a: " * 50_000,
    "deep blocks": b"".join(b" " * i + b"a:\n" for i in range(2000)),
    "aliases": b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n".encode() for i in range(1, 12)),
    "merges": b"a0: &a0 {x: 1}\n"
    + b"".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: *a{i - 1}}}\n".encode()
        for i in range(1, 12)
    ),
    "alias to itself": b"a: &a [*a]\n",
    "huge scalar": b"desc: " + b"x" * 20_000_000,
    "huge number": b"md5: " + b"9" * 1_000_000,
    "dashes": b"- " * 100_000,
    "many keys": b"\n".join(f"k{i}: 1".encode() for i in range(200_000)),
    "many anchors": b"\n".join(f"k{i}: &a{i} 1".encode() for i in range(50_000)),
}


@pytest.mark.parametrize("name", ["a.dvc", "dvc.yaml"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(tmp_path: Path, bomb: str, name: str) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / name).write_bytes(b"meta: {}\n" + BOMBS[bomb] if name == "a.dvc" else BOMBS[bomb])
    started = time.monotonic()
    answers(tmp_path)
    assert time.monotonic() - started < 20


def test_templates_that_multiply(tmp_path: Path) -> None:
    axes = "\n".join(f"      a{i}: [{', '.join(map(str, range(10)))}]" for i in range(9))
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  s:\n    matrix:\n{axes}\n    cmd: x\n")
    started = time.monotonic()
    with pytest.raises(CaptureError, match="200,000 stages"):
        capture(tmp_path, UNJUDGED)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("lock_file", [False, True], ids=["no lock file", "a lock nobody sees"])
def test_lock_that_is_being_rewritten(tmp_path: Path, lock_file: bool) -> None:
    """DVC writes dvc.lock in place: what a capture sees is whole or a sentence, never half."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    if lock_file:  # as with `core.hardlink_lock`, or DVC in another container
        (tmp_path / ".dvc/tmp/lock").touch()
    stages = [f"s{i}" for i in range(300)]
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n" + "".join(f"  {s}: {{cmd: x, outs: [{s}]}}\n" for s in stages)
    )
    md5 = "0123456789abcdef0123456789abcdef"
    lock = "schema: '2.0'\nstages:\n" + "".join(
        f"  {s}:\n    cmd: x\n    outs:\n    - path: {s}\n      hash: md5\n      md5: {md5}\n"
        for s in stages
    )
    path = tmp_path / "dvc.lock"
    path.write_text(lock)
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            with path.open("w") as file:
                for start in range(0, len(lock), 4096):
                    file.write(lock[start : start + 4096])
                    file.flush()
                    time.sleep(0.001)
            time.sleep(0.4)

    writer = threading.Thread(target=rewrite)
    writer.start()
    whole = 0
    try:
        for _ in range(15):
            try:
                state = capture(tmp_path, UNJUDGED)
            except CaptureError:
                continue
            assert state is not None
            assert {entry.hash for entry in state.entries} == {md5}
            whole += 1
    finally:
        done.set()
        writer.join()
    assert whole > 0


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="the system does not tell")
@pytest.mark.parametrize("half", [0, 150])
def test_lock_whose_first_half_stands_still(tmp_path: Path, half: int) -> None:
    """A busy machine lets DVC wait in the middle of writing: half a lock can be a whole one."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n" + "".join(f"  s{i}: {{cmd: x, outs: [o{i}]}}\n" for i in range(300))
    )
    md5 = "0123456789abcdef0123456789abcdef"
    parts = [
        f"  s{i}:\n    cmd: x\n    outs:\n    - path: o{i}\n      hash: md5\n      md5: {md5}\n"
        for i in range(300)
    ]
    head = "schema: '2.0'\nstages:\n"
    (tmp_path / "dvc.lock").write_text(head + "".join(parts).replace("0123", "3210"))
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _SLOW_WRITER,
            head + "".join(parts),
            str(half and len(head) + len("".join(parts[:half]))),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "half\n"
    state = capture(tmp_path, UNJUDGED)
    assert writer.wait() == 0
    writer.stdout.close()
    assert state is not None
    assert [entry.hash for entry in state.entries] == [md5] * 300


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="the system does not tell")
def test_the_lock_of_another_thread_is_seen_and_not_that_of_this_one(tmp_path: Path) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    lock = LockFile(str(tmp_path / ".dvc/tmp/lock"))
    project = str(tmp_path)
    writer = DvcWriter(project)
    with ThreadPoolExecutor() as others:
        assert writer.is_seen()
        with own_lock(project):
            assert not writer.is_seen()
            assert others.submit(DvcWriter(project).is_seen).result()
        assert writer.is_seen()
    lock.close()
    assert not writer.is_seen()


# As DVC writes: under its lock, and in place.
_SLOW_WRITER = """
import sys, time
from zc.lockfile import LockFile
text, half = sys.argv[1], int(sys.argv[2])
lock = LockFile(".dvc/tmp/lock")
with open("dvc.lock", "w") as file:
    file.write(text[:half])
    file.flush()
    print("half", flush=True)
    time.sleep(0.6)
    file.write(text[half:])
lock.close()
"""


def test_dvc_file_that_is_being_rewritten(tmp_path: Path) -> None:
    """Between two moments of its writing it is empty, which alone would mean: no out."""
    (tmp_path / ".dvc").mkdir()
    content = "outs:\n- path: x\n"
    path = tmp_path / "a.dvc"
    path.write_text(content)
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            with path.open("w") as file:
                time.sleep(0.005)
                file.write(content)
            time.sleep(0.3)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(15):
            state = capture(tmp_path, UNJUDGED)
            assert state is not None
            assert [entry.path for entry in state.entries] == ["x"]
    finally:
        done.set()
        writer.join()


def test_files_that_vanish_meanwhile(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for name in ("a.dvc", "b.dvc"):
                (tmp_path / name).write_text("outs:\n- path: x\n")
            for name in ("a.dvc", "b.dvc"):
                (tmp_path / name).unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(50):
            answers(tmp_path)
    finally:
        done.set()
        thread.join()


PROBE = """
import os, sys
before = set(sys.modules)
import mlflow_dvc_plugin.capturing as c
light = {"yaml", "pathspec", "sqlite3", "subprocess", "json", "tomllib"}
print("at import", sorted(light & (set(sys.modules) - before)))
state = c.capture()
heavy = {"dvc", "mlflow", "pandas", "dvc_data", "ruamel"}
print("in use", sorted(heavy & set(sys.modules)), len(state.entries), state.data_hash, state.status)
"""


def probe(cwd: Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROBE],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_imports_and_silence(project: Project) -> None:
    project.write("data/x", "x")
    project.dvc("add", "-q", "data")
    process = probe(project.path, MLFLOW_DVC_STATUS_BUDGET_MS="60000")
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert stderr == ""
    at_import, in_use = stdout.splitlines()
    assert at_import == "at import []"
    assert in_use.startswith("in use [] 1 ")
    assert in_use.endswith("clean")


@pytest.mark.slow
def test_many_processes_at_once(project: Project) -> None:
    project.write("params.py", "A = 'a'\n")
    project.write("dvc.yaml", "vars: [params.py]\nstages:\n  s: {cmd: x, outs: ['${A}']}\n")
    project.add("data/x", "x")
    processes = [probe(project.path) for _ in range(16)]
    outputs = [process.communicate() for process in processes]
    assert {process.returncode for process in processes} == {0}, outputs[0][1]
    assert len({stdout.rpartition(" ")[0] for stdout, _ in outputs}) == 1


def test_nothing_is_written_but_under_tmp(project: Project) -> None:
    project.write("params.py", "A = 'a'\n")
    project.write("dvc.yaml", "vars: [params.py]\nstages:\n  s: {cmd: x, outs: ['${A}']}\n")
    project.add("data/x", "x")

    def content() -> dict[str, tuple[int, int]]:
        ours = project.path / ".dvc" / "tmp"
        homes = [project.path, Path(os.environ["HOME"])]
        files = [p for home in homes for p in home.rglob("*") if ours not in p.parents]
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in files if p != ours}

    before = content()
    assert capture(project.path) is not None
    assert content() == before


def test_project_that_cannot_be_written_to(project: Project) -> None:
    project.write("params.py", "A = 'a'\n")
    project.write("dvc.yaml", "vars: [params.py]\nstages:\n  s: {cmd: x, outs: ['${A}']}\n")
    kept = project.path / ".dvc" / "tmp" / "mlflow-dvc"
    # A file where the folder should be: nothing can be kept, whoever runs this.
    kept.write_text("")
    state = capture(project.path)
    assert state is not None
    assert [entry.path for entry in state.entries] == ["a"]
