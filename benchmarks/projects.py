"""Projects to capture: real files in real Git repositories, made anew for each run."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

_IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")


def stages(root: Path, count: int) -> Path:
    """A pipeline as DVC writes it: `count` stages, each with two deps, a param and an out."""
    made = _project(root)
    choose = random.Random(1)

    def record(path: str) -> str:
        return (
            f"    - path: {path}\n      hash: md5\n      md5: {_md5(choose)}\n"
            f"      size: {choose.randrange(10**6)}\n"
        )

    defined, locked = ["stages:\n"], ["schema: '2.0'\nstages:\n"]
    for number in range(count):
        name, out = f"train_{number:05d}", f"models/model_{number:05d}.pkl"
        deps = [f"data/prepared/part_{number:05d}.csv", "src/train.py"]
        command = f"python src/train.py --part {number} --out {out}"
        head = f"  {name}:\n    cmd: {command}\n    deps:\n"
        listed = "".join(f"    - {dep}\n" for dep in deps)
        defined.append(f"{head}{listed}    params:\n    - train.lr\n    outs:\n    - {out}\n")
        records = "".join(map(record, deps))
        params = "    params:\n      params.yaml:\n        train.lr: 0.01\n"
        locked.append(f"{head}{records}{params}    outs:\n{record(out)}")
    (made / "dvc.yaml").write_text("".join(defined))
    (made / "dvc.lock").write_text("".join(locked))
    (made / "params.yaml").write_text("train:\n  lr: 0.01\n")
    for folder in ("src", "data", "models", "notebooks"):
        (made / folder).mkdir()
        (made / folder / "README").write_text(folder)
    return _committed(made)


def dvc_files(root: Path, count: int) -> Path:
    """`count` files of data, each with its ``.dvc`` file beside it, a hundred in a folder."""
    made = _project(root)
    choose = random.Random(2)
    for number in range(count):
        folder = made / "data" / f"{number // 100:03d}"
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


def _project(root: Path) -> Path:
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    return root


def _committed(root: Path) -> Path:
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *_IDENTITY, "commit", "-q", "-m", "all"], cwd=root, check=True)
    return root


def _md5(choose: random.Random) -> str:
    return f"{choose.getrandbits(128):032x}"
