import json
import mmap
import socket
import sys
from pathlib import Path

import pytest

from metricsearch.experiment import provenance as module
from metricsearch.experiment.provenance import commit, peak_memory_bytes, provenance
from metricsearch.store.page_cache import drop_from_page_cache, resident_share

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the page cache is that of Linux")


def test_provenance_names_versions_and_machine_but_no_host_person_or_path():
    found = provenance()
    assert {"numpy", "numba", "h5py"} <= set(found["packages"])
    assert found["cores"] >= 1
    values = json.dumps(found)
    assert socket.gethostname() not in values
    assert str(Path.home()) not in values


def test_code_outside_a_checkout_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_PACKAGE_FOLDER", tmp_path)
    assert commit() == {"commit": None, "dirty": None}


def test_peak_memory_is_more_than_the_interpreter_and_counts_bytes():
    assert peak_memory_bytes() > 10 << 20


@linux_only
def test_a_mapped_file_leaves_the_page_cache_and_can_still_be_read(tmp_path):
    path = tmp_path / "file"
    content = bytes(range(256)) * (4 << 12)
    path.write_bytes(content)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as mapped:
        assert mapped[:] == content
        assert resident_share(path) == 1.0
        drop_from_page_cache(path)
        assert resident_share(path) < 0.1
        assert mapped[:] == content


@linux_only
def test_an_empty_file_is_nowhere_resident(tmp_path):
    path = tmp_path / "file"
    path.touch()
    drop_from_page_cache(path)
    assert resident_share(path) == 0.0
