"""Folders of arrays: written whole or not at all; every cut or flipped byte is found and named."""

import numpy as np
import pytest

from metricsearch import array_folders
from metricsearch.array_folders import checksum_problems, delete_other_folders, map_array_folder, write_array_folder
from metricsearch.errors import CorruptedError, StorageError

ARRAYS = {
    "ids": np.arange(7, dtype=np.int64),
    "postings": np.arange(200, dtype=np.uint8),
    "centres": np.arange(12, dtype=np.float32).reshape(3, 4),
    "empty": np.empty((0, 5), dtype=np.uint16),
}


@pytest.fixture
def written(tmp_path):
    return tmp_path / "part" / "000001", write_array_folder(tmp_path / "part" / "000001", ARRAYS)


def test_rows_are_written_one_after_the_other_whatever_the_order_in_memory(tmp_path):
    files = write_array_folder(tmp_path / "part", {"centres": np.asfortranarray(ARRAYS["centres"])})
    assert np.array_equal(map_array_folder(tmp_path / "part", files)["centres"], ARRAYS["centres"])


def test_what_was_written_is_read_back_as_plain_read_only_arrays(written):
    arrays = map_array_folder(*written)
    assert list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert type(array) is np.ndarray
        assert not array.flags.writeable
        assert array.dtype == ARRAYS[name].dtype
        assert np.array_equal(array, ARRAYS[name])
    assert checksum_problems(written[0], {name: file.sha256 for name, file in written[1].items()}, "file") == []


def test_only_the_folder_itself_is_left_and_an_older_one_of_its_name_is_replaced(written, tmp_path):
    write_array_folder(written[0], {"ids": ARRAYS["ids"]})
    assert [path.name for path in (tmp_path / "part").iterdir()] == ["000001"]
    assert [path.name for path in written[0].iterdir()] == ["ids.npy"]


def test_every_cut_is_found_without_reading_the_file_whole(written):
    folder, files = written
    for name in files:
        whole = (folder / name).read_bytes()
        for size in (0, 1, 60, 127, 128, len(whole) - 1):
            if size < len(whole):
                (folder / name).write_bytes(whole[:size])
                with pytest.raises(CorruptedError, match=f"{name}: file has {size} bytes"):
                    map_array_folder(folder, files, files)
        (folder / name).write_bytes(whole + b"x")
        with pytest.raises(CorruptedError, match=name):
            map_array_folder(folder, files, files)
        (folder / name).unlink()
        with pytest.raises(CorruptedError, match=f"{name}: the file is missing"):
            map_array_folder(folder, files, files)
        (folder / name).write_bytes(whole)
    map_array_folder(folder, files)


def test_a_flipped_byte_of_a_header_never_changes_an_array_and_one_of_the_content_is_found_by_checksums(written):
    folder, files = written
    checksums = {name: file.sha256 for name, file in files.items()}
    for name in files:
        whole = (folder / name).read_bytes()
        for at in range(0, len(whole), 7):
            (folder / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert checksum_problems(folder, checksums, "part") == [
                f"{folder / name}: part is damaged (its sha256 is not the one in the manifest)"
            ]
            with pytest.raises(CorruptedError, match=name):
                map_array_folder(folder, files)
            if at < 128:
                array = map_array_folder(folder, files, files)[name.removesuffix(".npy")]
                assert np.array_equal(array, ARRAYS[name.removesuffix(".npy")])
        (folder / name).write_bytes(whole)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    save = array_folders.np.save

    def full(path, array, **options):
        save(path, array, **options)
        if path.name == "centres.npy":
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(array_folders.np, "save", full)
    with pytest.raises(StorageError, match=r"centres.npy: No space left on device"):
        write_array_folder(tmp_path / "part" / "000001", ARRAYS)
    assert list((tmp_path / "part").iterdir()) == []


def test_only_other_folders_are_deleted(written, tmp_path):
    parent = tmp_path / "part"
    (parent / "000002").mkdir()
    (parent / "000003.tmp").mkdir()
    (parent / "note.txt").write_text("kept")
    (tmp_path / "elsewhere").mkdir()
    (parent / "link").symlink_to(tmp_path / "elsewhere")
    delete_other_folders(parent, {"000001"})
    assert sorted(path.name for path in parent.iterdir()) == ["000001", "link", "note.txt"]
    delete_other_folders(tmp_path / "missing", set())
