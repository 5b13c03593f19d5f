"""The feature file and the job that fills it: the same content whatever happened on the way."""

import json
import threading

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from oracle.features import noise
from PIL import Image

from metricsearch import files
from metricsearch.cli.extract import extract
from metricsearch.errors import (
    CorruptedError,
    FormatVersionError,
    InvalidInputError,
    MissingDataError,
    StorageError,
)
from metricsearch.features import (
    FeatureFile,
    LocalFeatureOptions,
    LocalFeatures,
    PhotoFeatures,
    extract_local,
    extract_photos,
    extraction,
    feature_file,
    read_photo,
    write_feature_file,
)

OPTIONS = LocalFeatureOptions(n_features=40)


def made_photo(number, n, rng):
    keypoints = rng.normal(size=(n, 4)).astype(np.float32)
    descriptors = rng.integers(0, 256, (n, 128)).astype(np.uint8)
    return PhotoFeatures(f"photo-{number}", f"{number:064x}", LocalFeatures(keypoints, descriptors, 7 + number, 5))


def same(a, b):
    return (
        np.array_equal(a.keypoints, b.keypoints)
        and np.array_equal(a.descriptors, b.descriptors)
        and (a.width, a.height) == (b.width, b.height)
    )


def content(path):
    """Everything in an HDF5 file."""
    with h5py.File(path, "r") as file:
        return dict(file.attrs), {name: (file[name].dtype, file[name][:].tolist()) for name in file}


