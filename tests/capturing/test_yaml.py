"""YAML is read as DVC's parser, ruamel.yaml, reads it."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from typing import Any

import pytest

from mlflow_dvc_plugin.capturing.formats.yaml import Timestamp, load_yaml
from mlflow_dvc_plugin.errors import FormatError
from tests.capturing.test_forms import DVC_FILES, PIPELINES, REFUSED
from tests.effort import bounded

SCALARS = (
    "no", "on", "yes", "y", "True", "TRUE", "tRUE", "false", "null", "~", "Null", "nULL", "",
    "1_000", "0o17", "017", "0x1F", "0xg", "0b101", "12:30:45", "1:2", "2024-01-01", "2024-1-1",
    "2024-01-01T10:00:00Z", "2024-01-01 10:00:00.5 +02:00", "2024-01-01x", "1.5", "1e5", "1E-5",
    "1.", ".5", "+1", "-1", "-", "+", ".", "..", "...", "-.5", ".5e3", ".5e+3", "1e", "e1", ".inf",
    "-.INF", ".nan", "0", "-0", "00", "08", "0o8", "=", "<<", "1__0", "_1", "1_", "a b", "a#b",
    "'x'", '"x"', "!!str 1", "!!int '3'", "!!bool true", "!!null ''", "!!float '1'", "!x y", "! 12",
    "01234567890123456789012345678901", "1e30", "123e4567", "0.1.2", "@x", "%x", "`x",
    "--3", "-+3", "+-.", "0.01", "-0.5", "+0.5", "00.5", "1.5.", "3\u0663", "3.\u0663",
)  # fmt: skip


def by_ruamel(data: bytes) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(data.decode())


def normal(value: Any) -> Any:
    """A form in which equal values have equal types, too."""
    if isinstance(value, dict):
        return {normal(key): normal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(normal, value))
    if isinstance(value, (dt.date, Timestamp)):
        return "timestamp"
    return type(value).__name__, str(value)


def compared(data: bytes) -> str:
    """What both parsers make of a text: the same, an error, or one an error."""
    try:
        expected: Any = normal(by_ruamel(data))
    except Exception:  # noqa: BLE001 - whatever it trips over, DVC refuses the file
        expected = None
    try:
        found: Any = normal(load_yaml(data))
    except FormatError:
        found = None
    if expected is None or found is None:
        return "both refuse" if expected == found else "DVC refuses" if found else "we refuse"
    # A document that is one string is no metafile: what a comment is in it does not matter.
    is_string = isinstance(found, tuple) and found[:1] == ("str",)
    assert found == expected or (is_string and expected[:1] == ("str",))
    return "same"


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("form", ["key: {}\n", "[{}, x]\n", "{}z: value\n"])
def test_scalar(scalar: str, form: str) -> None:
    assert compared(form.format(scalar).encode()) in ("same", "both refuse")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.ReusedAnchorWarning")
def test_mutations_never_mean_something_else_here() -> None:
    choose = random.Random(3)
    samples = [form.encode() for form in DVC_FILES.values()]
    samples += [text.encode() for files in PIPELINES.values() for text in files.values()]
    samples += [form if isinstance(form, bytes) else form.encode() for form in REFUSED.values()]
    pieces = b"\n| |- |: |{|}|[|]|'|\"|#|*a|<<: |>\n|,|-|!!str |1|null|\t|---\n|%|@|!|?".split(b"|")
    counts: Counter[str] = Counter()
    number = bounded(1000, 20_000)
    for _ in range(number):
        data = choose.choice(samples)
        for _ in range(choose.randint(1, 3)):
            at = choose.randrange(len(data) + 1)
            data = data[:at] + choose.choice(pieces) + data[at + choose.choice((0, 0, 1, 4)) :]
        counts[compared(data)] += 1
    assert counts["same"] > number / 4
    # What only one of the two parsers takes for YAML is far from what anyone writes.
    assert counts["we refuse"] + counts["DVC refuses"] < number / 20
