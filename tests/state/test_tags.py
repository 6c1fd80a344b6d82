from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_dvc_plugin.errors import ManifestError
from mlflow_dvc_plugin.state import DataState, Entry, fingerprint, manifest
from mlflow_dvc_plugin.state.tags import (
    MAX_KEY,
    MAX_TOTAL,
    MAX_VALUE,
    build_error_tags,
    build_out_tags,
    read_manifest_parts,
    to_tag_key,
)
from tests.effort import bounded

KEY = re.compile(r"[A-Za-z0-9_./ -]{1,250}\Z")
hashes = st.text("0123456789abcdef", min_size=32, max_size=32)
# Names that are not UTF-8 reach us as the surrogates from U+DC80 on.
characters = st.one_of(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
    st.sampled_from("\udc80\udcff"),
)
part = st.text(characters, min_size=1, max_size=60)
paths = st.lists(part, min_size=1, max_size=6).map("/".join)
entries = st.builds(
    Entry,
    path=paths,
    hash_name=st.sampled_from(["md5", "md5-dos2unix", "etag"]),
    hash=st.one_of(st.none(), hashes, hashes.map("{}.dir".format), part),
    size=st.none() | st.integers(0, 2**60),
    nfiles=st.none() | st.integers(0, 10**9),
    isdir=st.booleans(),
    cached=st.booleans(),
    input=st.booleans(),
    stage=st.none() | part,
    metafile=part,
    isexec=st.booleans(),
    remote=st.none() | part,
    push=st.booleans(),
    kind=st.sampled_from(["plain", "import", "import-url", "cloud-versioned"]),
)


def state_of(count: int, length: int = 20) -> DataState:
    outs = [
        Entry(
            path=f"data/{number:06d}-{'x' * length}"[: length + 12],
            hash_name="md5",
            hash=f"{number * 7919:032x}"[:20] + f"{number:012x}",
            size=number,
            metafile=f"data/{number:06d}-{'x' * length}"[: length + 12] + ".dvc",
        )
        for number in range(count)
    ]
    return DataState(root=".", entries=tuple(outs), git_commit="a" * 40)


def check_limits(tags: dict[str, str]) -> None:
    for key, value in tags.items():
        assert KEY.match(key), key
        assert ".." not in key.split("/")
        assert "//" not in key
        assert not key.endswith("/")
        assert len(value) <= MAX_VALUE
    assert sum(map(len, tags.values())) <= MAX_TOTAL


def check_index(state: DataState, tags: dict[str, str]) -> None:
    """Each hash of what was used is in the index, whole or cut like the others, or is counted."""
    used = {str(e.hash).removesuffix(".dir") for e in state.used_entries()}
    shown = tags.get("dvc.hashes", "").split()
    lengths = {len(each) for each in shown if each not in used}
    assert len(lengths) <= 1
    assert all(8 <= length <= 32 for length in lengths)
    assert all(any(value.startswith(each) for value in used) for each in shown)
    found = {value for value in used if any(value.startswith(each) for each in shown)}
    assert len(used - found) <= int(tags.get("dvc.hashes_omitted", "0"))


def test_the_fingerprint_is_the_documented_md5() -> None:
    outs = [
        Entry("b", "md5", "2" * 32),
        Entry("a", "md5-dos2unix", "1" * 32 + ".dir"),
        Entry("git-has-it", "md5", "3" * 32, cached=False),
        Entry("never-made", "md5", None),
    ]
    text = f"a\tmd5-dos2unix:{'1' * 32}.dir\nb\tmd5:{'2' * 32}\n"
    assert fingerprint(outs) == hashlib.md5(text.encode()).hexdigest()
    assert fingerprint([]) == "d41d8cd98f00b204e9800998ecf8427e"


def test_paths_that_were_modified_are_named_whole() -> None:
    modified = [f"data/{number:03}-{'x' * 50}" for number in range(30)]
    state = DataState(root=".", entries=(), status="modified", modified=tuple(modified))
    assert state.to_tags()["dvc.modified"].split(",") == modified[:20]
    longer = DataState(root=".", entries=(), modified=("a", "x" * 1_990, "b" * 10, "c"))
    assert longer.to_tags()["dvc.modified"] == "a," + "x" * 1_990