@pytest.fixture
def folder(tmp_path):
    """40 photos; two are equal, one is plain, three cannot be read."""
    path = tmp_path / "photos"
    path.mkdir()
    for number in range(40):
        pixels = np.full((60, 80), 50, np.uint8) if number == 7 else noise(60, 80, seed=number)
        Image.fromarray(pixels).save(path / f"{number:02}.png")
    (path / "39.png").write_bytes((path / "03.png").read_bytes())
    (path / "text.jpg").write_text("hello")
    (path / "half.png").write_bytes((path / "04.png").read_bytes()[:900])
    (path / "none.gif").write_bytes(b"")
    return path


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_what_is_written_is_read(tmp_path_factory, counts, buffered):
    rng = np.random.default_rng(0)
    photos = [made_photo(number, n, rng) for number, n in enumerate(counts)]
    path = tmp_path_factory.mktemp("written") / "x.h5"
    failures = [("a b.jpg", "damaged"), ("ü\udcff.jpg", "ÿ")][: len(counts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_file, "_BUFFERED_ROWS", buffered)
        write_feature_file(path, iter(photos), OPTIONS, "opencv 4", failures)
    with FeatureFile.open(path) as file:
        assert len(file) == len(counts)
        assert file.paths == [photo.path for photo in photos]
        assert file.sha256 == [photo.sha256 for photo in photos]
        assert file.failures == failures
        assert file.options == OPTIONS
        assert file.extractor == "opencv 4"
        assert file.starts.tolist() == [0, *np.cumsum(counts).tolist()]
        assert file.descriptors.shape == (sum(counts), 128)
        assert file.descriptors.dtype == np.uint8
        for i, photo in enumerate(photos):
            assert same(file.features(i), photo.features)
            assert np.array_equal(file.descriptors_of(i), photo.features.descriptors)
        for read, photo in zip(file.photos(), photos, strict=True):
            assert read[:2] == photo[:2]
            assert same(read.features, photo.features)


def test_all_photos_are_in_the_file_in_their_order(folder, tmp_path):
    out = tmp_path / "x.h5"
    report = extract_photos(folder, out, OPTIONS)
    with FeatureFile.open(out) as file:
        assert file.paths == [str(folder / f"{number:02}.png") for number in range(40)]
        assert [path for path, _ in file.failures] == [
            str(folder / name) for name in ("half.png", "none.gif", "text.jpg")
        ]
        for i, path in enumerate(file.paths):
            assert same(file.features(i), extract_local(read_photo(path), OPTIONS))
            assert file.sha256[i] == files.sha256_of(folder / path)
        assert len(file.features(7)) == 0
        assert same(file.features(39), file.features(3))
        assert report.n_descriptors == len(file.descriptors) == file.starts[-1] > 1000
        assert report.failures == tuple(file.failures)
    assert (report.n_new, report.n_kept, report.n_dropped, report.n_photos) == (39, 1, 0, 40)
    assert [reason.partition(" (")[0] for _, reason in report.failures] == [
        "damaged photo",
        "not a photo",
        "not a photo",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "x.h5"]


def test_the_content_does_not_depend_on_threads_or_parts(folder, tmp_path, monkeypatch):
    expected = tmp_path / "one.h5"
    extract_photos(folder, expected, OPTIONS, n_threads=1)
    for n_threads, n_photos, seconds in ((3, 1, 1e9), (2, 7, 1e9), (1, 10**9, 0.0)):
        monkeypatch.setattr(extraction, "_PART_PHOTOS", n_photos)
        monkeypatch.setattr(extraction, "_PART_SECONDS", seconds)
        monkeypatch.setattr(extraction, "_GROUP_PER_THREAD", 2)
        other = tmp_path / f"{n_threads}.h5"
        extract_photos(folder, other, OPTIONS, n_threads=n_threads)
        assert content(other) == content(expected)
        assert other.read_bytes() == expected.read_bytes()


def test_one_new_photo_is_the_only_one_looked_at(folder, tmp_path, monkeypatch):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    Image.fromarray(noise(60, 80, seed=99)).save(folder / "05b.png")
    looked_at = []
    original = extraction.extract_local
    monkeypatch.setattr(
        extraction, "extract_local", lambda image, options: looked_at.append(1) or original(image, options)
    )
    report = extract_photos(folder, out, OPTIONS)
    assert len(looked_at) == 1
    assert (report.n_new, report.n_kept, report.n_photos) == (1, 40, 41)
    fresh = tmp_path / "fresh.h5"
    extract_photos(folder, fresh, OPTIONS)
    assert content(out) == content(fresh)


def test_a_changed_photo_is_looked_at_again(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    Image.fromarray(noise(60, 80, seed=99)).save(folder / "05.png")
    report = extract_photos(folder, out, OPTIONS)
    assert (report.n_new, report.n_kept, report.n_dropped) == (1, 39, 1)
    with FeatureFile.open(out) as file:
        assert same(file.features(5), extract_local(noise(60, 80, seed=99), OPTIONS))


def test_nothing_new_leaves_the_file_untouched(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    before = out.stat()
    report = extract_photos(folder, out, OPTIONS)
    assert (report.n_new, report.n_kept, len(report.failures)) == (0, 40, 3)
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / "x.h5.parts").exists()


def test_a_renamed_photo_is_kept_and_the_order_follows(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    (folder / "05.png").rename(folder / "zz.png")
    report = extract_photos(folder, out, OPTIONS)
    assert (report.n_new, report.n_kept, report.n_dropped) == (0, 40, 0)
    with FeatureFile.open(out) as file:
        assert file.paths[-1] == str(folder / "zz.png")
        assert same(file.features(39), extract_local(noise(60, 80, seed=5), OPTIONS))


def test_photos_are_not_dropped_by_mistake(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    before = out.read_bytes()
    with pytest.raises(InvalidInputError, match=r"38 of its photos are not given now .*--drop-missing"):
        extract_photos(folder / "05.png", out, OPTIONS)
    assert out.read_bytes() == before
    assert not (tmp_path / "x.h5.parts").exists()
    report = extract_photos(folder / "05.png", out, OPTIONS, drop_missing=True)
    assert (report.n_new, report.n_kept, report.n_dropped, report.n_photos) == (0, 1, 38, 1), "two were equal"


def test_one_of_two_equal_photos_may_go(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    (folder / "39.png").unlink()
    report = extract_photos(folder, out, OPTIONS)
    assert (report.n_new, report.n_kept, report.n_dropped, report.n_photos) == (0, 39, 0, 39)


def test_other_options_do_not_mix(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    before = out.read_bytes()
    with pytest.raises(InvalidInputError, match=r"max_side 800 there, 400 now"):
        extract_photos(folder, out, LocalFeatureOptions(n_features=40, max_side=400))
    assert out.read_bytes() == before


def test_a_stop_keeps_what_was_finished(folder, tmp_path, monkeypatch):
    """Also photos that were waiting for their part to be full; the other options of a stopped run do not mix."""
    out, fresh = tmp_path / "x.h5", tmp_path / "fresh.h5"
    extract_photos(folder, fresh, OPTIONS)
    original, count, lock = extraction.extract_local, [0], threading.Lock()

    def stopping(image, options):
        with lock:
            count[0] += 1
        if count[0] > 20:
            raise KeyboardInterrupt
        return original(image, options)

    monkeypatch.setattr(extraction, "_GROUP_PER_THREAD", 4)
    monkeypatch.setattr(extraction, "extract_local", stopping)
    with pytest.raises(KeyboardInterrupt):
        extract_photos(folder, out, OPTIONS, n_threads=2)
    assert not out.exists()
    monkeypatch.setattr(extraction, "extract_local", original)
    with pytest.raises(InvalidInputError, match=r"x\.h5\.parts/000001\.h5: made with other options"):
        extract_photos(folder, out, LocalFeatureOptions())
    report = extract_photos(folder, out, OPTIONS)
    assert report.n_kept >= 16
    assert report.n_new + report.n_kept == 40
    assert content(out) == content(fresh)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh.h5", "photos", "x.h5"]


def test_a_damaged_part_and_half_written_files_do_no_harm(folder, tmp_path):
    parts = tmp_path / "x.h5.parts"
    parts.mkdir()
    (parts / "000003.h5").write_bytes(b"\x89HDF\r\n\x1a\n and then nothing")
    (parts / ".000004.h5.1.2.tmp").write_bytes(b"half")
    (tmp_path / ".x.h5.1.2.tmp").write_bytes(b"half")
    extract_photos(folder, tmp_path / "x.h5", OPTIONS)
    extract_photos(folder, tmp_path / "fresh.h5", OPTIONS)
    assert content(tmp_path / "x.h5") == content(tmp_path / "fresh.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh.h5", "photos", "x.h5"]


def test_two_extractions_into_one_file(folder, tmp_path, monkeypatch):
    original = extraction.extract_local
    seen = []

    def second(image, options):
        if not seen:
            seen.append(1)
            with pytest.raises(StorageError, match="another extraction is writing"):
                extract_photos(folder, tmp_path / "x.h5", OPTIONS)
        return original(image, options)

    monkeypatch.setattr(extraction, "extract_local", second)
    assert extract_photos(folder, tmp_path / "x.h5", OPTIONS, n_threads=1).n_photos == 40


def test_a_failing_disk_leaves_the_old_file(folder, tmp_path, monkeypatch):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, OPTIONS)
    before = out.read_bytes()
    Image.fromarray(noise(60, 80, seed=99)).save(folder / "05b.png")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        extract_photos(folder, out, OPTIONS)
    monkeypatch.undo()
    assert out.read_bytes() == before
    assert extract_photos(folder, out, OPTIONS).n_new == 1


def test_opencv_keeps_its_threads(folder, tmp_path):
    before = cv2.getNumThreads()
    extract_photos(folder, tmp_path / "x.h5", OPTIONS)
    assert cv2.getNumThreads() == before


def test_a_folder_without_a_readable_photo_gives_an_empty_file(tmp_path):
    (tmp_path / "x.jpg").write_text("hello")
    out = tmp_path / "x.h5"
    assert extract_photos(tmp_path / "x.jpg", out).n_photos == 0
    with FeatureFile.open(out) as file:
        assert len(file) == 0
        assert file.descriptors.shape == (0, 128)
        assert len(file.failures) == 1
        with pytest.raises(InvalidInputError, match="no photos"):
            file.features(0)


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x.h5"
    write_feature_file(path, [made_photo(i, n, rng) for i, n in enumerate((3, 0, 5000))], OPTIONS, "opencv 4")
    return path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file(written, share):
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CorruptedError, match=r"x\.h5: not a readable feature file"):
        FeatureFile.open(written)


def test_a_flipped_bit_in_a_descriptor_is_noticed(written):
    with FeatureFile.open(written) as file:
        needle = file.descriptors_of(2)[100].tobytes()
    data = bytearray(written.read_bytes())
    data[data.index(needle) + 5] ^= 4
    written.write_bytes(data)
    with FeatureFile.open(written) as file, pytest.raises(CorruptedError, match="damaged"):
        file.features(2)


@pytest.mark.parametrize("what", ["starts", "path", "keypoints", "descriptors", "size", "sha256", "failed_path"])
def test_parts_that_do_not_fit(written, what):
    with h5py.File(written, "r+") as file:
        values = file[what][:]
        del file[what]
        file[what] = values[:-1] if len(values) else np.array(["x"], dtype=h5py.string_dtype())
    with pytest.raises(CorruptedError, match=r"x\.h5: not a readable feature file"):
        FeatureFile.open(written)


def test_other_files_and_versions(written, tmp_path):
    with pytest.raises(MissingDataError, match="metricsearch extract"):
        FeatureFile.open(tmp_path / "nothing.h5")
    with pytest.raises(InvalidInputError, match="a folder"):
        FeatureFile.open(tmp_path)
    with h5py.File(written, "r+") as file:
        values = json.loads(file.attrs["options"])
        file.attrs["options"] = json.dumps(values | {"colour": 1})
    with pytest.raises(FormatVersionError, match="another program version"):
        FeatureFile.open(written)
    with h5py.File(written, "r+") as file:
        file.attrs["version"] = 2
    with pytest.raises(FormatVersionError, match="version 2"):
        FeatureFile.open(written)
    with h5py.File(written, "r+") as file:
        file.attrs["format"] = "something"
    with pytest.raises(InvalidInputError, match="not a file of local features"):
        FeatureFile.open(written)


def test_wrong_numbers_and_a_closed_file(written):
    file = FeatureFile.open(written)
    for number in (-1, 3, 1.0, "0"):
        with pytest.raises(InvalidInputError, match=r"photo: expected a whole number in 0\.\.2"):
            file.features(number)
    file.close()
    with pytest.raises(InvalidInputError, match="closed"):
        file.features(0)


def test_the_old_content_of_a_foreign_file_is_safe(folder, tmp_path):
    other = tmp_path / "notes.h5"
    other.write_text("my notes")
    with pytest.raises(CorruptedError, match=r"notes\.h5"):
        extract_photos(folder, other, OPTIONS)
    assert other.read_text() == "my notes"
    assert not (tmp_path / "notes.h5.parts").exists()


@pytest.mark.parametrize("out", ["nowhere/x.h5", "photos"])
def test_a_place_that_cannot_be(folder, tmp_path, out):
    with pytest.raises(InvalidInputError):
        extract_photos(folder, tmp_path / out, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_the_command_reports_new_kept_and_failed(folder, tmp_path):
    arguments = [str(folder), "--feature", "rootsift", "--out", str(tmp_path / "x.h5"), "--n-features", "30"]
    first = CliRunner().invoke(extract, arguments, standalone_mode=False)
    assert first.return_value == 0
    lines = first.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines[:-1]] == [
        str(folder / name) for name in ("half.png", "none.gif", "text.jpg")
    ]
    assert lines[-1] == "39 new, 1 kept, 3 not readable"
    assert first.stdout.startswith(f"{tmp_path / 'x.h5'}: 40 photos, ")
    second = CliRunner().invoke(extract, arguments, standalone_mode=False)
    assert second.stderr.splitlines()[-1] == "0 new, 40 kept, 3 not readable"
    with FeatureFile.open(tmp_path / "x.h5") as file:
        assert file.options == LocalFeatureOptions(kind="rootsift", n_features=30)


def test_the_command_fails_where_no_photo_can_be_read(folder, tmp_path):
    arguments = [str(folder / "text.jpg"), "--out", str(tmp_path / "x.h5"), "--max-side", "0"]
    assert CliRunner().invoke(extract, arguments, standalone_mode=False).return_value == 1
    with FeatureFile.open(tmp_path / "x.h5") as file:
        assert file.options.max_side is None
