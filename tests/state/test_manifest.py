"""What a manifest contains within its room, and what is said of one that cannot be read."""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import b64encode, b85encode
from hashlib import md5
from struct import pack
from typing import Any

import pytest

from mlflow_dvc_plugin.errors import ManifestError
from mlflow_dvc_plugin.state import Entry, Kind, manifest
from mlflow_dvc_plugin.state.entry import fingerprint
from mlflow_dvc_plugin.state.manifest import Manifest, build_manifest, dump, parse
from mlflow_dvc_plugin.state.program import Program
from mlflow_dvc_plugin.state.tags import to_tag_key

MD5 = "0123456789abcdef" * 2
OUTS = (Entry("a", "md5", MD5, metafile="a.dvc"), Entry("b", "md5", MD5, metafile="b.dvc"))


def write(blocks: tuple[bytes, bytes, bytes], checksum: bytes = b"") -> str:
    """A manifest in one part with these blocks, and a checksum that fits."""
    packed, hashes, files = blocks
    body = packed + hashes + files
    sizes = len(packed), len(hashes)
    checksum = checksum or md5(b"%d:%d:" % sizes + body).digest()[:8]
    data = b85encode(pack(">8sII", checksum, *sizes) + body).decode()
    return f"1:1:{len(data)}:{data}"


def document(**changes: Any) -> bytes:
    """The first block of a manifest with one out, as it is documented."""
    content: dict[str, Any] = {
        "columns": [["a"], [4], [None], [2], [0b10011], [0], [0], [-1], [1]],
        "stages": [None],
        "files": [],
        "names": ["md5", None],
        "removed": ["gone"],
        "complete": False,
        "pipelines": {"dvc.yaml": "0" * 16},
        **changes,
    }
    content = {key: value for key, value in content.items() if value is not ...}
    return zlib.compress(json.dumps(content).encode())


RAW = bytes.fromhex(MD5)


def test_a_manifest_is_what_its_description_says() -> None:
    files = zlib.compress(json.dumps({"a.dvc": "\xff\n"}).encode())
    found = parse([write((document(), RAW, files))])
    entry = Entry("a", "md5", f"{MD5}.dir", nfiles=2, isdir=True, cached=True, metafile="a.dvc")
    assert found == Manifest(
        (entry,), ("gone",), False, {"a.dvc": b"\xff\n"}, {"dvc.yaml": "0" * 16}
    )
    assert parse(dump(found)) == found
    assert parse([write((document(), RAW, b""))]) == found._replace(metafiles={})


def test_a_manifest_is_written_as_before() -> None:
    outs = (
        Entry("d", "md5", f"{MD5}.dir", 9, 2, isdir=True, input=True, metafile="d.dvc"),
        Entry("e", "etag", "X", stage="s", metafile="dvc.lock", remote="r", kind="import-url"),
        Entry("f", "md5", None, cached=False, stage="s", metafile="dvc.lock", push=False),
        Entry("g", "md5", MD5, metafile="x.dvc", isexec=True, kind="cloud-versioned"),
    )
    columns, raw, tables = manifest._to_columns(outs)
    assert columns == [
        ["d", "e", "f", "g"],
        [4, "X", None, 0],
        [9, None, None, None],
        [2, None, None, None],
        [0b00_10111, 0b10_10010, 0b00_00000, 0b11_11010],
        [0, 2, 0, 0],
        [0, 1, 1, 0],
        [-1, 0, 0, 1],
        [1, 3, 1, 1],
    ]
    assert raw == RAW * 2
    assert tables == {
        "stages": [None, "s"],
        "files": ["dvc.lock", "x.dvc"],
        "names": ["md5", None, "etag", "r"],
    }
    assert parse(dump(Manifest(outs))) == Manifest(outs)


