"""What environment files record, and what of it differs."""

from __future__ import annotations

import pytest

from mlflow_dvc_plugin.errors import RerunError
from mlflow_dvc_plugin.rerunning.environment.comparison import compare_packages
from mlflow_dvc_plugin.rerunning.environment.installation import plan_installation
from mlflow_dvc_plugin.rerunning.environment.interpreter import Interpreter
from mlflow_dvc_plugin.rerunning.environment.pins import FILES, read_pins
from mlflow_dvc_plugin.rerunning.environment.record import EnvironmentRecord

UV = """\
version = 1
requires-python = ">=3.10"
[[package]]
name = "mine"
version = "0.1.0"
source = { virtual = "." }
[[package]]
name = "NumPy"
version = "1.26.4"
source = { registry = "https://pypi.org/simple" }
wheels = [{ url = "https://files.example.org/numpy.whl", hash = "sha256:0" }]
[[package]]
name = "numpy"
version = "2.1.0"
source = { registry = "https://user:pw@pypi.org/simple" }
"""
POETRY = """\
[[package]]
name = "Scikit_Learn"
version = "1.5.2"
[[package]]
name = "mine"
version = "0.1.0"
[package.source]
type = "directory"
url = "."
"""
PDM = """\
[metadata]
content_hash = "sha256:0"
[[package]]
name = "mine"
version = "0.1.0"
path = "."
[[package]]
name = "scipy"
version = "1.14.1"
"""
PIPFILE = """\
{"_meta": {"requires": {"python_version": "3.11"}},
 "default": {"scipy": {"version": "==1.14.1", "markers": "python_version >= '3.10'"},
             "fork": {"git": "https://example.com/fork", "ref": "abc"}},
 "develop": {"pytest": {"version": "==8.3.3"}}}
"""
REQUIREMENTS = """\
# made by hand
--index-url https://example.com/simple
-r base.txt
numpy==1.26.4 \\
    --hash=sha256:0 \\
    --hash=sha256:1
pandas>=2  # not a pin
torch==2.1.*
scipy == 1.14.1 ; python_version >= "3.12"
scipy == 1.10.1 ; python_version < "3.12"
colorama==0.4.6; sys_platform == "win32"
mine @ https://example.com/mine-1.0.whl
-e .
!!!
"""
CONDA = """\
name: train
channels: [conda-forge]
dependencies:
- python=3.10
- numpy=1.26
- conda-forge::pytorch=2.1.0=py310_cpu
- scipy==1.14.1
- libblas=3.9
- pandas>=2
- pip
- pip: [mlflow==2.20.0, "-r requirements.txt"]
"""


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("uv.lock", UV, ["numpy 1.26.4", "numpy 2.1.0"]),
        ("poetry.lock", POETRY, ["scikit-learn 1.5.2"]),
        ("pdm.lock", PDM, ["scipy 1.14.1"]),
        ("Pipfile.lock", PIPFILE, ["python 3.11", "scipy 1.14.1", "pytest 8.3.3"]),
        (
            "requirements.txt",
            REQUIREMENTS,
            ["numpy 1.26.4", "torch 2.1.*", "scipy 1.14.1", "scipy 1.10.1", "colorama 0.4.6"],
        ),
        (
            "conda.yaml",
            CONDA,
            [
                "python 3.10",
                "numpy 1.26",
                "torch 2.1.0",
                "scipy 1.14.1",
                "libblas 3.9",
                "mlflow 2.20.0",
            ],
        ),
        (".python-version", "# mine\n3.11.7\n", ["python 3.11.7"]),
    ],
)
def test_each_kind_of_file_says_which_versions_it_pins(
    file: str, text: str, expected: list[str]
) -> None:
    assert [f"{pin.name} {pin.version}" for pin in read_pins(file, text.encode())] == expected


