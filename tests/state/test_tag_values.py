"""Each tag's value at its limits, and manifests that runs share."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5

import pytest

from mlflow_dvc_plugin.state import Entry, manifest
from mlflow_dvc_plugin.state.program import Program
from mlflow_dvc_plugin.state.tags import (
    INDEX_KEYS,
    MANIFEST_RUN,
    MAX_KEY,
    MAX_TOTAL,
    MAX_VALUE,
    OMITTED_HASHES,
    REPRODUCED,
    RERUN_OF,
    build_code_tags,
    build_end_tags,
    build_error_tags,
    build_fact_tags,
    build_hash_tags,
    build_index_tags,
    build_manifest_tags,
    build_out_tags,
    build_path_tags,
    build_paths_tag,
    count_characters,
    read_manifest_parts,
    refer_to_manifest,
    to_tag_key,
)

ONE, TWO = "1" * 32, "2" * 32


def outs(*values: str) -> list[Entry]:
    return [Entry(f"p{number}", "md5", value) for number, value in enumerate(values)]


def numbered(count: int) -> list[Entry]:
    return outs(*(f"{number:032x}" for number in range(count)))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a", "a"),
        (" a\r\n\tb\0\x1f\x7fc ", "a b c"),
        ("x" * 501, "x" * 500),
        ("x" * 499 + " y", "x" * 499),
        ("é\udcff\ud800", "é??????".replace("?", "\ufffd")),
    ],
)
def test_a_fact_is_one_line_of_at_most_500_characters(value: str, line: str) -> None:
    assert build_fact_tags({"k": value}) == {"k": line}
    assert build_fact_tags({"a": None, "b": "", "c": " \n", "k": value}) == {"k": line}


def test_an_error_without_words_is_an_unknown_error() -> None:
    assert build_error_tags(" \n") == {"dvc.schema": "1", "dvc.error": "unknown error"}
    assert build_error_tags("x")["dvc.error"] == "x"


def test_a_key_of_250_characters_is_whole_and_a_longer_one_is_cut() -> None:
    path = "x" * 241
    assert to_tag_key(path) == f"dvc.data.{path}"
    assert to_tag_key(path[1:], "dvc.data.") == f"dvc.data.{path[1:]}"
    longer = path + "y"
    digest = md5(longer.encode()).hexdigest()[:8]
    assert to_tag_key(longer) == f"dvc.data.{'x' * 232}-{digest}"
    assert len(to_tag_key(longer)) == 250


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("a,b", "a_b"),
        ("é/ü", "_/_"),
        ("\udcff", "_"),
        ("../a", "_/a"),
        ("a/./b", "a/_/b"),
        ("a//b", "a/_/b"),
        ("/a", "_/a"),
        ("a/..", "a/_"),
        ("a/", "a/_"),
        ("a...b/...", None),
        ("a.b/.c/..d", None),
        ("A-z_0.9 x", None),
    ],
)
def test_what_a_key_cannot_have_is_replaced(path: str, clean: str | None) -> None:
    digest = md5(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    assert to_tag_key(path, "p.") == (f"p.{path}" if clean is None else f"p.{clean}-{digest}")


def test_the_parts_of_a_manifest_are_numbered_from_1_after_the_first() -> None:
    tags = build_manifest_tags(["a", "b", "c"])
    assert tags == {"dvc.manifest": "a", "dvc.manifest.1": "b", "dvc.manifest.2": "c"}
    assert read_manifest_parts(tags) == ["a", "b", "c"]
    assert read_manifest_parts({**tags, "dvc.manifest.4": "e"}) == ["a", "b", "c"]
    assert read_manifest_parts({"dvc.manifest.1": "b"}) == []


def test_a_run_refers_to_one_with_the_same_manifest() -> None:
    tags = {"dvc.data_hash": "h", "dvc.manifest": "a", "dvc.manifest.1": "b"}
    runs: Mapping[str, Mapping[str, str]] = {
        "same": tags,
        "child": {"dvc.manifest_run": "same"},
        "orphan": {"dvc.manifest_run": "deleted"},
        "other": {"dvc.manifest": "a"},
        "none": {"dvc.data_hash": "h"},
    }
    assert refer_to_manifest(tags, "same", runs.get) == {
        "dvc.data_hash": "h",
        "dvc.manifest_run": "same",
    }
    assert refer_to_manifest(tags, "child", runs.get)["dvc.manifest_run"] == "same"
    for run_id in ("orphan", "other", "none", "deleted"):
        assert refer_to_manifest(tags, run_id, runs.get) == tags
    assert refer_to_manifest({"dvc.data_hash": "h"}, "none", runs.get) == {"dvc.data_hash": "h"}


def test_a_manifest_that_differs_in_data_is_not_referred_to() -> None:
    one, other = (
        build_manifest_tags(manifest.dump(manifest.Manifest(tuple(outs(value)))))
        for value in (ONE, TWO)
    )
    assert refer_to_manifest(one, "r", lambda _: other) == one
    worker = manifest.Manifest(tuple(outs(ONE)), program=Program(("worker",)))
    same = build_manifest_tags(manifest.dump(worker))
    assert same != one
    assert refer_to_manifest(one, "r", lambda _: same) == {"dvc.manifest_run": "r"}
    damaged = {"dvc.manifest": "x"}
    assert refer_to_manifest(one, "r", lambda _: damaged) == one
    assert refer_to_manifest(one, "r", lambda _: dict(one)) == {"dvc.manifest_run": "r"}


def test_paths_have_tags_until_their_number_or_their_room_is_used_up() -> None:
    assert build_path_tags(outs(ONE, TWO), 2) == {"dvc.data.p0": ONE, "dvc.data.p1": TWO}
    assert build_path_tags(outs(ONE, TWO), 1) == {"dvc.data.p0": ONE, "dvc.data_omitted": "1"}
    assert build_path_tags(outs(ONE), 0) == {"dvc.data_omitted": "1"}
    assert build_path_tags([], 5) == {}
    assert build_path_tags(outs("g", ""), 5) == {"dvc.data.p0": "g", "dvc.data_omitted": "1"}
    tags = build_path_tags(outs(*["e" * 500] * 13, "f" * 10), 20)
    assert tags.pop("dvc.data_omitted") == "2"
    assert count_characters(tags) == 6_000
    tags = build_path_tags(outs(*["e" * 499] * 12, "f" * 13, "f" * 12, "g"), 20)
    assert tags["dvc.data.p13"] == "f" * 12
    assert tags["dvc.data_omitted"] == "2"


def test_a_path_below_or_above_one_that_has_a_tag_has_none() -> None:
    found = [Entry(path, "md5", ONE) for path in ("a/b/c", "a", "a/b", "a/b/c/d", "a/x", "ab")]
    assert set(build_path_tags(found, 9)) == {
        *("dvc.data.a/b/c", "dvc.data.a/x", "dvc.data.ab", "dvc.data_omitted")
    }
    found = [Entry(path, "md5", ONE) for path in ("a/b", "c/d", "a", "c")]
    assert build_path_tags(found, 9) == {
        "dvc.data.a/b": ONE,
        "dvc.data.c/d": ONE,
        "dvc.data_omitted": "2",
    }


@pytest.mark.parametrize(
    ("count", "room", "length", "shown"),
    [
        (1, 33, 32, 1),
        (1, 32, 31, 1),
        (1, 9, 8, 1),
        (1, 8, 0, 0),
        (2, 66, 32, 2),
        (2, 65, 31, 2),
        (2, 18, 8, 2),
        (2, 17, 16, 1),
        (2, 0, 0, 0),
        (10, 331, 32, 10),
        (10, 330, 31, 10),
        (10, -5, 0, 0),
        (9_999, 99_999, 8, 555),
    ],
)
def test_hashes_are_as_long_as_the_room_allows(
    count: int, room: int, length: int, shown: int
) -> None:
    tags = build_hash_tags(numbered(count), room)
    assert [len(each) for each in tags.get("dvc.hashes", "").split()] == [length] * shown
    assert tags.get("dvc.hashes_omitted") == (str(count - shown) if shown < count else None)
    assert count_characters(tags) <= max(room, len(str(count)))


def test_a_hash_of_8_digits_is_indexed_and_a_shorter_one_is_counted() -> None:
    tags = build_hash_tags(
        outs("abcdef01", "abcdef0", "abcdef01.dir", "ABCDEF01"), 999, "dvc.hashes"
    )
    assert tags == {"dvc.hashes": "abcdef01 abcdef01", "dvc.hashes_omitted": "2"}
    assert build_hash_tags(outs("X" * 32, "0" * 31 + "g"), 999) == {"dvc.hashes_omitted": "2"}
    assert build_hash_tags([], 99, "dvc.out_hashes") == {"dvc.out_hashes_omitted": "0"}


def test_the_indexes_fill_the_room_that_other_tags_leave() -> None:
    # Tags that are not ours, and the index that is built anew, do not count.
    others = {"mlflow.x": "x" * 9_000, "dvc.hashes": "y" * 500, "dvc.a": "x" * 15_000}
    tags = build_index_tags(numbered(20), [], others)
    assert count_characters(tags) <= 1_000
    assert {len(each) for each in tags["dvc.hashes"].split()} == {32}
    both = build_index_tags(numbered(20), numbered(20), others)
    assert both["dvc.hashes"] == tags["dvc.hashes"]
    assert {len(each) for each in both["dvc.out_hashes"].split()} == {16}
    assert 980 < count_characters(both) <= 1_000


def test_what_a_run_made_has_tags_and_an_index() -> None:
    found = build_out_tags(outs(ONE), {"dvc.out_hashes": "x" * 16_000, "dvc.a": "x" * 15_935})
    assert found == {"dvc.out.p0": ONE, "dvc.out_hashes": ONE}
    found = build_out_tags(outs(ONE), {"dvc.a": "x" * 15_936})
    assert found["dvc.out_hashes"] == ONE[:31]


def test_paths_are_named_up_to_20_and_2000_characters() -> None:
    assert build_paths_tag("k", []) == {}
    assert build_paths_tag("k", ["a", "b"]) == {"k": "a,b"}
    assert build_paths_tag("k", [f"{n:02}" for n in range(21)])["k"].split(",")[-1] == "19"
    assert build_paths_tag("k", ["x" * 1_998, "y"]) == {"k": f"{'x' * 1_998},y"}
    assert build_paths_tag("k", ["x" * 1_999, "y"]) == {"k": "x" * 1_999}
    assert build_paths_tag("k", ["x" * 2_001, "y"]) == {}
    # A byte that is no UTF-8 takes three characters.
    assert build_paths_tag("k", ["\udcff" * 700]) == {"k": "\ufffd" * 2_000}


def test_the_end_and_the_code_have_tags_of_their_own() -> None:
    assert build_end_tags("clean", []) == {"dvc.status_end": "clean"}
    assert build_end_tags("modified", ["a"]) == {"dvc.status_end": "modified", "dvc.changed": "a"}
    assert build_code_tags(None) == {}
    assert build_code_tags("clean") == {}
    assert build_code_tags("modified") == {"dvc.code_status": "modified"}


def test_names_and_limits_of_tags_are_the_documented_ones() -> None:
    assert (RERUN_OF, REPRODUCED) == ("dvc.rerun_of", "dvc.reproduced")
    assert MANIFEST_RUN == "dvc.manifest_run"
    assert (MAX_KEY, MAX_VALUE, MAX_TOTAL) == (250, 5_000, 16_000)
    assert INDEX_KEYS == ("dvc.hashes", "dvc.hashes_omitted")
    assert OMITTED_HASHES == {
        "dvc.hashes": "dvc.hashes_omitted",
        "dvc.out_hashes": "dvc.out_hashes_omitted",
    }
