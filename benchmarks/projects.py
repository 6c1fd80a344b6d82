"""Projects to capture: real files in real Git repositories, made anew for each run."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

_IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")


def stages(root: Path, count: int, with_data: bool = False) -> Path:
    """A pipeline as people write it: comments, lists in brackets, folded commands."""

    def defined(number: int, deps: list[str], out: str) -> str:
        comment = "  # Trains on one part of the data.\n" if number % 10 == 0 else ""
        return (
            f"{comment}  train_{number:05d}:\n"
            f"    cmd: >-\n      python src/train.py\n      --part {number} --out {out}\n"
            f"    deps: [{', '.join(deps)}]\n    params: [train.lr]\n    outs: [{out}]\n"
        )

    return _pipeline(root, "\n".join, defined, count, with_data)


def block_stages(root: Path, count: int) -> Path:
    """A pipeline in the block style in which DVC itself writes ``dvc.yaml``."""

    def defined(number: int, deps: list[str], out: str) -> str:
        listed = "".join(f"    - {dep}\n" for dep in deps)
        return (
            f"  train_{number:05d}:\n    cmd: python src/train.py --part {number} --out {out}\n"
            f"    deps:\n{listed}    params:\n    - train.lr\n    outs:\n    - {out}\n"
        )

    return _pipeline(root, "".join, defined, count)


def _pipeline(
    root: Path,
    join: Callable[[list[str]], str],
    define: Callable[[int, list[str], str], str],
    count: int,
    with_data: bool = False,
) -> Path:
    """`count` stages, each with two deps, a param and an out, which is there or absent."""
    made = _project(root)
    choose = random.Random(1)
    defined, locked = [], []
    for number in range(count):
        out = f"models/model_{number:05d}.pkl"
        deps = [f"data/prepared/part_{number:05d}.csv", "src/train.py"]
        defined.append(define(number, deps, out))
        data = made if with_data else None
        locked.append(_locked(f"train_{number:05d}", deps, out, choose, data))
    (made / "dvc.yaml").write_text("stages:\n" + join(defined))
    (made / ".gitignore").write_text("/models\n")
    return _with_lock(made, locked)


def templates(root: Path, count: int) -> Path:
    """`count` stages from one ``foreach`` and one ``matrix``, with ``vars`` and params."""
    made = _project(root)
    choose = random.Random(4)
    half = max(count // 2, 1)
    seeds = range(4)
    models = [f"model_{number:04d}" for number in range((count - half + 3) // 4)]
    regions = "".join(f"      - region_{number:05d}\n" for number in range(half))
    (made / "dvc.yaml").write_text(
        "vars:\n  - folder: data/prepared\n  - config.yaml:paths\n\n"
        "stages:\n  # One file for each region.\n  prepare:\n    foreach:\n"
        f"{regions}    do:\n"
        "      cmd: python src/train.py --region ${item} --lr ${train.lr}\n"
        "      deps: [src/train.py, 'raw/${item}.csv']\n      params: [train.lr]\n"
        "      outs:\n      - ${folder}/${item}.csv\n"
        f"  train:\n    matrix:\n      model: [{', '.join(models)}]\n      seed: {list(seeds)}\n"
        "    cmd: >-\n      python src/train.py --model ${item.model}\n      --seed ${item.seed}\n"
        "    deps: [src/train.py]\n    params: [train.lr]\n"
        "    outs: ['${paths.models}/${item.model}-${item.seed}.pkl']\n"
    )
    (made / "config.yaml").write_text("paths:\n  models: models\n")
    locked = []
    for number in range(half):
        region = f"region_{number:05d}"
        deps = ["src/train.py", f"raw/{region}.csv"]
        locked.append(_locked(f"prepare@{region}", deps, f"data/prepared/{region}.csv", choose))
    for model in models:
        for seed in seeds:
            name, out = f"train@{model}-{seed}", f"models/{model}-{seed}.pkl"
            locked.append(_locked(name, ["src/train.py"], out, choose))
    return _with_lock(made, locked)


def _locked(
    name: str, deps: Sequence[str], out: str, choose: random.Random, data: Path | None = None
) -> str:
    """The entry of a stage in ``dvc.lock``; its out is written below `data`."""

    def record(path: str, content: bytes) -> str:
        return (
            f"    - path: {path}\n      hash: md5\n"
            f"      md5: {hashlib.md5(content).hexdigest()}\n      size: {len(content)}\n"
        )

    records = "".join([record(path, choose.randbytes(200)) for path in deps])
    content = choose.randbytes(200)
    if data:
        (data / out).parent.mkdir(exist_ok=True)
        (data / out).write_bytes(content)
    params = "    params:\n      params.yaml:\n        train.lr: 0.01\n"
    return (
        f"  {name}:\n    cmd: python src/train.py\n    deps:\n{records}{params}"
        f"    outs:\n{record(out, content)}"
    )


def _with_lock(made: Path, locked: list[str]) -> Path:
    (made / "dvc.lock").write_text("schema: '2.0'\nstages:\n" + "".join(locked))
    (made / "params.yaml").write_text("train:\n  lr: 0.01\n")
    for folder in ("src", "data", "models", "notebooks"):
        (made / folder).mkdir(exist_ok=True)
        (made / folder / "README").write_text(folder)
    return _committed(made)


def dvc_files(root: Path, count: int) -> Path:
    """`count` files of data in fifty folders, each with its ``.dvc`` file beside it."""
    made = _project(root)
    choose = random.Random(2)
    for number in range(count):
        folder = made / "data" / f"{number % 50:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.csv.dvc").write_text(
            f"outs:\n- md5: {_md5(choose)}\n  size: 3\n  hash: md5\n  path: {number}.csv\n"
        )
    return _committed(made)


def tracked_folder(root: Path, count: int) -> Path:
    """One tracked folder of `count` files."""
    made = _project(root)
    for start in range(0, count, 1000):
        folder = made / "images" / f"{start // 1000:04d}"
        folder.mkdir(parents=True)
        for number in range(start, min(start + 1000, count)):
            with open(folder / f"{number}.jpg", "wb"):
                pass
    (made / "images.dvc").write_text(
        f"outs:\n- md5: {_md5(random.Random(3))}.dir\n  size: 0\n  nfiles: {count}\n"
        "  hash: md5\n  path: images\n"
    )
    (made / ".gitignore").write_text("/images\n")
    return _committed(made)


def deep(root: Path, files: int) -> Path:
    """A few outs among ignored folders that hold `files` files: environments and modules."""
    made = stages(root, 10)
    (made / ".gitignore").write_text(".venv/\nnode_modules/\n")
    for top in (".venv/lib", "web/node_modules"):
        for package in range(max(1, files // 200)):
            folder = made / top / f"package_{package}" / "deep" / "er"
            folder.mkdir(parents=True)
            for number in range(100):
                (folder / f"{number}.py").write_bytes(b"")
    for number in range(200):
        folder = made / "src" / f"part_{number // 20}" / f"module_{number}"
        folder.mkdir(parents=True)
        (folder / "code.py").write_bytes(b"")
    return _committed(made)


def real(root: Path, archive: Path) -> Path:
    """The metafiles of a real project, from an archive ``NAME.tar.gz`` beside ``NAME.json``."""
    name = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(root, filter="data")
    about = json.loads(archive.with_name(f"{name}.json").read_text())
    subprocess.run(["git", "init", "-q", "-b", "main", str(root / name)], check=True)
    _committed(root / name)
    return root / name / str(about["root"])


def _project(root: Path) -> Path:
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    # As `dvc init` writes it.
    (root / ".dvcignore").write_text(
        "# Add patterns of files dvc should ignore, which could improve\n"
        "# the performance. Learn more at\n"
        "# https://dvc.org/doc/user-guide/dvcignore\n"
    )
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    return root


def _committed(root: Path) -> Path:
    subprocess.run(["git", "add", "-Af", "."], cwd=root, check=True)
    subprocess.run(["git", *_IDENTITY, "commit", "-q", "-m", "all"], cwd=root, check=True)
    return root


def _md5(choose: random.Random) -> str:
    return f"{choose.getrandbits(128):032x}"