@pytest.mark.slow
@given(st.lists(entries, max_size=20), st.none() | part, st.lists(paths, max_size=30))
@settings(max_examples=bounded(80, 1500), deadline=None)
def test_any_state_fits_the_limits_of_every_store(
    outs: list[Entry], stage: str | None, modified: list[str]
) -> None:
    state = DataState(
        root=".", entries=tuple(outs), stage=stage, modified=tuple(modified), status="modified"
    )
    tags = state.to_tags(max_path_tags=100)
    check_limits(tags)
    assert all(tags.values())
    check_index(state, tags)


@pytest.mark.slow
@given(st.lists(entries, max_size=20, unique_by=lambda e: e.path))
@settings(max_examples=bounded(80, 1500), deadline=None)
def test_a_manifest_reads_back_as_it_was_written(outs: list[Entry]) -> None:
    written = manifest.Manifest(tuple(outs), ("gone",), False, {"dvc.lock": b"\xff\n"}, {"y": "1"})
    assert manifest.parse(manifest.dump(written)) == written


@given(paths)
def test_every_path_has_a_key_of_its_own_that_stores_take(path: str) -> None:
    key = to_tag_key(path)
    assert KEY.match(key)
    assert len(key) <= MAX_KEY
    plain = set(path) <= set(string.ascii_letters + string.digits + "_./ -")
    parts = path.split("/")
    if plain and not {"", ".", ".."} & set(parts) and len(key) < MAX_KEY - 20:
        assert key == f"dvc.data.{path}"
    else:
        assert re.search(r"-[0-9a-f]{8}\Z", key)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_up_to_300_outs_are_in_the_manifest_whole(count: int) -> None:
    state = state_of(count)
    tags = state.to_tags()
    check_limits(tags)
    found = manifest.parse(read_manifest_parts(tags))
    assert found.complete
    assert found.entries == state.entries


def test_above_300_outs_the_manifest_has_what_differs_from_the_commit() -> None:
    state = state_of(10_000)
    changed = state.entries[7]._replace(hash="f" * 32)
    outs = (*state.entries[:7], changed, *state.entries[8:-1])
    now = DataState(root=".", entries=outs, commit_entries=state.entries, git_commit="a" * 40)
    tags = now.to_tags()
    check_limits(tags)
    found = manifest.parse(read_manifest_parts(tags))
    assert not found.complete
    assert found.entries == (changed,)
    assert found.removed == (state.entries[-1].path,)


def test_a_state_that_fits_no_tags_has_no_manifest() -> None:
    tags = state_of(10_000).to_tags()
    check_limits(tags)
    assert "dvc.manifest" not in tags
    assert tags["dvc.data_omitted"] == "9980"


def test_paths_of_400_characters_stay_within_the_limits() -> None:
    check_limits(state_of(10_000, length=400).to_tags())
    check_limits(state_of(300, length=400).to_tags(max_path_tags=300))


def test_outside_a_stage_data_of_dvc_files_comes_first_and_git_s_stays_out() -> None:
    outs = (
        Entry("a.csv", "md5", "1" * 32, stage="make"),
        Entry("metrics.json", "md5", "2" * 32, cached=False, stage="make"),
        Entry("z.csv", "md5", "3" * 32),
    )
    tags = DataState(root=".", entries=outs).to_tags(max_path_tags=1)
    assert tags["dvc.data.z.csv"] == "3" * 32
    assert tags["dvc.data_omitted"] == "1"
    assert "dvc.data.metrics.json" not in DataState(root=".", entries=outs).to_tags()


def test_in_a_stage_only_its_inputs_are_shown() -> None:
    outs = (
        Entry("in.csv", "md5", "1" * 32, input=True),
        Entry("other.csv", "md5", "2" * 32),
    )
    state = DataState(root=".", entries=outs, stage="train")
    tags = state.to_tags()
    assert tags["dvc.data.in.csv"] == "1" * 32
    assert "dvc.data.other.csv" not in tags
    assert tags["dvc.inputs_hash"] == fingerprint(outs[:1])
    assert tags["dvc.data_hash"] == fingerprint(outs)


def test_a_file_and_a_folder_of_the_same_key_do_not_meet_in_a_file_store() -> None:
    outs = (Entry("a", "md5", "1" * 32), Entry("a/b", "md5", "2" * 32))
    tags = DataState(root=".", entries=outs).to_tags()
    assert "dvc.data.a" in tags
    assert "dvc.data.a/b" not in tags
    assert tags["dvc.data_omitted"] == "1"


