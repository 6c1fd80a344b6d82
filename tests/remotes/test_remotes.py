"""Restore from real remotes: SSH, and S3 plain, version-aware and as a worktree.

They need `pip install -e .[remotes]`, and the SSH test openssh-server.
"""

from __future__ import annotations

import getpass
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin
from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.datasets import cloud_versions
from mlflow_dvc_plugin.datasets.source import DvcDatasetSource, source_of
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DatasetError, MissingObjectsError, NoObjectError
from mlflow_dvc_plugin.lineage.retention.availability import Availability, locate_stored
from mlflow_dvc_plugin.lineage.retention.objects import ObjectIndex
from mlflow_dvc_plugin.restoring import restore
from tests.history import History, mlflow_dvc
from tests.project import Project, run
from tests.record import record, snapshot

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of an SSH server on the loopback interface, and a key that it takes."""
    pytest.importorskip("dvc_ssh")
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if sshd is None:
        pytest.skip("openssh-server is not installed")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "authorized").chmod(0o600)
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([sshd, "-D", "-f", str(folder / "config")])
    try:
        wait_for(port)
        yield port, folder / "user"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a moto server on the loopback interface."""
    pytest.importorskip("dvc_s3")
    pytest.importorskip("moto.server")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def data(project: Project) -> Project:
    project.add("a.csv", "1,2\n")
    project.write("folder/one", "1")
    project.write("folder/sub/größe", "2")
    project.add("folder")
    return project


def s3_remote(project: Project, s3: str, bucket: str, **options: str) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=s3)
    client.create_bucket(Bucket=bucket)
    if options:
        status = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    with project.opened() as repo, repo.config.edit() as config:
        config["remote"]["s3"] = {
            "url": f"s3://{bucket}/store",
            "endpointurl": s3,
            **options,
        }
        config["core"]["remote"] = "s3"


def ssh_remote(project: Project, ssh: tuple[int, Path], folder: Path) -> None:
    port, key = ssh
    folder.mkdir()
    with project.opened() as repo, repo.config.edit() as config:
        config["remote"]["far"] = {
            "url": f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}",
            "keyfile": str(key),
        }
        config["core"]["remote"] = "far"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_ssh(data: Project, ssh: tuple[int, Path], tmp_path: Path) -> None:
    ssh_remote(data, ssh, tmp_path / "store")
    data.commit()
    data.push()
    before, recorded = snapshot(data.path), record(data.path)
    assert recorded.tags["dvc.remote"] == "far"
    assert not any("127.0.0.1" in value for value in recorded.tags.values())
    data.lose("a.csv", "folder")
    restore(recorded)
    assert snapshot(data.path) == before
    assert data.data_status() == {}
    data.lose("a.csv", "folder")
    shutil.rmtree(tmp_path / "store/files/md5")
    with pytest.raises(MissingObjectsError):
        restore(recorded)


def test_s3(data: Project, s3: str) -> None:
    s3_remote(data, s3, "plain")
    data.commit()
    data.push()
    before, recorded = snapshot(data.path), record(data.path)
    data.lose("a.csv", "folder")
    restore(recorded)
    assert snapshot(data.path) == before
    assert data.data_status() == {}


