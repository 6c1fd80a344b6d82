"""Which runs used or made something with a hash: an out, or a file in a tracked folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from itertools import islice, product

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.lineage.recorded_states import Entries, Role, read_tagged_outs
from mlflow_dvc_plugin.lineage.search.hash_lookup import HashLookup
from mlflow_dvc_plugin.lineage.search.hash_prefixes import parse_hash, to_digits
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.lineage.search.results import RunCollector, SearchResult
from mlflow_dvc_plugin.lineage.search.run_reader import RunReader
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.state.tags import HASHES, INDEX_KEYS, MIN_HASH, OMITTED_HASHES, OUT_PREFIX
from mlflow_dvc_plugin.tracking import Run, contains_clause, tag_clause

_BATCH = 1000  # runs
_AT_ONCE = 4  # searches for digits
_MAX_SEARCHES = 100  # reading all runs is faster than more searches


def search_by_hashes(
    values: Sequence[str], query: Query, progress: Progress | None = None
) -> dict[str, SearchResult]:
    """The runs that used or made something with each of some hashes, and what limits the search.

    Runs are found by their index of hashes (``dvc.hashes``, ``dvc.out_hashes``), and count
    only if their recorded state has the hash. Runs without an index, or with a part of one,
    are read one by one.

    Args:
        values: hashes as DVC writes them, with or without ``.dir``, or at least the first
            six digits of each.
        query: the experiments, metrics, store and project.
        progress: reports what is done.

    Raises:
        InvalidHashError: a value is not a hash.
        MlflowDvcError: the runs cannot be read.
    """
    wanted = list(dict.fromkeys(map(parse_hash, values)))
    progress = progress or Progress()
    root = find_root(query.project) if query.project else find_project()
    with closing(DvcProject(root)) if root else nullcontext() as dvc:
        lookup = HashLookup(wanted, dvc)
        folders = lookup.find_folders(progress)
        reader = RunReader(query, root, progress)
        return _HashSearch(wanted, folders, query, reader, lookup).run()


class _HashSearch:
    """One search for some hashes."""

    def __init__(
        self,
        values: Sequence[str],
        folders: Mapping[str, Sequence[str]],
        query: Query,
        reader: RunReader,
        lookup: HashLookup,
    ) -> None:
        self._reader = reader
        self._lookup = lookup
        # What the index of a run has for each hash: the first digits of it, or of a folder's.
        self._texts = {
            value: {to_digits(each)[:MIN_HASH] for each in (value, *folders[value])}
            for value in values
        }
        self._collectors = {value: RunCollector(query.metrics) for value in values}
        self._seen: set[str] = set()

    def run(self) -> dict[str, SearchResult]:
        texts = sorted(set().union(*self._texts.values()))
        one_by_one = 0
        if len(texts) > _MAX_SEARCHES:
            phase = "Reading all runs (--experiment means fewer)"
            self._add_runs(self._reader.search(tag_clause("dvc.data_hash"), phase))
        else:
            unindexed = self._find_unindexed()
            clauses = (contains_clause(key, text) for text, key in product(texts, OMITTED_HASHES))
            while group := list(islice(clauses, _AT_ONCE)):
                for runs in list(map(self._reader.search, group)):
                    self._add_runs(runs)
            one_by_one = sum(map(self._add_runs, unindexed))
        lookup = self._lookup
        return {
            value: collector.to_result(
                unread_folders=lookup.unread,
                unsearched=lookup.unsearched,
                listings=lookup.listings,
                one_by_one=one_by_one,
            )
            for value, collector in self._collectors.items()
        }

    def _find_unindexed(self) -> list[Iterator[Run]]:
        """The runs whose index does not have all hashes, or that have none."""
        phase = "Reading runs whose hashes are not all in dvc.hashes"
        keys = OMITTED_HASHES.values()
        return [
            *(self._reader.search(f"tags.`{key}` != '0'", phase) for key in keys),
            self._reader.search_without(INDEX_KEYS, tag_clause("dvc.data_hash"), phase),
        ]

    def _add_runs(self, runs: Iterator[Run]) -> int:
        """Add those of some runs that have the hashes; how many were not read before."""
        count = 0
        new = (run for run in runs if run.run_id not in self._seen)
        # Many runs together, so that the listings of their folders are read in parallel.
        while batch := list(islice(new, _BATCH)):
            count += len(batch)
            self._seen.update(run.run_id for run in batch)
            outs = [
                (run, *self._reader.states.find_used_outs(run), read_tagged_outs(run, OUT_PREFIX))
                for run in batch
            ]
            self._lookup.read_folders(
                entries for _, used, _, made in outs for entries in (used, made)
            )
            for run, used, is_complete, made in outs:
                if not is_complete:
                    self._add_unread(run)
                roles: tuple[tuple[Role, Entries], ...] = (("input", used), ("output", made))
                for role, entries in roles:
                    for value, path, found, _ in self._lookup.find_paths(entries):
                        self._collectors[value].add_run(run, [(path, found, role)])
        return count

    def _add_unread(self, run: Run) -> None:
        tags = run.tags
        is_indexed = HASHES in tags and tags.keys().isdisjoint(OMITTED_HASHES.values())
        index = " ".join(tags.get(key, "") for key in OMITTED_HASHES)
        for value, texts in self._texts.items():
            if not is_indexed or any(text in index for text in texts):
                self._collectors[value].add_unread(run)