BOMB = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\xff\xfe",
        b"[" * 100_000,
        b'{"default": {"a": ["=="]}, "_meta": 7}',
        b'[[package]]\nname = 3\nversion = "1"\n[[package]]\nname = "a"\nversion = ["1"]\n',
        b"package = 3",
        b"dependencies: 3",
        b"dependencies: [{pip: {a: b}}, [[[]]], null, {}]",
        f"x0: &x0 [a]\n{BOMB}\ndependencies: [*x29, {{pip: [*x29]}}]".encode(),
        b"a==1; " + b"(" * 900 + b"python_version" + b")" * 900,
        b"a==1 \\\n" * 10_000,
    ],
    ids=range(11),
)
def test_garbage_pins_nothing(file: str, data: bytes) -> None:
    assert [pin for pin in read_pins(file, data) if pin.name != "a"] == []


def compared(file: str, text: str, python: str = "3.11.7", **packages: str) -> list[str]:
    interpreter = Interpreter("python", python, "", packages)
    found = compare_packages(read_pins(file, text.encode()), interpreter)
    return [f"{each.name} {each.old} {each.new}" for each in found]


def test_versions_differ_by_what_the_file_means() -> None:
    numpy = "numpy==1.26.4"
    assert compared("requirements.txt", numpy, numpy="1.26.4+cpu") == []
    assert compared("requirements.txt", numpy, numpy="1.26.40") == ["numpy 1.26.4 1.26.40"]
    assert compared("requirements.txt", numpy) == ["numpy 1.26.4 None"]
    assert compared("conda.yaml", "dependencies: [numpy=1.26]", numpy="1.26.9") == []
    assert compared("conda.yaml", "dependencies: [numpy=1.26]", numpy="2.0") == ["numpy 1.26 2.0"]
    # One of several in a lock for all platforms, and what it lists for others.
    assert compared("uv.lock", UV, numpy="2.1.0") == []
    assert compared("uv.lock", UV, numpy="2.2.0") == ["numpy 1.26.4, 2.1.0 2.2.0"]
    assert compared("uv.lock", UV) == []
    assert compared(".python-version", "3.11") == []
    assert compared(".python-version", "3.11.8") == ["python 3.11.8 3.11.7"]


def test_markers_are_those_of_the_interpreter_that_runs_the_stage() -> None:
    text = (
        "a==1; python_version < '3.12'\na==2; python_version >= '3.12'\nb==1; sys_platform == 'x'"
    )
    assert compared("requirements.txt", text, "3.11.7", a="1") == []
    assert compared("requirements.txt", text, "3.12.1", a="1") == ["a 2 1"]


def record(**files: str) -> EnvironmentRecord:
    named = {name.replace("_", "."): text.encode() for name, text in files.items()}
    return EnvironmentRecord("commit 123", named, "", ())


def test_an_installation_says_where_packages_come_from() -> None:
    lock = plan_installation(record(uv_lock=UV, pyproject_toml="", requirements_txt=""))
    assert str(lock) == "2 packages of uv.lock in commit 123, with files.example.org, pypi.org"
    text = plan_installation(record(requirements_txt=REQUIREMENTS))
    assert text.count == 7
    assert text.places == (
        "--index-url https://example.com/simple",
        "-r base.txt",
        "mine @ https://example.com/mine-1.0.whl",
        "-e .",
        "!!!",
    )


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"poetry_lock": POETRY, "pyproject_toml": ""},
            "`poetry export --output requirements.txt`",
        ),
        ({"pdm_lock": PDM}, "`pdm export --output requirements.txt`"),
        ({"Pipfile_lock": PIPFILE}, "`pipenv requirements > requirements.txt`"),
        ({"conda_yaml": CONDA}, "`pip list --format freeze > requirements.txt`"),
        ({"uv_lock": UV}, "not the pyproject.toml"),
        ({"pyproject_toml": ""}, "its environment is not recorded"),
    ],
)
def test_what_cannot_be_installed_is_refused_with_what_to_do(
    files: dict[str, str], reason: str
) -> None:
    with pytest.raises(RerunError, match=r"\A[^\n]+\Z") as error:
        plan_installation(record(**files))
    assert reason in str(error.value)
