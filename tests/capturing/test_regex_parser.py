"""What is read without a YAML parser equals what the parser gives."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_dvc_plugin.capturing.formats import dvcfile, regex_parser, schema
from mlflow_dvc_plugin.errors import FormatError
from tests.capturing.test_corpus import CORPUS
from tests.capturing.test_forms import DVC_FILES, MD5, PIPELINES
from tests.capturing.test_guest import PIECES
from tests.capturing.test_yaml import SCALARS
from tests.effort import bounded

PATIENCE = settings(
    max_examples=bounded(100, 4000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

Read = Callable[[bytes], Any]


def slow_dvcfile(data: bytes) -> Any:
    content = schema.load_checked(data, schema.DVCFILE)
    return {"outs": content["outs"]} if "outs" in content else {}


def slow_pipeline(data: bytes) -> Any:
    content = schema.load_checked(data, schema.PIPELINE)
    return content if b"${" in data else _without_commands(content)


def fast_pipeline(data: bytes) -> Any:
    found = regex_parser.parse_pipeline(data)
    return found if found is None or b"${" in data else _without_commands(found)


def _without_commands(content: dict[str, Any]) -> dict[str, Any]:
    stages = {
        name: {key: value for key, value in stage.items() if key != "cmd"}
        for name, stage in content["stages"].items()
    }
    return {**content, "stages": stages}


def slow_lock(data: bytes) -> Any:
    content = schema.load_checked(data, schema.LOCK)
    return {name: stage.get("outs", []) for name, stage in content["stages"].items()}


def compared(data: bytes, fast: Read, slow: Read) -> bool:
    """Is the text of the plain form? Then both ways must give the same."""
    found = fast(data)
    if found is None:
        return False
    try:
        expected = slow(data)
    except FormatError as err:
        raise AssertionError(f"DVC refuses this: {data!r}") from err
    assert found == expected
    assert repr(found) == repr(expected) or fast is not fast_pipeline
    return True


def dumped(content: Any) -> bytes:
    """As DVC writes it."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.BytesIO()
    yaml.dump(content, stream)
    return stream.getvalue()


WORDS = st.sampled_from(
    ["a", "data/raw.csv", "no", "null", "true", "models/é", "x y", "12", "1e5", "2024-01-01", "-",
     "a: b", "a #b", "t", "n", "f.csv", "False", "./x", "../y", "a//b", "d/", ".", "null.x", "~/a",
     "1/2", "0x1F", "a,b", "[x]", "{n}", "*a", "&a", "!x", "'q'", '"q"', "a'b", "s3://x/y", "x:",
     "", " ", "|", ">-", "%d", "@z", "a@b", "=", "<<", "on", "_1", "-_", "a" * 90, "b " * 50,
     "a  b", "a ", "12 /x", ". /x", "a -", "a - b", "a, b", "k" * 1100, "k" * 999, "/x", "...",
     "7.csv", "1n", "1.nan", ".nan", "1e5s", "0x1g", "0o8", "2024-01-01t", "1_0", "1,5", "1.5.6",
     *SCALARS]
)  # fmt: skip
TEXTS = WORDS | st.text(alphabet="ab1.:#-_/ \n'\"&é\x85", max_size=8)
KEYS = TEXTS | st.sampled_from(["lr", "_target_", "a.b*", "n+1"]) | st.integers(-3, 12)
HASHES = st.sampled_from(
    [MD5, f"{MD5}.dir", "1" * 32, "1" * 20 + "e" + "2" * 11, "0" * 32 + ".dir", "abc", MD5.upper()]
) | st.from_regex(r"\A[0-9e]{31}[0-9a-f](\.dir)?\Z")
RECORDS = st.fixed_dictionaries(
    {"path": TEXTS, "md5": HASHES},
    optional={
        "hash": st.just("md5"),
        "size": st.integers(0, 10**20),
        "nfiles": st.integers(0, 9),
        "isexec": st.booleans(),
    },
).map(lambda r: {k: r[k] for k in ("path", "hash", "md5", "size", "nfiles", "isexec") if k in r})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
LOCKS = st.fixed_dictionaries(
    {
        "schema": st.just("2.0"),
        "stages": st.dictionaries(
            TEXTS,
            st.fixed_dictionaries(
                {"cmd": TEXTS | st.lists(TEXTS)},
                optional={
                    "deps": st.lists(RECORDS, max_size=3),
                    "params": st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3)),
                    "outs": st.lists(RECORDS, max_size=3),
                },
            ),
            min_size=1,
            max_size=3,
        ),
    }
)
ITEMS = TEXTS | st.dictionaries(
    TEXTS,
    st.dictionaries(st.sampled_from(["cache", "push", "persist", "desc"]), st.booleans() | TEXTS),
    max_size=2,
)
YAMLS = st.fixed_dictionaries(
    {
        "stages": st.dictionaries(
            TEXTS,
            st.fixed_dictionaries(
                {"cmd": TEXTS},
                optional={
                    "wdir": TEXTS,
                    "deps": st.lists(TEXTS, max_size=3),
                    "params": st.lists(ITEMS, max_size=3),
                    "outs": st.lists(ITEMS, max_size=3),
                    "metrics": st.lists(ITEMS, max_size=2),
                    "plots": st.lists(ITEMS, max_size=2),
                },
            ),
            min_size=1,
            max_size=3,
        )
    }
)

