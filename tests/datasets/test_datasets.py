"""DVC-tracked data as MLflow's own datasets, against real stores and remotes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.data.pandas_dataset import PandasDataset

from mlflow_dvc_plugin import from_dvc
from mlflow_dvc_plugin.datasets.source import DvcDatasetSource, digest_of
from mlflow_dvc_plugin.errors import DatasetError, MissingObjectsError, UnsafePathError
from tests.project import Project, run

CSV = "a,b,y\n1,2,0\n3,4,1\n5,6,1\n"


@pytest.fixture(scope="module")
def store(module_store: str) -> str:
    return module_store


@pytest.fixture(autouse=True)
def tracking(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    mlflow.set_tracking_uri(store)
    mlflow.create_experiment(request.node.name, artifact_location=(tmp_path / "art").as_uri())
    mlflow.set_experiment(request.node.name)


def logged(dataset: object) -> mlflow.entities.Run:
    with mlflow.start_run() as active:
        mlflow.log_input(dataset, context="training")
    return mlflow.get_run(active.info.run_id)


@pytest.mark.versions
def test_a_table_is_mlflows_own_dataset_with_dvcs_hash(project: Project) -> None:
    project.add("data/a.csv", CSV)
    data = from_dvc("data/a.csv", targets="y")
    assert isinstance(data, PandasDataset)
    assert data.df.shape == (3, 3)
    assert data.profile == {"num_rows": 3, "num_elements": 9}
    assert data.schema.input_names() == ["a", "b", "y"]
    found = logged(data).inputs.dataset_inputs[0].dataset
    assert found.name == "data/a.csv"
    assert found.digest == json.loads(found.source)["hash"]
    assert f"md5: {found.digest}" in (project.path / "data/a.csv.dvc").read_text()
    assert found.source_type == "dvc"


def test_a_run_is_found_by_the_digest_of_its_data(project: Project) -> None:
    project.add("a.csv", CSV)
    project.add("b.csv", CSV + "7,8,0\n")
    one, two = logged(from_dvc("a.csv")), logged(from_dvc("b.csv", name="second"))
    for wanted, name in ((one, "a.csv"), (two, "second")):
        digest = wanted.inputs.dataset_inputs[0].dataset.digest
        found = mlflow.search_runs(
            filter_string=f"dataset.digest = '{digest}' AND dataset.name = '{name}'",
            output_format="list",
        )
        assert [item.info.run_id for item in found] == [wanted.info.run_id]


@pytest.mark.versions
def test_a_folder_has_dvcs_dir_hash_and_loads_exactly(project: Project, tmp_path: Path) -> None:
    project.write("data/raw/one.txt", "1")
    project.write("data/raw/in/two.txt", "2")
    project.add("data/raw")
    found = logged(from_dvc("data/raw"))
    dataset = found.inputs.dataset_inputs[0].dataset
    assert dataset.digest.endswith(".dir")
    assert len(dataset.digest) <= 36
    assert json.loads(dataset.profile) == {"num_files": 2, "size": 2}
    project.write("data/raw/one.txt", "changed")
    loaded = Path(mlflow.data.get_source(found.inputs.dataset_inputs[0]).load(str(tmp_path / "x")))
    assert loaded == tmp_path / "x/data/raw"
    assert {p.name: p.read_text() for p in loaded.rglob("*.txt")} == {
        "one.txt": "1",
        "two.txt": "2",
    }


def test_a_file_in_a_tracked_folder_has_its_own_hash(project: Project, tmp_path: Path) -> None:
    project.write("data/one.csv", CSV)
    project.write("data/two.csv", CSV + "7,8,1\n")
    project.add("data")
    data = from_dvc("data/two.csv")
    assert len(data.df) == 4
    project.lose()
    project.add("data")
    shutil.rmtree(project.path / "data")
    loaded = Path(data.source.load(str(tmp_path / "x")))
    assert loaded.read_text() == CSV + "7,8,1\n"


def test_another_machine_needs_only_the_remotes_configuration(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.remote(tmp_path / "remote")
    project.add("data/a.csv", CSV)
    project.write("models/net/w.bin", b"\0" * 1000)
    project.add("models/net")
    project.commit()
    project.push()
    sources = [from_dvc("data/a.csv").source, from_dvc("models/net").source]
    bare = tmp_path / "bare"
    (bare / ".dvc").mkdir(parents=True)
    shutil.copy(project.path / ".dvc/config", bare / ".dvc/config")
    run("git", "clone", "-q", str(project.path), str(tmp_path / "clone"), cwd=tmp_path)
    shutil.rmtree(project.path)
    for number, machine in enumerate((bare, tmp_path / "clone")):
        monkeypatch.chdir(machine)
        again = [DvcDatasetSource.from_json(source.to_json()) for source in sources]
        loaded = [Path(source.load(str(tmp_path / str(number)))) for source in again]
        assert loaded[0].read_text() == CSV
        assert (loaded[1] / "w.bin").read_bytes() == b"\0" * 1000
        monkeypatch.chdir(tmp_path)
        assert Path(sources[0].load(project=str(machine))).read_text() == CSV


@pytest.fixture
def elsewhere(project: Project, tmp_path: Path) -> Path:
    """A project that has moved on from what it imported; the folder of the sources."""
    folder = tmp_path / "elsewhere"
    registry = Project.create(folder / "registry")
    registry.remote(folder / "registry-remote")
    registry.write("pets/cat.txt", "miau")
    registry.add("pets")
    registry.push()
    registry.commit()
    (folder / "site").mkdir()
    (folder / "site/fish.txt").write_text("blub")
    project.remote(tmp_path / "remote")
    project.dvc("import", "-q", str(registry.path), "pets")
    project.dvc("import-url", "-q", str(folder / "site"), "site")
    project.commit("imported")
    return folder


def machines(project: Project, tmp_path: Path) -> tuple[Path, Path]:
    """A clone, and a folder with the remote's configuration alone; the project is gone."""
    clone, bare = tmp_path / "clone", tmp_path / "bare"
    run("git", "clone", "-q", str(project.path), str(clone), cwd=tmp_path)
    (bare / ".dvc").mkdir(parents=True)
    shutil.copy(project.path / ".dvc/config", bare / ".dvc/config")
    os.chdir(tmp_path)
    shutil.rmtree(project.path)
    return clone, bare


