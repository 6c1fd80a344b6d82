"""Which runs used or made something with a hash, by the index in their tags."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dvc.config import Config
from mlflow.utils.search_utils import SearchUtils

from mlflow_dvc_plugin.errors import InvalidHashError
from mlflow_dvc_plugin.lineage.search import hash_search
from mlflow_dvc_plugin.lineage.search.find import find_runs, search_by_data
from mlflow_dvc_plugin.lineage.search.hash_search import search_by_hashes
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.lineage.search.results import SearchResult
from mlflow_dvc_plugin.progress import Progress
from tests.history import IN_A_STAGE, History, mlflow_dvc
from tests.project import Project

INDEX = ("dvc.hashes", "dvc.hashes_omitted")


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def ids(*args: str) -> list[str]:
    return [run["run_id"] for run in mlflow_dvc("find", *args, "--json").json]


def search(value: str) -> SearchResult:
    (result,) = search_by_hashes([value], Query()).values()
    return result


def found(result: SearchResult) -> list[str]:
    return [run.run_id for run in result.runs]


class Counter(Progress):
    """Counts the runs that a search reads."""

    runs = 0
    _phase = ""

    def begin(self, what: str, files: int) -> None:  # noqa: ARG002
        self._phase = what

    def advance(self, files: int = 0, size: int = 0) -> None:  # noqa: ARG002
        self.runs += files if "runs" in self._phase else 0


def drop_index(history: History, run_id: str) -> None:
    for key in INDEX:
        if key in history.tags(run_id):
            history.client.delete_tag(run_id, key)


@pytest.fixture
def three(project: Project, history: History) -> list[str]:
    """Runs on two versions of a file and a folder: 1, 2, 1."""
    made = []
    for version in "121":
        project.add("data/a.csv", version)
        project.write("data/images/x.txt", f"image {version}")
        project.write("data/images/same.txt", "always")
        project.add("data/images")
        made.append(history.run())
    return made


@pytest.mark.versions
@pytest.mark.windows
def test_a_hash_is_found_whole_or_by_its_first_digits(three: list[str], history: History) -> None:
    first, second, third = three
    folder = history.tags(second)["dvc.data.data/images"]
    digits = folder.removesuffix(".dir")
    for value in (md5("2"), md5("2").upper(), md5("2")[:20], md5("2")[:8], md5("2")[:6]):
        assert ids("--hash", value) == ids("--path", "data/a.csv", "--hash", value) == [second]
    for value in (folder, digits, digits[:8], f"{digits[:7]}.dir"):
        assert ids("--hash", value) == ids("--path", "data/images", "--hash", value) == [second]
    assert ids("--hash", f"{md5('2')}.dir") == ids("--hash", f"{md5('2')[:8]}.dir") == []
    for value in (md5("image 1"), md5("image 1")[:7]):
        assert ids("--hash", value) == [third, first]
    (run,) = find_runs(hash=md5("image 2")[:6])
    assert (run.paths, run.hashes) == (
        ["data/images/x.txt"],
        {"data/images/x.txt": md5("image 2")},
    )


@pytest.mark.parametrize("text", ["zz", "3a544", "3a5441509a24f6cz", "", "g" * 32, "%%%%%%%%"])
def test_what_is_no_hash_is_wrong_usage(history: History, text: str) -> None:
    assert history
    done = mlflow_dvc("find", f"--hash={text}")
    assert (done.code, done.stdout) == (2, "")
    if text:
        assert "is not a hash" in done.stderr
        with pytest.raises(InvalidHashError, match="at least the first 6"):
            find_runs(hash=text)


def test_digits_that_several_hashes_share_are_told_apart(
    project: Project, history: History
) -> None:
    seen: dict[str, str] = {}
    for number in itertools.count():
        prefix = md5(f"{number}")[:6]
        if prefix in seen:
            break
        seen[prefix] = f"{number}"
    one, other = seen[prefix], f"{number}"
    project.add("one", one)
    first = history.run()
    project.add("one", other)
    project.add("two", one)
    second = history.run()
    done = mlflow_dvc("find", "--hash", prefix, "--json")
    assert {run["run_id"]: run["hashes"] for run in done.json} == {
        first: {"one": md5(one)},
        second: {"one": md5(other), "two": md5(one)},
    }
    both = ", ".join(sorted([md5(one), md5(other)]))
    assert done.stderr == f"{prefix} is the start of 2 hashes: {both}.\n"
    assert both in mlflow_dvc("find", "--hash", prefix).stdout
    assert ids("--hash", md5(other)) == [second]


def test_only_the_runs_that_match_are_read(three: list[str], history: History) -> None:
    tags = history.tags(three[0])
    for number in range(20):
        history.run(tags={**tags, "dvc.hashes": md5(f"other {number}")})
    counter = Counter()
    (result,) = search_by_hashes([md5("2")], Query(), counter).values()
    assert (found(result), counter.runs, result.one_by_one) == ([three[1]], 1, 0)


def test_runs_without_an_index_are_read_one_by_one_and_counted(
    three: list[str], history: History
) -> None:
    for run_id in three[:2]:
        drop_index(history, run_id)
    history.run(tags={"another": "tool"})
    for value, expected in ((md5("1"), [three[2], three[0]]), (md5("image 2"), [three[1]])):
        result = search(value)
        assert (found(result), result.one_by_one, result.unread_runs) == (expected, 2, 0)
    done = mlflow_dvc("find", "--hash", md5("2"), "--json")
    assert [run["run_id"] for run in done.json] == [three[1]]
    assert "2 runs had to be read one by one" in done.stderr
    assert "`mlflow-dvc backfill --index`" in done.stderr


def test_runs_are_read_one_by_one_from_a_server_that_cannot_tell_which_lack_a_tag(
    three: list[str], history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_index(history, three[0])
    older = SearchUtils.VALID_TAG_COMPARATORS - {"IS NULL", "IS NOT NULL"}
    monkeypatch.setattr(SearchUtils, "VALID_TAG_COMPARATORS", older)
    result = search(md5("1"))
    assert (found(result), result.one_by_one) == ([three[2], three[0]], 1)


def test_runs_whose_index_is_cut_are_read(project: Project, history: History) -> None:
    names = [f"{number:03d}" for number in range(600)]
    project.add_files("d", {name: name.encode() for name in names})
    project.commit()
    run_id = history.run()
    assert history.tags(run_id)["dvc.hashes_omitted"] == "45"
    other = history.run(tags={**history.tags(run_id), "dvc.data_hash": "f" * 32})
    for name, read in (("100", 0), ("599", 2)):
        result = search(md5(name))
        assert (found(result), result.one_by_one) == ([run_id], read)
        assert result.unread_runs == 1, f"nobody knows the state of {other}"


def test_an_index_that_lies_is_not_believed(three: list[str], history: History) -> None:
    lying = {**history.tags(three[0]), "dvc.hashes": f"{md5('2')} {md5('nothing')}"}
    liar = history.run(tags=lying)
    assert ids("--hash", md5("2")) == [three[1]]
    assert ids("--hash", md5("nothing")) == []
    assert liar not in ids("--hash", md5("image 2"))


def test_an_indexed_run_that_cannot_be_read_is_counted_only_where_it_may_match(
    history: History, project: Project
) -> None:
    project.add("a", "1")
    tags = {"dvc.schema": "1", "dvc.data_hash": "f" * 32, "dvc.hashes": md5("1")}
    history.run(tags=tags)
    results = search_by_hashes([md5("1"), md5("2")], Query())
    assert [(found(each), each.unread_runs) for each in results.values()] == [([], 1), ([], 0)]


def test_what_a_run_made_is_found_by_its_index(project: Project, history: History) -> None:
    project.add("raw.csv", "raw")
    project.write("dvc.yaml", "stages:\n  train:\n    cmd: mkdir m && cp raw.csv m/x\n"
                  "    deps: [raw.csv]\n    outs: [m]\n")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_STAGE", "train")
        run_id = history.run()
    project.dvc("repro", "-q")
    assert mlflow_dvc("link").code == 0
    tags = history.tags(run_id)
    assert tags["dvc.out_hashes"] == tags["dvc.out.m"].removesuffix(".dir")
    (run,) = mlflow_dvc("find", "--hash", tags["dvc.out_hashes"][:8], "--json").json
    assert run["roles"] == {"m": "output"}
    (run,) = mlflow_dvc("find", "--hash", md5("raw"), "--json").json
    assert run["roles"] == {"raw.csv": "input", "m/x": "output"}


def test_a_run_that_used_no_data_is_not_read(project: Project, history: History) -> None:
    history.run()
    project.add("a", "1")
    run_id = history.run()
    result = search(md5("1"))
    assert (found(result), result.one_by_one) == ([run_id], 0)


def test_when_too_many_folders_have_the_file_all_runs_are_read_once(
    three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = found(search(md5("always")))
    assert expected == three[::-1]
    monkeypatch.setattr(hash_search, "_MAX_SEARCHES", 2)
    counter = Counter()
    (result,) = search_by_hashes([md5("always")], Query(), counter).values()
    assert (found(result), counter.runs) == (expected, 3)


def test_a_damaged_listing_is_named_unless_another_place_has_a_good_one(
    three: list[str], project: Project, history: History
) -> None:
    project.push()
    folder = history.tags(three[2])["dvc.data.data/images"]
    listing = project.path / ".dvc/cache/files/md5" / folder[:2] / folder[2:]
    listing.chmod(0o644)
    listing.write_text("[]")
    done = mlflow_dvc("find", "--hash", md5("image 1"), "--json")
    assert ([run["run_id"] for run in done.json], done.stderr) == ([three[2], three[0]], "")
    shutil.rmtree(project.path.parent / "remote")
    done = mlflow_dvc("find", "--hash", md5("image 1"), "--json")
    assert done.json == []
    assert f"The files in {folder} were not searched: its listing is damaged.\n" in done.stderr


@pytest.fixture
def http_remote(project: Project, tmp_path: Path) -> Iterator[Path]:
    """The folder of a remote that can be read, but not listed."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Config(str(project.path / ".dvc")).edit() as config:
            config["remote"]["web"] = {"url": f"http://127.0.0.1:{server.server_port}"}
            config["core"]["remote"] = "web"
        yield folder
        server.shutdown()