PLAIN_LOCK = f"""schema: '2.0'
stages:
  prepare:
    cmd: python src/prepare.py data/data.xml
      --seed 3
    deps:
    - path: data/data.xml
      hash: md5
      md5: {MD5}
      size: 14
    params:
      params.yaml:
        prepare.seed: 20170428
        prepare.kinds:
        - a
        - 0.5
    outs:
    - path: data/prepared
      hash: md5
      md5: {MD5}.dir
      size: 8437363
      nfiles: 2
  odd name:
    cmd: [x, "y:
      z"]
    outs:
    - {{path: 'it''s', md5: {MD5}}}
  quoted:
    cmd: ' OUT=a: b &&
      mkdir "$OUT" # c '
  evaluate@1:
    cmd: ./run && echo a&b
    outs:
    - path: true.json
      md5: {MD5}
      size: 3
      isexec: true
"""
PLAIN_YAML = """stages:
  prepare:
    cmd: python src/prepare.py data/data.xml
      --seed 3
    wdir: sub
    deps:
    - data/data.xml
    - src/prepare.py
    params:
    - num_layers
    outs:
    - data/prepared

  odd name:
    cmd: |
      a
        b
    outs: [x, y: {cache: false}]
  evaluate:
    cmd: ./run && echo a&b
    outs:
      - true.json
      - model:
          cache: false
          persist: true
    metrics:
      - m.json:
          cache: false
"""


def mutations(samples: list[bytes]) -> st.SearchStrategy[bytes]:
    @st.composite
    def mutated(draw: Callable[[Any], Any]) -> bytes:
        data: bytes = draw(st.sampled_from(samples))
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(data)))
            until = min(len(data), at + draw(st.integers(0, 12)))
            new = draw(st.sampled_from([b"", *PIECES[:-1]]) | TEXTS.map(str.encode))
            data = data[:at] + new + data[until:]
        return data

    strategy: st.SearchStrategy[bytes] = mutated()
    return strategy


def _written(name: str, plainest: str) -> list[bytes]:
    found = [form[name].encode() for form in PIPELINES.values() if name in form]
    return [*[plainest.encode()] * 20, *found]


@pytest.mark.slow
@PATIENCE
@given(LOCKS.map(dumped))
def test_generated_lock(data: bytes) -> None:
    compared(data, regex_parser.parse_lock_outs, slow_lock)