def metafiles_in_tags(metafiles: Mapping[str, bytes]) -> Mapping[str, bytes]:
    state = DataState(root=".", entries=(), metafiles=metafiles)
    return manifest.parse(read_manifest_parts(state.to_tags())).metafiles


def test_metafiles_that_name_a_place_stay_out_of_tags() -> None:
    public = b"outs:\n- md5: 11111111111111111111111111111111\n  path: a\n"
    private = b"deps:\n- path: https://user:secret@host/a\nouts:\n- path: b\n"
    assert metafiles_in_tags({"a.dvc": public, "b.dvc": private}) == {"a.dvc": public}


def test_a_lock_with_a_stage_for_several_is_no_place() -> None:
    lock = b"schema: '2.0'\nstages:\n  each@a:\n    cmd: run\n  grid@1-x:\r\n    cmd: run\n"
    place = b"stages:\n  a:\n    cmd: scp me@host.example:file .\n"
    assert metafiles_in_tags({"dvc.lock": lock, "b/dvc.lock": place}) == {"dvc.lock": lock}


def test_commands_stay_out_of_tags() -> None:
    data = b"stages:\n  a:\n    cmd: run --token=secret\n"
    state = DataState(root=".", entries=(), metafiles={"dvc.yaml": data})
    found = manifest.parse(read_manifest_parts(state.to_tags()))
    assert found.metafiles == {}
    assert list(found.pipelines) == ["dvc.yaml"]