def test_a_fresh_clone_reruns_a_stage_on_data_from_s3(
    data: Project, s3: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    data.write(
        "fit.py",
        "import mlflow\n"
        "with mlflow.start_run():\n"
        "    mlflow.log_metric('length', len(open('a.csv').read() + open('folder/one').read()))\n"
        "    open('model', 'w').write('m')\n",
    )
    data.write(
        "dvc.yaml",
        "stages:\n  fit:\n    cmd: python fit.py\n    deps: [a.csv, folder, fit.py]\n"
        "    outs: [model]\n",
    )
    s3_remote(data, s3, "rerun")
    data.commit()
    data.dvc("repro")
    data.commit()
    data.push()
    (old,) = MlflowClient(store).search_runs(["0"])
    run("git", "clone", "-q", str(data.path), str(tmp_path / "clone"), cwd=tmp_path)
    monkeypatch.chdir(tmp_path / "clone")
    done = mlflow_dvc("rerun", old.info.run_id, "--yes", "--json")
    assert done.code == 0, done.stderr
    assert done.json["verdict"] == "identical"
    assert [each["path"] for each in done.json["inputs"]] == ["a.csv", "folder"]
    assert [(each["path"], each["verdict"]) for each in done.json["outputs"]] == [
        ("model", "identical")
    ]


def test_s3_without_a_clone(
    data: Project, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_remote(data, s3, "anywhere")
    data.push()
    before, recorded = snapshot(data.path), record(data.path)
    expected = {name: before[name] for name in ("a.csv", "folder/one", "folder/sub/größe")}
    config = tmp_path / "config"
    config.write_bytes((data.path / ".dvc/config").read_bytes())
    shutil.rmtree(data.path)
    monkeypatch.chdir(tmp_path)
    restore(recorded, out="by-config", config="config")
    assert snapshot(tmp_path / "by-config") == expected
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    restore(recorded, out="by-url", url="s3://anywhere/store")
    assert snapshot(tmp_path / "by-url") == expected


def test_doctor_asks_a_bucket(data: Project, s3: str, store: str) -> None:
    s3_remote(data, s3, "asked")
    asked = ("doctor", "--json", "--tracking-uri", store)
    (problem,) = mlflow_dvc(*asked).json["problems"]
    assert problem == "Not in the DVC remote: a.csv, folder. `dvc push` uploads it."
    data.push()
    done = mlflow_dvc(*asked)
    assert (done.code, done.json["problems"]) == (0, [])
    assert [each["answers"] for each in done.json["remotes"]] == [True]
    with data.opened() as repo, repo.config.edit() as config:
        config["remote"]["s3"]["url"] = "s3://nowhere/store"
    (problem,) = mlflow_dvc(*asked).json["problems"]
    assert problem.startswith("The DVC remote s3 does not answer: its bucket does not exist.")


def test_ssh_without_a_clone(
    data: Project, ssh: tuple[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh_remote(data, ssh, tmp_path / "store")
    data.push()
    recorded = record(data.path)
    settings = tmp_path / "settings"
    settings.mkdir()
    port, key = ssh
    # The key's path is relative to the file, as DVC reads it.
    shutil.copyfile(key, settings / "key")
    (settings / "key").chmod(0o600)
    (settings / "config").write_text(
        "[core]\nremote = far\n['remote \"far\"']\nkeyfile = key\n"
        f"url = ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/store\n"
    )
    shutil.rmtree(data.path)
    monkeypatch.chdir(tmp_path)
    restore(recorded, out="out", config="settings/config")
    assert sorted(snapshot(tmp_path / "out")) == ["a.csv", "folder/one", "folder/sub/größe"]


def test_a_bucket_that_is_gone_is_one_sentence(data: Project, s3: str) -> None:
    s3_remote(data, s3, "gone")
    recorded = record(data.path)
    import boto3

    boto3.client("s3", endpoint_url=s3).delete_bucket(Bucket="gone")
    data.lose("a.csv", "folder")
    before = snapshot(data.path)
    with pytest.raises(MissingObjectsError) as err:
        restore(recorded)
    assert "\n" not in str(err.value)
    assert snapshot(data.path) == before


@pytest.mark.parametrize("kind", ["version_aware", "worktree"])
@pytest.mark.parametrize("known", ["today", "at the commit"])
def test_cloud_versioned_s3(data: Project, s3: str, kind: str, known: str) -> None:
    bucket = f"{kind}-{known}".replace("_", "-").replace(" ", "-")
    s3_remote(data, s3, bucket, **{kind: "true"})
    data.push()
    data.commit("first")
    assert "version_id" in (data.path / "a.csv.dvc").read_text()
    before, recorded = snapshot(data.path), record(data.path)
    if known == "at the commit":
        data.add("a.csv", "3,4\n")
        data.write("folder/one", "one")
        data.write("folder/more", "more")
        data.add("folder")
        data.push()
        data.commit("second")
        assert snapshot(data.path) != before
    data.lose("a.csv", "folder")

    restore(recorded)

    assert snapshot(data.path) == before
    assert data.data_status() == {}
    assert run("git", "diff", "--name-only", "HEAD", "--", "*.dvc", cwd=data.path) == (
        "" if known == "today" else "a.csv.dvc\nfolder.dvc\n"
    )


def locate_outs(project: Project) -> list[Availability]:
    """Where the objects of the project's outs are."""
    state = capture(project.path)
    assert state is not None
    dvc = DvcProject(str(project.path))
    try:
        index = ObjectIndex(dvc, state.entries)
        return [locate_stored(index, e) for e in state.entries]
    finally:
        dvc.close()


def push_check_and_lose(project: Project, history: History) -> None:
    """Push by our own command; each object is then found in the remote, and missed when gone."""
    run_id = history.run()
    assert [where.remote for where in locate_outs(project)] == [False, False]
    assert mlflow_dvc("push", run_id, "--json").json["pushed"] == 4
    project.lose()
    assert [where[2:] for where in locate_outs(project)] == [(False, True, (), "", False)] * 2


def test_check_and_push_over_ssh(
    data: Project, ssh: tuple[int, Path], tmp_path: Path, history: History
) -> None:
    ssh_remote(data, ssh, tmp_path / "store")
    push_check_and_lose(data, history)
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and path.read_bytes() == b"2":
            path.unlink()
    assert locate_outs(data)[1][2:5] == (False, False, ("folder/sub/größe",))
    with data.opened() as repo, repo.config.edit() as config:
        config["remote"]["far"]["port"] = 9
    assert [(where.remote, where.missing) for where in locate_outs(data)] == [(None, ())] * 2


def test_check_and_push_over_s3(data: Project, s3: str, history: History) -> None:
    s3_remote(data, s3, "checked")
    push_check_and_lose(data, history)
    import boto3

    client = boto3.client("s3", endpoint_url=s3)
    for item in client.list_objects_v2(Bucket="checked")["Contents"]:
        if item["Key"].replace("/", "").endswith("c81e728d9d4c2f636f067f89cc14862c"):
            client.delete_object(Bucket="checked", Key=item["Key"])
    assert locate_outs(data)[1][2:5] == (False, False, ("folder/sub/größe",))
    with data.opened() as repo, repo.config.edit() as config:
        config["remote"]["s3"]["endpointurl"] = "http://127.0.0.1:9"
    assert [(where.remote, where.missing) for where in locate_outs(data)] == [(None, ())] * 2


@pytest.mark.parametrize("kind", ["version_aware", "worktree"])
def test_a_dataset_loads_its_version_wherever_the_remote_is_configured(
    data: Project, s3: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_remote(data, s3, f"dataset-{kind}".replace("_", "-"), **{kind: "true"})
    data.push()
    data.commit("first")
    names = ("a.csv", "folder", "folder/one")
    stored = [mlflow_dvc_plugin.from_dvc(name).source.to_json() for name in names]
    state = capture(data.path)
    assert state is not None
    stored += [source_of(e, state).to_json() for e in state.entries]
    assert "127.0.0.1" not in "".join(stored)
    data.add("a.csv", "3,4\n")
    data.write("folder/one", "one")
    data.add("folder")
    data.push()
    data.commit("second")
    run("git", "clone", "-q", str(data.path), str(tmp_path / "clone"), cwd=tmp_path)
    (tmp_path / "bare/.dvc").mkdir(parents=True)
    shutil.copy(data.path / ".dvc/config", tmp_path / "bare/.dvc/config")
    shutil.rmtree(data.path)
    for machine in ("clone", "bare"):
        monkeypatch.chdir(tmp_path / machine)
        table, folder, member, *same = (
            Path(DvcDatasetSource.from_json(text).load()) for text in stored
        )
        assert table.read_text() == same[0].read_text() == "1,2\n"
        assert member.read_text() == "1"
        expected = {"one": b"1", "sub/größe": b"2"}
        assert snapshot(folder) == snapshot(same[1]) == expected


def test_a_dataset_with_too_many_files_for_its_source_loads_by_its_metafile(
    data: Project, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_remote(data, s3, "many", version_aware="true")
    data.push()
    data.commit("first")
    monkeypatch.setattr(cloud_versions, "MAX_FILES", 1)
    source = DvcDatasetSource.from_json(mlflow_dvc_plugin.from_dvc("folder").source.to_json())
    assert source.cloud_versions is None
    run("git", "rm", "-q", "folder.dvc", cwd=data.path)
    data.commit("second")
    run("git", "clone", "-q", str(data.path), str(tmp_path / "clone"), cwd=tmp_path)
    (tmp_path / "bare/.dvc").mkdir(parents=True)
    shutil.copy(data.path / ".dvc/config", tmp_path / "bare/.dvc/config")
    loaded = Path(source.load(project=str(tmp_path / "clone")))
    assert snapshot(loaded) == {"one": b"1", "sub/größe": b"2"}
    with pytest.raises(DatasetError, match=r"folder cannot be loaded here.*clone of the project"):
        source.load(project=str(tmp_path / "bare"))


@pytest.mark.parametrize("kind", ["version_aware", "worktree"])
def test_check_asks_a_cloud_versioned_remote_for_each_version(
    data: Project, s3: str, history: History, kind: str
) -> None:
    bucket = f"versions-{kind}".replace("_", "-")
    s3_remote(data, s3, bucket, **{kind: "true"})
    data.push()
    data.commit("first")
    run_id = history.run()
    data.add("a.csv", "3,4\n")
    data.write("folder/one", "one")
    data.add("folder")
    data.push()
    data.commit("second")
    data.lose()

    def checked() -> list[Any]:
        (found,) = mlflow_dvc("check", run_id, "--json").json
        return [found["restorable"], *((e["remote"], e["missing"]) for e in found["entries"])]

    assert checked() == [True, (True, []), (True, [])]
    import boto3

    client = boto3.client("s3", endpoint_url=s3)
    listed = client.list_object_versions(Bucket=bucket, Prefix="store/folder/one")["Versions"]
    (old,) = [item["VersionId"] for item in listed if not item["IsLatest"]]
    client.delete_object(Bucket=bucket, Key="store/folder/one", VersionId=old)
    assert checked()[::2] == [False, (False, ["folder/one"])]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("cached", ["1", "2", "12", ""])
def test_a_version_that_the_remote_lost_is_lost_only_if_the_cache_lacks_it(
    data: Project, s3: str, history: History, listed: bool, cached: str
) -> None:
    import boto3

    bucket = f"lost-{listed}-{cached or 'none'}".lower()
    s3_remote(data, s3, bucket, version_aware="true")
    data.push()
    data.commit("first")
    run_id = history.run()
    client = boto3.client("s3", endpoint_url=s3)
    (one,) = client.list_object_versions(Bucket=bucket, Prefix="store/folder/one")["Versions"]
    client.delete_object(Bucket=bucket, Key="store/folder/one", VersionId=one["VersionId"])
    for path in (data.path / ".dvc/cache/files/md5").glob("*/*"):
        if (path.suffix == ".dir" and not listed) or path.read_text() in set("12") - set(cached):
            path.unlink()
    (found,) = mlflow_dvc("check", run_id, "--json").json
    entry = found["entries"][1]
    try:
        restore(run_id, out=data.path.parent / "out")
        restored = True
    except MissingObjectsError:
        restored = False
    assert (found["restorable"], restored) == ("1" in cached, "1" in cached)
    assert entry["missing"] == ([] if "1" in cached else ["folder/one"])
    assert entry["cache"] == (cached == "12")


def test_what_the_cache_has_needs_no_cloud_versioned_remote(
    data: Project, s3: str, history: History, tmp_path: Path
) -> None:
    s3_remote(data, s3, "unneeded", version_aware="true")
    data.push()
    run_id = history.run()
    for path in (data.path / ".dvc/cache").rglob("*.dir"):
        path.unlink()
    with data.opened() as repo, repo.config.edit() as config:
        config["remote"]["s3"]["endpointurl"] = "http://127.0.0.1:9"
    (found,) = mlflow_dvc("check", run_id, "--json").json
    restore(run_id, out=tmp_path / "out")
    assert (found["restorable"], found["entries"][1]["cache"]) == (True, True)


def forget_one_file(project: Project, history: History, remote: str) -> str:
    """Forget one file of a folder, and prove what is left; what the report says."""
    one, two = "c4ca4238a0b923820dcc509a6f75849b", "c81e728d9d4c2f636f067f89cc14862c"
    project.push()
    run_id = history.run()
    for path in (project.path / ".dvc/cache").rglob("*.dir"):
        path.unlink()  # the listing is then read from the remote
    (used,) = mlflow_dvc("find", "--hash", one, "--json").json
    assert (used["run_id"], used["paths"]) == (run_id, ["folder/one"])
    found = mlflow_dvc("forget", "--hash", one, "--json").json
    assert [run["paths"] for run in found["runs"]] == [["folder/one"]]
    assert [(f["cache"], f["remotes"]) for f in found["folders"]] == [(False, [remote])]
    assert [obj["remotes"] for obj in found["objects"]] == [[remote]]
    shown = mlflow_dvc("forget", "--hash", one).stdout
    assert mlflow_dvc("forget", "--hash", one, "--delete", "--yes").code == 0
    project.lose("folder", "a.csv")
    (checked,) = mlflow_dvc("check", run_id, "--json").json
    assert checked["reason"].startswith("forgotten on ")
    assert checked["reason"].endswith(": folder/one")
    assert "folder/one was forgotten on" in mlflow_dvc("restore", run_id).error
    assert mlflow_dvc("restore", run_id, "--skip-forgotten").code == 0
    assert sorted(snapshot(project.path / "folder")) == ["sub/größe"]
    found = mlflow_dvc("forget", "--hash", one, "--hash", two, "--json").json
    assert [obj["hash"] for obj in found["objects"]] == [two]
    return shown


def test_forget_over_ssh(
    data: Project, ssh: tuple[int, Path], tmp_path: Path, history: History
) -> None:
    ssh_remote(data, ssh, tmp_path / "far")
    assert "older versions" not in forget_one_file(data, history, "far")
    stored = [path.read_bytes() for path in (tmp_path / "far").rglob("*") if path.is_file()]
    assert sorted(stored)[:2] == [b"1,2\n", b"2"]
    assert len(stored) == 3
    with data.opened() as repo, repo.config.edit() as config:
        config["remote"]["far"]["port"] = 9
    done = mlflow_dvc("forget", "--hash", "f" * 32, "--delete", "--yes")
    assert (done.code, "The remote far does not answer" in done.stderr) == (1, True)


@pytest.mark.parametrize("versioning", [False, True])
def test_forget_in_s3(data: Project, s3: str, history: History, versioning: bool) -> None:
    import boto3

    bucket = f"forget-{versioning}".lower()
    s3_remote(data, s3, bucket)
    client = boto3.client("s3", endpoint_url=s3)
    if versioning:
        status = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    shown = forget_one_file(data, history, "s3")
    assert ("The bucket of the remote s3 keeps older versions" in shown) == versioning
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert not [key for key in keys if key.endswith("ca4238a0b923820dcc509a6f75849b")]
    assert len(keys) == 3


@pytest.mark.parametrize("kind", ["version_aware", "worktree"])
def test_forget_says_what_it_cannot_do_in_a_cloud_versioned_remote(
    data: Project, s3: str, history: History, kind: str
) -> None:
    import boto3

    bucket = f"forget-{kind}".replace("_", "-")
    s3_remote(data, s3, bucket, **{kind: "true"})
    data.push()
    data.commit("first")
    history.run()
    one = "c4ca4238a0b923820dcc509a6f75849b"
    found = mlflow_dvc("forget", "--hash", one, "--json").json
    assert [run["paths"] for run in found["runs"]] == [["folder/one"]]
    shown = mlflow_dvc("forget", "--hash", one).stdout
    assert "The remote s3 is cloud-versioned" in shown
    assert "folder/one is in a cloud-versioned remote, by its path and version" in shown
    assert mlflow_dvc("forget", "--hash", one, "--delete", "--yes").code == 0
    assert not list((data.path / ".dvc/cache").rglob(one[2:]))
    client = boto3.client("s3", endpoint_url=s3)
    assert client.get_object(Bucket=bucket, Key="store/folder/one")["Body"].read() == b"1"


def test_s3_is_read_in_ranges_and_by_forked_processes(
    data: Project, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 4096
    data.add("large.bin", content)
    s3_remote(data, s3, "files")
    data.push()
    recorded = record(data.path)
    shutil.rmtree(data.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    files = mlflow_dvc_plugin.filesystem(recorded, "s3://files/store")
    expected = {"a.csv": b"1,2\n", "folder/one": b"1", "folder/sub/größe": b"2"}
    assert files.cat(["a.csv", "folder"], recursive=True) == expected
    assert {name: files.info(name)["size"] for name in expected} == {
        name: len(found) for name, found in expected.items()
    }
    with files.open("large.bin", block_size=5000) as file:
        file.seek(300_000)
        assert file.read(10) == content[300_000:300_010]
        assert len(file.cache.cache) < 20_000
    assert files.cat_file("large.bin", -10) == content[-10:]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.map(_read, [(files, name) for name in (*expected, "large.bin")])
        assert found == [*expected.values(), content]
    files.get("", "out", recursive=True)
    assert snapshot(tmp_path / "out") == {**expected, "large.bin": content}
    import boto3

    client = boto3.client("s3", endpoint_url=s3)
    for item in client.list_objects_v2(Bucket="files")["Contents"]:
        client.put_object(Bucket="files", Key=item["Key"], Body=b"damaged")
    with pytest.raises(NoObjectError, match="other bytes under this hash"):
        files.cat("large.bin")

    with pytest.raises(NoObjectError):
        mlflow_dvc_plugin.filesystem(recorded, "s3://no-such-bucket/store").cat("a.csv")


def _read(item: tuple[Any, str]) -> bytes:
    files, name = item
    content: bytes = files.cat(name)
    return content


def test_ssh_is_read_without_a_clone(
    data: Project, ssh: tuple[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh_remote(data, ssh, tmp_path / "store")
    data.push()
    recorded = record(data.path)
    config = tmp_path / "config"
    config.write_bytes((data.path / ".dvc/config").read_bytes())
    shutil.rmtree(data.path)
    monkeypatch.chdir(tmp_path)
    files = mlflow_dvc_plugin.filesystem(recorded, config="config")
    expected = {"a.csv": b"1,2\n", "folder/one": b"1", "folder/sub/größe": b"2"}
    assert files.cat("", recursive=True) == expected
    assert files.cat_file("a.csv", 2, 3) == b"2"
    assert files.info("folder/one")["size"] == 1
    files.get("", "out", recursive=True)
    assert snapshot(tmp_path / "out") == expected