@pytest.mark.slow
@PATIENCE
@given(mutations(_written("dvc.lock", PLAIN_LOCK)))
def test_mutated_lock(data: bytes) -> None:
    compared(data, regex_parser.parse_lock_outs, slow_lock)


@pytest.mark.slow
@PATIENCE
@given(YAMLS.map(dumped))
def test_generated_pipeline(data: bytes) -> None:
    compared(data, fast_pipeline, slow_pipeline)


@pytest.mark.slow
@PATIENCE
@given(mutations(_written("dvc.yaml", PLAIN_YAML)))
def test_mutated_pipeline(data: bytes) -> None:
    compared(data, fast_pipeline, slow_pipeline)


@pytest.mark.slow
@PATIENCE
@given(st.lists(RECORDS, min_size=1, max_size=2).map(lambda outs: dumped({"outs": outs})))
def test_generated_dvc_file(data: bytes) -> None:
    compared(data, dvcfile.parse_simple, slow_dvcfile)


@pytest.mark.slow
@PATIENCE
@given(mutations([form.encode() for form in DVC_FILES.values()]))
def test_mutated_dvc_file(data: bytes) -> None:
    compared(data, dvcfile.parse_simple, slow_dvcfile)


@pytest.mark.parametrize("text", [*SCALARS, "a b", "data/raw"])
def test_every_scalar_in_every_place(text: str) -> None:
    for place in ("path: data/prepared", "md5: " + MD5, "size: 14", "20170428", "0.5",
                  "python src/prepare.py data/data.xml\n      --seed 3", "prepare.seed",
                  "evaluate@1", "path: true.json"):  # fmt: skip
        key, found, _ = place.partition(": ")
        data = PLAIN_LOCK.replace(place, f"{key}: {text}" if found else text)
        compared(data.encode(), regex_parser.parse_lock_outs, slow_lock)
    for place in ("data/data.xml", "wdir: sub", "num_layers", "true.json", "m.json", "evaluate"):
        data = PLAIN_YAML.replace(place, f"wdir: {text}" if place == "wdir: sub" else text)
        compared(data.encode(), fast_pipeline, slow_pipeline)
    for form in ("- path: {}\n  md5: abcd\n", "- path: a\n  md5: {}\n", "- size: {}\n  path: a\n"):
        compared(f"outs:\n{form.format(text)}".encode(), dvcfile.parse_simple, slow_dvcfile)


def test_every_indentation_of_a_list() -> None:
    indents = [" " * n for n in range(3, 9)]
    flags = [" " * n for n in range(7, 12)]
    found = 0
    for first, second, flag in product(indents, indents, flags):
        outs = f"{first}- a\n{second}- b:\n{flag}cache: false\n{flag}push: true\n{first}- c\n"
        for text in (f"outs:\n{outs}", f"deps:\n{first}- a\n{second}- b\n{first}- c\n"):
            data = f"stages:\n  s:\n    cmd: x\n    {text}".encode()
            found += compared(data, fast_pipeline, slow_pipeline)
    assert found


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_is_written_everyday_is_of_the_plain_form(line_end: str) -> None:
    lock, pipeline = (text.replace("\n", line_end).encode() for text in (PLAIN_LOCK, PLAIN_YAML))
    assert compared(lock, regex_parser.parse_lock_outs, slow_lock)
    assert compared(pipeline, fast_pipeline, slow_pipeline)
    for form in ("plain", "folder"):
        data = DVC_FILES[form].encode()
        assert compared(data, dvcfile.parse_simple, slow_dvcfile)


def test_metafiles_of_real_projects() -> None:
    found = 0
    for path in CORPUS.rglob("*.dvc"):
        if path.is_file():
            found += compared(path.read_bytes(), dvcfile.parse_simple, slow_dvcfile)
    for path in CORPUS.rglob("dvc.lock"):
        found += compared(path.read_bytes(), regex_parser.parse_lock_outs, slow_lock)
    assert found > 100 or not CORPUS.exists()