@pytest.mark.parametrize("length", [100, 4_000, 4_999])
def test_a_manifest_that_a_server_cut_is_recognised(length: int) -> None:
    parts = list(read_manifest_parts(state_of(300).to_tags()))
    assert len(parts) > 1
    with pytest.raises(ManifestError, match=r"cut|damaged|checksum|not a manifest"):
        manifest.parse([part[: length // 2] for part in parts])
    with pytest.raises(ManifestError, match="cut"):
        manifest.parse(parts[:-1])


def test_a_manifest_of_any_length_is_read_back() -> None:
    noise = b"".join(hashlib.md5(b"%d" % n).digest() for n in range(300))
    lengths = set()
    for size in range(4_460, 4_540):
        written = manifest.Manifest((), metafiles={"a": bytes(33 + n % 90 for n in noise[:size])})
        parts = manifest.dump(written)
        lengths.add(sum(map(len, parts)))
        assert manifest.parse(parts) == written
        assert {len(part) for part in parts[:-1]} <= {4_900}
        assert parts[0].startswith(f"1:{len(parts)}:")
    assert {4_899, 4_900, 4_901} & lengths
    assert min(lengths) < 4_870
    assert max(lengths) > 4_910


def test_a_manifest_of_the_first_releases_with_one_part_too_many_is_read() -> None:
    written = manifest.Manifest(state_of(5).entries)
    (text,) = manifest.dump(written)
    assert manifest.parse([f"1:2:{text.removeprefix('1:1:')}"]) == written


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_manifest_is_an_error_and_never_another_one(data: st.DataObject) -> None:
    original = manifest.dump(manifest.Manifest(state_of(5).entries))
    text = original[0]
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = text[:at] + char + text[at + 1 :]
    try:
        found = manifest.parse([changed])
    except ManifestError:
        return
    assert found == manifest.parse(original)


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_text_is_a_manifest_or_an_error(parts: list[str]) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(parts)


def test_a_manifest_that_inflates_without_end_is_refused() -> None:
    import base64
    import struct
    import zlib

    packed = zlib.compress(b" " * (64 * 1024 * 1024), 9)
    body = packed
    text = b"%d:0:" % len(packed) + body
    head = struct.pack(">8sII", hashlib.md5(text).digest()[:8], len(packed), 0)
    data = base64.b85encode(head + body).decode()
    with pytest.raises(ManifestError, match="decompresses"):
        manifest.parse([f"1:1:{len(data)}:{data}"])


def test_an_error_is_one_line() -> None:
    tags = build_error_tags("a.dvc:\nbroken\x00" + "x" * 9000)
    assert set(tags) == {"dvc.schema", "dvc.error"}
    check_limits(tags)
    assert "\n" not in tags["dvc.error"]


@pytest.mark.parametrize(
    ("count", "length", "omitted"),
    [(1, 32, 0), (151, 32, 0), (152, 31, 0), (300, 15, 0), (400, 11, 0), (555, 8, 0), (600, 8, 45)],
)
def test_hashes_are_cut_to_one_length_and_the_rest_is_counted(
    count: int, length: int, omitted: int
) -> None:
    state = state_of(count)
    tags = state.to_tags()
    check_limits(tags)
    values = [str(e.hash) for e in state.entries]
    assert tags["dvc.hashes"] == " ".join(value[:length] for value in values[: count - omitted])
    assert tags.get("dvc.hashes_omitted", "0") == str(omitted)
    assert ("dvc.manifest" in tags) == (count <= 300)


def test_the_index_has_what_a_run_used_each_once_and_without_dir() -> None:
    outs = (
        Entry("a", "md5", "1" * 32 + ".dir", isdir=True, input=True),
        Entry("b", "md5", "2" * 32, input=True),
        Entry("c", "md5", "2" * 32, input=True),
        Entry("d", "md5", "3" * 32),
        Entry("git", "md5", "4" * 32, cached=False),
        Entry("never", "md5", None),
    )
    outside = DataState(root=".", entries=outs).to_tags()
    assert outside["dvc.hashes"].split() == ["1" * 32, "2" * 32, "3" * 32]
    inside = DataState(root=".", entries=outs, stage="train").to_tags()
    assert inside["dvc.hashes"].split() == ["1" * 32, "2" * 32]
    assert "dvc.hashes_omitted" not in outside | inside
    nothing = DataState(root=".", entries=outs[4:]).to_tags()
    assert "dvc.hashes" not in nothing
    assert nothing["dvc.hashes_omitted"] == "0", "such a run is not one without an index"


def test_a_hash_that_is_not_hexadecimal_is_counted_and_not_searched_for() -> None:
    values = ("1" * 32, '"etag"', "0x8D9", "abc", "f" * 64, "% and '")
    outs = tuple(Entry(f"{n}", "etag", value) for n, value in enumerate(values))
    tags = DataState(root=".", entries=outs).to_tags()
    assert tags["dvc.hashes"].split() == ["1" * 32, "f" * 32]
    assert tags["dvc.hashes_omitted"] == "4"


def test_the_manifest_comes_before_the_index_and_the_index_before_metafiles() -> None:
    def noise(count: int) -> bytes:
        return b"".join(hashlib.md5(b"%d" % n).digest() for n in range(count // 16))

    few = state_of(150)
    for size, is_there in ((1_600, True), (4_000, False)):
        state = DataState(root=".", entries=few.entries, metafiles={"a.dvc": noise(size)})
        tags = state.to_tags()
        check_limits(tags)
        assert tags["dvc.hashes"] == few.to_tags()["dvc.hashes"]
        found = manifest.parse(read_manifest_parts(tags))
        assert (found.entries, bool(found.metafiles)) == (few.entries, is_there)
    # Paths that do not compress make the manifest long.
    paths = [hashlib.md5(b"%d" % n).hexdigest() for n in range(300)]
    for size, length, omitted in ((24, 10, 0), (32, 8, 116)):
        outs = [
            Entry(path[:size], "md5", path[::-1], metafile=f"{path[:size]}.dvc") for path in paths
        ]
        state = DataState(root=".", entries=tuple(sorted(outs)))
        tags = state.to_tags()
        check_limits(tags)
        check_index(state, tags)
        assert manifest.parse(read_manifest_parts(tags)).entries == state.entries
        assert {len(each) for each in tags["dvc.hashes"].split()} == {length}
        assert tags.get("dvc.hashes_omitted", "0") == str(omitted)


def test_the_hashes_of_what_a_run_made_stay_within_its_limits() -> None:
    outs = [Entry(f"out/{n:03d}", "md5", f"{n:032x}") for n in range(120)]
    recorded = {**state_of(120).to_tags(), "mlflow.note.content": "x" * 5_000}
    tags = build_out_tags(outs, recorded)
    check_limits({k: v for k, v in {**recorded, **tags}.items() if k.startswith("dvc.")})
    assert tags["dvc.out.out/007"] == f"{7:032x}"
    assert {len(each) for each in tags["dvc.out_hashes"].split()} == {32}
    assert build_out_tags(outs, {**recorded, **tags}) == tags
    full = {**recorded, "dvc.manifest.9": "x" * 5_000}
    tags = build_out_tags(outs, full)
    assert tags["dvc.out_hashes_omitted"] == str(120 - len(tags.get("dvc.out_hashes", "").split()))
    check_limits({k: v for k, v in tags.items() if "hashes" in k})
