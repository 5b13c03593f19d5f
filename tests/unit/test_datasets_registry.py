"""The catalogue, checksums and downloads; a local HTTP server stands for the public one."""

import gc
import hashlib
import json
import re
import sys
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from metricsearch.datasets import (
    cache_directory,
    data_directory,
    dataset_names,
    describe,
    fetch,
    load_dataset,
    registry,
    verify,
    write_ann_hdf5,
)
from metricsearch.errors import CorruptedError, MissingDataError, MissingExtraError, UnknownNameError


class QuietHandler(SimpleHTTPRequestHandler):
    agents: list[str] = []  # noqa: RUF012

    def log_message(self, *arguments):
        self.agents.append(self.headers["User-Agent"])


@pytest.fixture
def server(tmp_path):
    """(folder that is served, its URL)."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # pooch leaves the connection of a failed request to the collector


@pytest.fixture
def public_set(monkeypatch, tmp_path, server):
    """A public data set "tiny" without published checksum, in a catalogue of its own; returns the served file."""
    folder, url = server
    vectors = np.arange(20, dtype=np.float32).reshape(10, 2)
    write_ann_hdf5(folder / "tiny.hdf5", vectors, vectors[:3] + 0.1, [[0], [1], [2]], [[0.1], [0.1], [0.1]])
    entry = describe("sift-128-euclidean") | {"n": 10, "width": 2, "n_queries": 3}
    entry["files"] = [{"path": "tiny.hdf5", "url": f"{url}/tiny.hdf5", "sha256": None}]
    monkeypatch.setattr(registry, "_catalogue", lambda: {"tiny": entry})
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))
    return folder / "tiny.hdf5"


@pytest.mark.parametrize("name", dataset_names())
def test_every_entry_is_complete(name):
    entry = describe(name)
    for key in ("title", "kind", "metric", "origin", "licence", "how_to_get", "access", "reader"):
        assert entry[key], key
    assert entry["access"] in ("local", "download", "manual", "synthetic")
    for file in entry["files"]:
        assert file["sha256"] is None or re.fullmatch("[0-9a-f]{64}", file["sha256"])
        assert (entry["access"] == "download") == ("url" in file)
    if entry["access"] == "local":
        assert all(file["sha256"] for file in entry["files"])
    assert ("synthetic" in entry["title"].lower()) == (entry["access"] == "synthetic")


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean english-words.*known: googlenet-grid4096"):
        describe("english-word")


def test_description_is_a_copy():
    describe("dna32")["files"].clear()
    assert describe("dna32")["files"]


def test_published_checksums_are_those_of_the_data_folder(data_dir):
    lines = (data_dir / "SHA256SUMS").read_text().splitlines()
    sums = {path.lstrip("*"): digest for digest, path in (line.split(maxsplit=1) for line in lines)}
    for name in dataset_names():
        for file in describe(name)["files"]:
            if describe(name)["access"] == "local":
                assert file["sha256"] == sums[file["path"]]


def test_data_directory_follows_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path))
    assert data_directory() == tmp_path
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path / "gone"))
    with pytest.raises(MissingDataError, match="METRICSEARCH_DATA=.*gone"):
        data_directory()


def test_missing_local_file_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match="dna32: .*metric/dna32.txt is missing; .*METRICSEARCH_DATA"):
        load_dataset("dna32")
    assert len(verify("dna32")) == 1


def test_changed_local_file_is_refused_and_reported(monkeypatch, tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "dna32.txt").write_text("ACGT\n")
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path))
    with pytest.raises(CorruptedError, match="dna32.txt: sha256 is .* expected 09a1b7ce"):
        load_dataset("dna32")
    (problem,) = verify("dna32")
    assert "expected sha256 09a1b7ce" in problem


def test_manual_set_says_the_steps(monkeypatch, tmp_path):
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match="register at http://disa.fi.muni.cz/profiset/download/"):
        load_dataset("profiset-decaf7", n=10)


def test_first_download_is_recorded_and_later_loads_are_checked(public_set):
    dataset = load_dataset("tiny")
    assert len(dataset.objects) == 10
    assert dataset.neighbors.tolist() == [[0], [1], [2]]
    lock = json.loads((cache_directory() / "sha256.json").read_text())
    assert lock["tiny.hdf5"]["sha256"] == hashlib.sha256(public_set.read_bytes()).hexdigest()
    assert verify("tiny") == []

    public_set.unlink()  # now only the copy counts
    (path,) = fetch("tiny")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CorruptedError, match="recorded at its first download"):
        fetch("tiny")
    assert len(verify("tiny")) == 1


def test_untouched_download_is_not_hashed_again(public_set, monkeypatch):
    fetch("tiny")
    monkeypatch.setattr(registry, "sha256_of", lambda path: pytest.fail("hashed again"))
    fetch("tiny")


def test_server_is_told_who_asks(public_set):
    QuietHandler.agents.clear()
    fetch("tiny")
    assert all(agent.startswith("metricsearch") for agent in QuietHandler.agents)
    assert QuietHandler.agents


def test_error_page_instead_of_data_is_not_kept(public_set):
    public_set.write_text("<html>try later</html>")
    with pytest.raises(CorruptedError, match="not a readable HDF5 file"):
        fetch("tiny")
    assert list(cache_directory().iterdir()) == []


def test_failed_download_names_the_address(public_set):
    public_set.unlink()
    with pytest.raises(MissingDataError, match="cannot download http://127.0.0.1:.*tiny.hdf5") as error:
        fetch("tiny")
    assert "\n" not in str(error.value)


def test_download_without_pooch_names_the_extra(public_set, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "metricsearch\[data\]"'):
        fetch("tiny")


def test_damaged_lock_file_is_named(public_set):
    fetch("tiny")
    (cache_directory() / "sha256.json").write_text("{")
    with pytest.raises(CorruptedError, match="sha256.json: not a readable list"):
        fetch("tiny")


def test_verify_of_a_set_that_was_never_fetched(public_set):
    (problem,) = verify("tiny")
    assert "missing" in problem
    (cache_directory()).mkdir()
    (cache_directory() / "tiny.hdf5").write_bytes(public_set.read_bytes())
    (problem,) = verify("tiny")
    assert "cannot be verified" in problem