def test_the_last_part_may_be_full() -> None:
    noise = b"".join(b64encode(md5(b"%d" % number).digest()) for number in range(800))
    lengths = range(15_700, 15_900)  # bytes
    manifests = (dump(Manifest((), metafiles={"a": noise[:length]})) for length in lengths)
    full = next(parts for parts in manifests if len(parts[-1]) == 4_900)
    assert len(full) == 3
    assert full[0].startswith("1:3:14690:")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "it is not a manifest"),
        (["x"], "it is not a manifest"),
        (["1:1:x:"], "it is not a manifest"),
        (["1:x:1:"], "it is not a manifest"),
        (["x:1:1:"], "it is not a manifest"),
        (["1:1:1000000000:"], "it is not a manifest"),
        (["1:1:999999999:"], "it was cut off"),
        (["1:1:1:"], "it was cut off"),
        (["1:1:1:aa"], "it was cut off"),
        (["2:1:0:"], "it has version 2, but this release reads version 1"),
        (["2345678901:1:0:"], "it has version 234567890, but this release reads version 1"),
        (["1:1:0:"], "it is damaged"),
        (["1:1:5:'''''"], "it is damaged"),
        ([""] * 17, "it has too many parts"),
        ([""] * 16, "it is not a manifest"),
        ([write((document(), RAW, b""), b"x" * 8)], "its checksum is wrong"),
        ([write((b"xyz", b"", b""))], "it is damaged"),
        ([write((document()[:-1], b"", b""))], "it was cut off, or it decompresses to more than"),
        ([write((zlib.compress(b"[]"), b"", b""))], "it is damaged"),
        ([write((zlib.compress(b"x"), b"", b""))], "it is damaged"),
        ([write((document(), b"", b""))], "it is damaged"),
        ([write((document(), RAW, zlib.compress(b"[]")))], "it is damaged"),
        ([write((document(), RAW, zlib.compress(b'{"a": "\\u0100"}')))], "it is damaged"),
    ],
)
def test_why_a_manifest_cannot_be_read(parts: list[str], reason: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse(parts)
    assert str(caught.value).startswith(f"The run's dvc.manifest cannot be used: {reason}")


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": [["a"], []]},
        {"complete": 1},
        {"complete": ...},
        {"removed": [5]},
        {"removed": ["\ud800"]},
        {"removed": ...},
        {"pipelines": {"a": 5}},
        {"pipelines": []},
        {"names": ["md5"]},
        {"names": [5, None]},
        {"stages": []},
        {"files": ...},
    ],
)
def test_a_document_of_another_form_is_damaged(changes: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="damaged"):
        parse([write((document(**changes), RAW, b""))])


@pytest.mark.parametrize("bits", [4 << 5, -1.5, "x", None])
def test_a_kind_that_does_not_exist_is_damaged(bits: Any) -> None:
    columns = [["a"], [None], [None], [2], [bits], [0], [0], [-1], [1]]
    with pytest.raises(ManifestError, match="damaged"):
        parse([write((document(columns=columns), RAW, b""))])


def test_16_mib_are_read_and_one_byte_more_is_refused() -> None:
    length = 16 * 1024 * 1024
    for size in (length, length + 1):
        empty = json.dumps({"columns": [], "names": "", "files": "", "stages": ""})[:-1]
        text = empty + ', "removed": [], "complete": true, "pipelines": {}'
        packed = zlib.compress((text + " " * (size - len(text) - 1) + "}").encode(), 1)
        if size == length:
            assert parse([write((packed, b"", b""))]) == Manifest(())
        else:
            with pytest.raises(ManifestError, match="decompresses to more than 16 MiB"):
                parse([write((packed, b"", b""))])


def test_a_python_that_forbids_md5_for_security_writes_and_reads_manifests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbid(data: bytes, *, usedforsecurity: bool = True) -> Any:
        if usedforsecurity is not False:
            raise ValueError("disabled for FIPS")
        return md5(data)

    monkeypatch.setattr(hashlib, "md5", forbid)
    files = {"dvc.yaml": b"stages: {}\n"}
    parts, written = build_manifest(OUTS, None, files, 9_999)
    assert parse(parts) == written
    assert fingerprint(OUTS) != to_tag_key("\n")


def length_of(found: Manifest) -> int:
    return sum(map(len, dump(found)))


def test_metafiles_are_left_out_if_the_room_is_one_character_too_small() -> None:
    files = {"a.dvc": b"outs: 1\n" * 9, "sub/dvc.yaml": b"stages: {}\n"}
    pipelines = {"sub/dvc.yaml": md5(files["sub/dvc.yaml"]).hexdigest()[:16]}
    whole = Manifest(OUTS, metafiles={"a.dvc": files["a.dvc"]}, pipelines=pipelines)
    bare = whole._replace(metafiles={})
    for reserved in (0, 7):
        most = length_of(whole) + reserved
        assert build_manifest(OUTS, None, files, length_of(whole))[1] == whole
        assert build_manifest(OUTS, None, files, most, reserved=reserved) == (dump(whole), whole)
        found = build_manifest(OUTS, None, files, most - 1, reserved=reserved)
        assert found == (dump(bare), bare)
        least = length_of(bare)
        assert build_manifest(OUTS, None, files, least, reserved=reserved)[1] == bare
        assert build_manifest(OUTS, None, files, least - 1, reserved=reserved) == ([], None)


