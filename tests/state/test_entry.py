"""What an entry may hold, its public form, the order of entries, and their fingerprint."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from mlflow_dvc_plugin.state import Entry, fingerprint
from mlflow_dvc_plugin.state.entry import check_entry, check_text, sort_key, usage_key

PLAIN = Entry("a", "md5", "1" * 32)


def test_an_entry_without_more_words_is_a_plain_file_that_dvc_caches_and_pushes() -> None:
    rest = (None, None, False, True, False, None, "", False, None, True, "plain")
    assert tuple(PLAIN) == ("a", "md5", "1" * 32, *rest)


def test_the_public_form_has_the_documented_fields() -> None:
    assert PLAIN._replace(stage="s", metafile="dvc.lock", remote="r").to_dict() == {
        "path": "a",
        "hash_name": "md5",
        "hash": "1" * 32,
        "size": None,
        "nfiles": None,
        "isdir": False,
        "cached": True,
        "input": False,
        "stage": "s",
        "metafile": "dvc.lock",
    }


def test_entries_are_sorted_by_path_then_hash_then_metafile() -> None:
    in_order = [
        Entry("a", "md5", None, metafile="z"),
        Entry("a", "etag", "1", metafile="x"),
        Entry("a", "md5", "1", metafile="y"),
        Entry("a", "md5", "2", metafile="a"),
        Entry("b", "md5", "0"),
    ]
    backwards = in_order[::-1]
    assert sorted(backwards, key=sort_key) == in_order
    assert sort_key(in_order[0]) == ("a", "", "z")


def test_what_a_run_uses_begins_with_dvc_files() -> None:
    found = [Entry("a", "md5", None, stage="s"), Entry("z", "md5", None), Entry("b", "md5", None)]
    assert [e.path for e in sorted(found, key=usage_key)] == ["b", "z", "a"]


@pytest.mark.parametrize(
    "entry",
    [
        PLAIN,
        PLAIN._replace(hash=None, size=0, nfiles=2**63 - 1, isdir=True, remote="r", stage="s"),
        PLAIN._replace(path="\udcff", metafile="", kind="cloud-versioned", push=False),
    ],
)
def test_entries_that_capture_makes_are_valid(entry: Entry) -> None:
    check_entry(entry)


@pytest.mark.parametrize("field", Entry._fields)
@pytest.mark.parametrize("value", [None, 1, True, "x", 1.5, -1, 2**63, "\ud800", ["x"], b"x"])
def test_an_entry_with_another_type_in_a_field_is_refused(field: str, value: Any) -> None:
    allowed: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys(("path", "hash_name", "metafile"), ("x",)),
        **dict.fromkeys(("hash", "stage", "remote"), (None, "x")),
        **dict.fromkeys(("size", "nfiles"), (None, 1)),
        **dict.fromkeys(("isdir", "cached", "input", "isexec", "push"), (True,)),
        "kind": (),
    }
    entry = PLAIN._replace(**{field: value})
    if any(value is each for each in allowed[field]):
        check_entry(entry)
        return
    with pytest.raises((TypeError, ValueError)) as caught:
        check_entry(entry)
    if value != "\ud800":
        assert str(caught.value) == f"{field} of {entry.path!r}"


def test_a_text_is_a_name_that_a_file_can_have() -> None:
    assert check_text("é\udc80") == "é\udc80"
    with pytest.raises(UnicodeError):
        check_text("\ud800")
    with pytest.raises(TypeError, match="int instead of str"):
        check_text(5)


def test_the_fingerprint_has_each_line_once_more_in_the_order_of_code_points() -> None:
    outs = [
        Entry("é", "md5", "1"),
        Entry("z", "md5", "2"),
        Entry("Z", "etag", "4"),
        Entry("z", "md5", "2"),
        Entry("\udcff", "md5", "3"),
    ]
    text = "Z\tetag:4\nz\tmd5:2\nz\tmd5:2\né\tmd5:1\n".encode() + b"\xff\tmd5:3\n"
    assert fingerprint(outs) == md5(text).hexdigest()
    assert fingerprint(iter(outs)) == fingerprint(outs[::-1])