def test_a_remote_that_cannot_be_listed_is_named(
    three: list[str], project: Project, http_remote: Path, history: History
) -> None:
    cache = project.path / ".dvc/cache"
    shutil.move(cache / "files", http_remote / "files")
    done = mlflow_dvc("find", "--hash", md5("image 2"), "--json")
    assert done.json == []
    assert done.stderr.startswith(
        "Folders that only the remote web has were not searched: it cannot list what it has.\n"
    )
    # The listings of a run that is read anyway can be read.
    drop_index(history, three[1])
    assert ids("--hash", md5("image 2")) == [three[1]]


def test_outside_a_project_files_in_folders_are_not_searched(
    three: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ids("--hash", md5("2")[:10]) == [three[1]]
    done = mlflow_dvc("find", "--hash", md5("image 2"))
    assert done.stdout == (
        "No run is known to be on this data.\n"
        "Files in tracked folders were not searched: this is not a DVC project.\n"
        f"{IN_A_STAGE}\n"
    )


def test_a_version_of_a_path_without_a_tag_of_its_own_is_found_by_the_index(
    project: Project, history: History
) -> None:
    project.add_files("d", {f"{n:02}": b"content %d" % n for n in range(24)})
    run_id = history.run()
    tags = history.tags(run_id)
    for number in range(20):
        history.run(tags={**tags, "dvc.hashes": md5(f"other {number}")})
    old = history.run(tags={k: v for k, v in tags.items() if k not in INDEX})
    counter = Counter()
    result = search_by_data(Query(path="d/23", hash=md5("content 23")[:10]), counter)
    assert (found(result), counter.runs) == ([old, run_id], 2)