def test_without_room_for_all_outs_those_that_the_commit_has_are_left_out() -> None:
    files = {"a.dvc": b"outs: 1\n", "b.dvc": b"outs: 2\n"}
    before = (OUTS[0]._replace(hash=None), OUTS[1], Entry("z", "md5", MD5), Entry("y", "md5", MD5))
    now = (OUTS[0], OUTS[1]._replace(input=True))
    partial = Manifest((OUTS[0],), ("y", "z"), complete=False, metafiles={"a.dvc": files["a.dvc"]})
    many = (*now, *(Entry(f"n{n}", "md5", md5(b"%d" % n).hexdigest()) for n in range(299)))
    found = build_manifest(many, (*before, *many[2:]), files, 9_999)[1]
    assert found == partial
    bare = partial._replace(metafiles={})
    assert build_manifest(many, (*before, *many[2:]), files, length_of(bare))[1] == bare
    fits = build_manifest(many[:-1], (*before, *many[2:]), files, 16_000)[1]
    assert fits is not None
    assert fits.complete
    assert build_manifest(many, None, files, 99_999) == ([], None)
    files["dvc.yaml"] = b"stages: {}\n"
    found = build_manifest(many, (*before, *many[2:]), files, 9_999)[1]
    assert found is not None
    assert found.pipelines == {"dvc.yaml": md5(files["dvc.yaml"]).hexdigest()[:16]}


@pytest.mark.parametrize("kind", ["plain", "import", "import-url", "cloud-versioned"])
def test_each_kind_of_out_reads_back(kind: Kind) -> None:
    found = Manifest((OUTS[0]._replace(kind=kind),))
    assert parse(dump(found)) == found


@pytest.mark.parametrize(
    ("data", "is_public"),
    [
        (b"path: a\n", True),
        (b"path: s3://x\n", False),
        (b"url: x\n", False),
        (b"URL : x\n", False),
        (b"curl: x\n", True),
        (b"cmd: scp me@host:x y\n", False),
        (b"cmd: scp me@a-b.c_d:x y\n", False),
        (b"  train@v1:\n", True),
        (b"  train@v1: \r\n", True),
        (b"path: a@b\n", True),
    ],
)
def test_which_metafiles_are_public(data: bytes, is_public: bool) -> None:
    found = build_manifest((), None, {"a.dvc": data}, 9_999)[1]
    assert found is not None
    assert found.metafiles == ({"a.dvc": data} if is_public else {})


def test_a_diff_of_more_than_4096_bytes_is_left_out() -> None:
    noise = b"".join(md5(b"%d" % number).digest() for number in range(300))
    program = Program(("python", "a.py"), code="modified", diff=noise[:4_085])
    assert len(zlib.compress(program.diff)) == 4_096
    kept = build_manifest(OUTS, None, {}, 16_000, program=program)
    assert kept[1] == Manifest(OUTS, program=program._replace(code="saved"))
    assert parse(kept[0]) == kept[1]
    longer = program._replace(diff=noise[:4_086])
    left_out = build_manifest(OUTS, None, {}, 16_000, program=longer)
    assert left_out[1] == Manifest(OUTS, program=program._replace(diff=b""))
    assert parse(left_out[0]) == left_out[1]


def test_a_diff_comes_before_the_bytes_of_metafiles() -> None:
    program = Program(("a",), code="modified", diff=b"+b\n")
    files = {"a.dvc": b"outs: 1\n" * 9}
    whole = Manifest(OUTS, metafiles=files, program=program._replace(code="saved"))
    bare, least = whole._replace(metafiles={}), Manifest(OUTS, program=program._replace(diff=b""))
    for found in (whole, bare, least):
        room = length_of(found)
        reserved = 3 if found is not least else 9_999
        room += 3 if found is not least else 0
        assert build_manifest(OUTS, None, files, room, reserved=reserved, program=program) == (
            dump(found),
            found,
        )