def test_imported_data_is_loaded_from_its_source_as_it_was(
    project: Project, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("pets", "pets/cat.txt", "site", "site/fish.txt")
    stored = [from_dvc(name).source.to_json() for name in names]
    assert str(elsewhere) not in "".join(stored)
    # The project goes on; only its history still names the sources.
    run("git", "rm", "-q", "pets.dvc", "site.dvc", cwd=project.path)
    project.commit("removed")
    clone, bare = machines(project, tmp_path)
    sources = [DvcDatasetSource.from_json(text) for text in stored]
    for source in sources:
        with pytest.raises(DatasetError) as err:
            source.load(project=str(bare))
        assert f"{source.path} cannot be loaded here" in str(err.value)
        assert "Load it in a clone of the project that has commit" in str(err.value)
        assert "\n" not in str(err.value)
    monkeypatch.chdir(clone)
    pets, cat, site, fish = (Path(source.load()) for source in sources)
    assert (pets / "cat.txt").read_text() == cat.read_text() == "miau"
    assert (site / "fish.txt").read_text() == fish.read_text() == "blub"


def test_data_imported_from_a_url_is_loaded_from_the_remote_that_it_was_pushed_to(
    project: Project, elsewhere: Path, tmp_path: Path
) -> None:
    sources = [from_dvc(name).source for name in ("site", "site/fish.txt")]
    project.push()
    clone, bare = machines(project, tmp_path)
    shutil.rmtree(elsewhere)
    for machine in (clone, bare):
        site, fish = (Path(source.load(project=str(machine))) for source in sources)
        assert (site / "fish.txt").read_text() == fish.read_text() == "blub"


def test_imported_data_that_is_another_today_is_not_taken_for_it(
    project: Project, elsewhere: Path, tmp_path: Path
) -> None:
    source = from_dvc("site").source
    clone, _ = machines(project, tmp_path)
    (elsewhere / "site/fish.txt").write_text("splash")
    with pytest.raises(DatasetError, match=r"site cannot be loaded here \(.*another version"):
        source.load(project=str(clone))


def test_a_running_stage_may_load_data_too(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a.csv", CSV)
    source = from_dvc("a.csv").source
    monkeypatch.setenv("DVC_STAGE", "train")
    assert Path(source.load(str(tmp_path / "x"))).read_text() == CSV


def test_changed_data_is_refused_not_named_wrongly(project: Project) -> None:
    project.add("a.csv", CSV)
    project.write("a.csv", CSV + "9,9,9\n")
    with pytest.raises(DatasetError, match=r"differs from the hash that DVC has.*`dvc add a.csv`"):
        from_dvc("a.csv")
    project.write("d/x", "1")
    project.write("d/y", "1")
    project.add("d")
    assert from_dvc("d").profile == {"num_files": 2, "size": 2}
    project.write("d/x", "2")
    with pytest.raises(DatasetError, match="differs from the hash"):
        from_dvc("d")
    with pytest.raises(DatasetError, match="differs from the hash"):
        from_dvc("d/x")


def test_what_is_not_tracked_or_not_there_is_said(project: Project, tmp_path: Path) -> None:
    project.write("a.csv", CSV)
    with pytest.raises(DatasetError, match=r"Run `dvc add a.csv` first"):
        from_dvc("a.csv")
    project.add("a.csv")
    (project.path / "a.csv").unlink()
    with pytest.raises(DatasetError, match=r"not in the workspace. Run `dvc pull a.csv`"):
        from_dvc("a.csv")
    (tmp_path / "other.csv").write_text(CSV)
    with pytest.raises(DatasetError, match="not in a DVC project"):
        from_dvc(tmp_path / "other.csv")


def test_a_path_is_meant_as_one_would_open_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("data/a [1].csv", CSV)
    monkeypatch.chdir(project.path / "data")
    assert from_dvc("a [1].csv").name == "data/a [1].csv"
    assert from_dvc(project.path / "data/a [1].csv").digest == from_dvc("data/a [1].csv").digest


def test_other_tables_and_what_is_none(project: Project) -> None:
    import pandas as pd

    frame = pd.DataFrame({"x": [1.5, 2.5]})
    frame.to_parquet(project.path / "t.parquet")
    frame.to_csv(project.path / "t.csv.gz", index=False)
    frame.to_csv(project.path / "t.tsv", sep="\t", index=False)
    for name in ("t.parquet", "t.csv.gz", "t.tsv"):
        project.add(name)
        assert from_dvc(name).df.equals(frame)
    project.add("empty.csv", "")
    assert from_dvc("empty.csv").digest == "d41d8cd98f00b204e9800998ecf8427e"
    with pytest.raises(DatasetError, match="has no data frame: pandas cannot read it"):
        _ = from_dvc("empty.csv").df
    project.add("w.bin", "1")
    logged(from_dvc("w.bin"))
    with pytest.raises(DatasetError, match=r"source.load"):
        _ = from_dvc("w.bin").df
    with pytest.raises(DatasetError, match=r"no column 'z'. Its columns are: x"):
        from_dvc("t.tsv", targets="z")


def test_a_table_is_a_dataset_without_pandas_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a.csv", CSV)
    monkeypatch.setitem(sys.modules, "pandas", None)
    data = from_dvc("a.csv")
    assert data.profile == {"size": len(CSV)}
    with pytest.raises(DatasetError, match="has no data frame: pandas cannot read it"):
        _ = data.df


@pytest.mark.slow
def test_mlflow_evaluates_on_it(project: Project) -> None:
    project.add("a.csv", CSV)
    data = from_dvc("a.csv", targets="y")
    with mlflow.start_run():
        evaluate = getattr(mlflow.models, "evaluate", None) or mlflow.evaluate
        result = evaluate(
            model=lambda frame: (frame["a"] > 2).astype(int).to_numpy(),
            data=data,
            model_type="classifier",
            evaluators=["default"],
            evaluator_config={"default": {"log_model_explainability": False}},
        )
    assert result.metrics["accuracy_score"] == 1.0


def test_the_stored_source_names_no_place_and_no_secret(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "remote-with-secret")
    project.add("a.csv", CSV)
    dataset = logged(from_dvc("a.csv")).inputs.dataset_inputs[0].dataset
    assert set(json.loads(dataset.source)) == {"path", "hash", "hash_name"}


def test_a_source_from_someone_else_cannot_lead_out(project: Project, tmp_path: Path) -> None:
    project.add("a", "1")
    value = "c4ca4238a0b923820dcc509a6f75849b"
    with pytest.raises(UnsafePathError):
        DvcDatasetSource("../out", value).load(str(tmp_path / "x"))
    with pytest.raises(MissingObjectsError):
        DvcDatasetSource("a", "0" * 32).load(str(tmp_path / "x"))
    assert not (tmp_path / "out").exists()


def test_a_digest_fits_mlflow_whatever_the_hash() -> None:
    assert digest_of("a" * 32 + ".dir") == "a" * 32 + ".dir"
    assert len(digest_of("0x8DB1" * 10)) == 32


@pytest.mark.slow
def test_import_mlflow_does_not_pay_for_it() -> None:
    code = (
        "import sys, mlflow\n"
        "ours = {n for n in sys.modules if n.startswith('mlflow_dvc_plugin')}\n"
        "assert ours <= {'mlflow_dvc_plugin', 'mlflow_dvc_plugin.datasets',"
        " 'mlflow_dvc_plugin.datasets.constructor', 'mlflow_dvc_plugin.datasets.source',"
        " 'mlflow_dvc_plugin.provider', 'mlflow_dvc_plugin.run_files',"
        " 'mlflow_dvc_plugin.run_files.artifact_repository'}, ours\n"
        "assert 'dvc' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "first", ["from mlflow_dvc_plugin import from_dvc", "import mlflow_dvc_plugin.datasets.source"]
)
def test_mlflow_knows_the_source_where_the_plugin_is_imported_first(first: str) -> None:
    code = (
        f"{first}\n"
        "from mlflow.data.dataset_source_registry import get_registered_sources\n"
        "names = [source.__name__ for source in get_registered_sources()]\n"
        "assert 'DvcDatasetSource' in names, names\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.versions
def test_mlflow_has_from_dvc_beside_its_own_functions(project: Project) -> None:
    project.add("data/a.csv", "a,y\n1,0\n")
    own = from_dvc("data/a.csv")
    theirs = mlflow.data.from_dvc("data/a.csv", name="mine", targets="y", digest=own.digest)
    assert (theirs.name, theirs.digest, theirs.targets) == ("mine", own.digest, "y")
    assert "from_dvc" in mlflow.data.__all__
    with pytest.raises(DatasetError, match=f"has the hash {own.digest}, not the digest '0'"):
        mlflow.data.from_dvc("data/a.csv", digest="0")
