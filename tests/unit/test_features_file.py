"""The feature file and the job that fills it: the same content whatever happened on the way."""

import json
import os
import threading

import cv2
import h5py
import numpy as np
import pytest
import threadpoolctl
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from oracle.features import noise
from PIL import Image

from metricsearch import files
from metricsearch.cli.main import commands
from metricsearch.errors import (
    CorruptedError,
    FormatVersionError,
    InvalidInputError,
    MissingDataError,
    StorageError,
    UnknownNameError,
)
from metricsearch.features import (
    FeatureFile,
    GlobalFeature,
    LocalFeature,
    LocalFeatureOptions,
    LocalFeatures,
    PhotoEntry,
    extract_local,
    extract_photos,
    extraction,
    feature_writing,
    known_values,
    read_photo,
    write_feature_file,
)

OPTIONS = LocalFeatureOptions(n_features=40)
SIFT = LocalFeature(OPTIONS)


class Brightness(GlobalFeature):
    """Mean and deviation of the colours, and how often they were computed."""

    dimension = 6
    metric = "manhattan"

    def __init__(self, name="brightness", version=1, arrays=None):
        self.name, self.version, self.calls = name, version, 0
        self._arrays = arrays or {}
        self._lock = threading.Lock()

    def extract(self, photo):
        value = self.of(photo.rgb)
        with self._lock:
            self.calls += 1
        return value

    @staticmethod
    def of(rgb):
        return np.concatenate([rgb.mean(axis=(0, 1)), rgb.std(axis=(0, 1))]).astype(np.float32)

    def provenance(self):
        return {"feature": self.name, "version": self.version, "libraries": {"numpy": "2"}}

    def arrays(self):
        return self._arrays


def local(n, rng):
    keypoints = rng.normal(size=(n, 4)).astype(np.float32)
    return LocalFeatures(keypoints, rng.integers(0, 256, (n, 128)).astype(np.uint8), 7, 5)


def entries(n):
    return [PhotoEntry(f"photo-{i}", f"{i:064x}", (7, 5)) for i in range(n)]


def same(a, b):
    return (
        np.array_equal(a.keypoints, b.keypoints)
        and np.array_equal(a.descriptors, b.descriptors)
        and (a.width, a.height) == (b.width, b.height)
    )


def content(path):
    """Everything in an HDF5 file."""
    found = {}

    def take(name, item):
        found[name] = dict(item.attrs), (item.dtype, item[()].tolist()) if isinstance(item, h5py.Dataset) else None

    with h5py.File(path, "r") as file:
        file.visititems(take)
        return dict(file.attrs), found


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


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12), st.integers(1, 40))
def test_what_is_written_is_read(tmp_path_factory, counts, buffered, chunk):
    rng = np.random.default_rng(0)
    photos, values = entries(len(counts)), [local(n, rng) for n in counts]
    vectors = rng.normal(size=(len(counts), 6)).astype(np.float32)
    arrays = {"centres": rng.normal(size=(5, 3)), "n": np.array(7), "none": np.empty((0, 3), np.float32)}
    path = tmp_path_factory.mktemp("written") / "x.h5"
    failures = [("a b.jpg", "damaged"), ("ü\udcff.jpg", "ÿ")][: len(counts)]
    columns = [(SIFT, values), (Brightness(arrays=arrays), vectors), (Brightness("2*a+b:c.d"), vectors[::-1])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_writing, "_BUFFERED_ROWS", buffered)
        patch.setattr(feature_writing, "_CHUNK_BYTES", chunk)
        write_feature_file(path, photos, columns, failures)
    with FeatureFile.open(path) as file:
        assert len(file) == len(counts)
        assert file.names == ("2*a+b:c.d", "brightness", "sift")
        assert file.paths == [photo.path for photo in photos]
        assert file.sha256 == [photo.sha256 for photo in photos]
        assert file.sizes.tolist() == [[7, 5]] * len(counts)
        assert file.failures == failures
        assert file.vectors("brightness").dtype == np.float32
        assert np.array_equal(file.vectors("brightness"), vectors)
        assert np.array_equal(file.vectors("2*a+b:c.d"), vectors[::-1])
        assert file.provenance("brightness") == Brightness().provenance()
        assert file.metric("brightness") == {"name": "manhattan"}
        held = file.trained_arrays("brightness")
        assert {name: (array.dtype, array.tolist()) for name, array in held.items()} == {
            name: (array.dtype, array.tolist()) for name, array in arrays.items()
        }
        assert file.trained_arrays("2*a+b:c.d") == {}
        table = file.local()
        assert table is file.local("sift")
        assert table.options == OPTIONS
        assert table.provenance == file.provenance("sift") == SIFT.provenance()
        assert len(table) == len(counts)
        assert table.starts.tolist() == [0, *np.cumsum(counts).tolist()]
        assert table.descriptors.shape == (sum(counts), 128)
        for i, features in enumerate(values):
            assert same(table.features(i), features)
            assert np.array_equal(table.descriptors_of(i), features.descriptors)


@pytest.mark.parametrize("name", ["path", "trained", "", ".", "..", "a/b", "-a", "a b", "ü"])
def test_a_feature_of_an_impossible_name_is_refused(tmp_path, folder, name):
    with pytest.raises(InvalidInputError, match="expected a name of letters"):
        extract_photos(folder, tmp_path / "x.h5", Brightness(name))
    with pytest.raises(InvalidInputError, match="expected a name of letters"):
        write_feature_file(tmp_path / "x.h5", [], [(Brightness(name), [])])
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("feature", [SIFT, Brightness()])
@pytest.mark.parametrize("n", [0, 2, 4, 5000])
def test_one_value_per_photo(tmp_path, feature, n):
    value = local(0, np.random.default_rng(0)) if feature is SIFT else np.zeros(6, np.float32)
    with pytest.raises(InvalidInputError, match=rf"has {n:,} values for 3 photos"):
        write_feature_file(tmp_path / "x.h5", entries(3), [(feature, [value] * n)])
    assert not list(tmp_path.iterdir())


def test_all_photos_are_in_the_file_in_their_order(folder, tmp_path):
    out = tmp_path / "x.h5"
    report = extract_photos(folder, out, [SIFT, Brightness()])
    with FeatureFile.open(out) as file:
        assert file.paths == [str(folder / f"{number:02}.png") for number in range(40)]
        assert [path for path, _ in file.failures] == [
            str(folder / name) for name in ("half.png", "none.gif", "text.jpg")
        ]
        table = file.local()
        for i, path in enumerate(file.paths):
            assert same(table.features(i), extract_local(read_photo(path), OPTIONS))
            assert np.array_equal(file.vectors("brightness")[i], Brightness.of(read_photo(path, colour=True)))
            assert file.sha256[i] == files.sha256_of(folder / path)
        assert file.sizes.tolist() == [[80, 60]] * 40
        assert len(table.features(7)) == 0
        assert same(table.features(39), table.features(3))
        assert len(table.descriptors) > 1000
        assert report.failures == tuple(file.failures)
    assert (report.n_new, report.n_kept, report.n_dropped, report.n_photos) == (39, 1, 0, 40)
    assert report.seconds > 0
    assert [reason.partition(" (")[0] for _, reason in report.failures] == [
        "damaged photo",
        "not a photo",
        "not a photo",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "x.h5"]


def test_the_content_does_not_depend_on_threads_or_parts(folder, tmp_path, monkeypatch):
    photos = sorted(folder.iterdir())[1::3]
    expected = tmp_path / "one.h5"
    features = [SIFT, Brightness(), Brightness("again")]
    extract_photos(photos, expected, features, n_threads=1)
    for n_threads, n_photos, seconds in ((3, 2, 1e9), (2, 7, 1e9), (1, 10**9, 0.0)):
        monkeypatch.setattr(known_values, "_PART_PHOTOS", n_photos)
        monkeypatch.setattr(known_values, "_PART_SECONDS", seconds)
        monkeypatch.setattr(extraction, "_PHOTOS_AHEAD", 2)
        other = tmp_path / f"{n_threads}.h5"
        extract_photos(photos[2], other, features[1:])
        extract_photos(photos, other, features[::-1], n_threads=n_threads)
        assert content(other) == content(expected)
        assert other.read_bytes() == expected.read_bytes()


def test_one_new_photo_is_the_only_one_looked_at(folder, tmp_path):
    out = tmp_path / "x.h5"
    feature = Brightness()
    extract_photos(folder, out, [SIFT, feature])
    assert feature.calls == 39 or feature.calls == 40, "two are equal, and may be looked at at once"
    Image.fromarray(noise(60, 80, seed=99)).save(folder / "05b.png")
    feature.calls = 0
    report = extract_photos(folder, out, [SIFT, feature])
    assert feature.calls == 1
    assert (report.n_new, report.n_kept, report.n_photos) == (1, 40, 41)
    fresh = tmp_path / "fresh.h5"
    extract_photos(folder, fresh, [SIFT, feature])
    assert content(out) == content(fresh)


def test_equal_photos_that_are_looked_at_at_once_are_one_new_one(folder, tmp_path):
    class Together(Brightness):
        def __init__(self):
            super().__init__()
            self.barrier = threading.Barrier(2, timeout=20)

        def extract(self, photo):
            self.barrier.wait()
            return super().extract(photo)

    feature = Together()
    report = extract_photos([folder / "03.png", folder / "39.png"], tmp_path / "x.h5", feature, n_threads=2)
    assert feature.calls == 2
    assert (report.n_new, report.n_kept, report.n_photos) == (1, 1, 2)


@pytest.mark.parametrize(("most", "seconds", "n_parts"), [(10, 1e9, 4), (1000, 1e9, 1), (1000, 0, 39)])
def test_what_is_finished_is_written_by_number_and_by_time(folder, tmp_path, monkeypatch, most, seconds, n_parts):
    written = []
    real = known_values.write_feature_file

    def counted(path, *arguments, **options):
        written.append(path)
        real(path, *arguments, **options)

    monkeypatch.setattr(known_values, "write_feature_file", counted)
    monkeypatch.setattr(known_values, "_PART_PHOTOS", most)
    monkeypatch.setattr(known_values, "_PART_SECONDS", seconds)
    extract_photos(folder, tmp_path / "x.h5", Brightness(), n_threads=1)
    assert len(written) == n_parts


def test_new_photos_between_old_ones_do_not_open_the_file_again_and_again(folder, tmp_path, monkeypatch):
    for number in range(0, 39, 2):
        (folder / f"{number:02}.png").rename(tmp_path / f"{number:02}.png")
    out = tmp_path / "x.h5"
    extract_photos(folder, out, Brightness())
    for number in range(0, 39, 2):
        (tmp_path / f"{number:02}.png").rename(folder / f"{number:02}.png")
    opened = []
    real = FeatureFile.open

    def counted(path):
        opened.append(path)
        return real(path)

    monkeypatch.setattr(known_values.FeatureFile, "open", counted)
    assert extract_photos(folder, out, Brightness()).n_new == 20
    assert opened.count(out) == 2  # to see what it has, and to copy it


def test_what_cannot_be_read_is_listed_also_beside_a_renamed_photo(folder, tmp_path, monkeypatch):
    out, closed = tmp_path / "x.h5", folder / "closed"
    extract_photos(folder, out, Brightness())
    (folder / "05.png").rename(folder / "renamed.png")
    closed.mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = extract_photos(folder, out, Brightness())
    assert (report.n_photos, report.n_new, report.n_kept) == (40, 0, 40)
    assert report.failures[-1] == (str(closed), "cannot be read (Is a directory)")


def test_one_new_photo_among_2000(tmp_path):
    photos, out, feature = tmp_path / "photos", tmp_path / "x.h5", Brightness()
    photos.mkdir()
    for number in range(2000):
        Image.new("RGB", (2, 3), (number % 256, number // 256, 0)).save(photos / f"{number:04}.bmp")
    assert extract_photos(photos, out, feature).n_new == feature.calls == 2000
    Image.new("RGB", (2, 3), (0, 0, 255)).save(photos / "1000b.bmp")
    report = extract_photos(photos, out, feature)
    assert (report.n_new, report.n_kept, report.n_photos) == (1, 2000, 2001)
    assert feature.calls == 2001
    with FeatureFile.open(out) as file:
        assert file.vectors("brightness")[1001].tolist() == [0, 0, 255, 0, 0, 0]
        assert file.vectors("brightness")[2000].tolist() == [1999 % 256, 1999 // 256, 0, 0, 0, 0]


def test_a_feature_that_is_not_in_the_file_is_added_and_the_others_are_kept(folder, tmp_path):
    out, first, second = tmp_path / "x.h5", Brightness("first"), Brightness("second")
    extract_photos(folder, out, [first])
    Image.fromarray(noise(60, 80, seed=99)).save(folder / "05b.png")
    first.calls = 0
    report = extract_photos(folder, out, [first, SIFT, second], n_threads=1)
    assert (report.n_new, report.n_kept) == (40, 1), "two are equal"
    assert (first.calls, second.calls) == (1, 40)
    extract_photos(folder, tmp_path / "fresh.h5", [SIFT, second, first])
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_a_feature_that_is_in_the_file_must_be_named(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, [SIFT, Brightness()])
    before = out.read_bytes()
    for features in (SIFT, Brightness(), "hue", [SIFT, Brightness("other")]):
        with pytest.raises(InvalidInputError, match=r"x\.h5: it holds brightness, sift, but asked for is .*; name "):
            extract_photos(folder, out, features)
    assert out.read_bytes() == before


def test_what_a_feature_learned_is_kept_beside_its_vectors(folder, tmp_path):
    out = tmp_path / "x.h5"
    learned = {"mean": np.arange(6.0), "name.of/parts": np.eye(3, dtype=np.float32)}
    feature = Brightness(arrays={name.replace("/", "."): value for name, value in learned.items()})
    extract_photos(folder, out, [feature, SIFT])
    with FeatureFile.open(out) as file:
        assert file.names == ("brightness", "sift")
        held = file.trained_arrays("brightness")
        assert sorted(held) == ["mean", "name.of.parts"]
        assert all(np.array_equal(held[name], feature.arrays()[name]) for name in held)
    with h5py.File(out, "r") as stored:
        assert sorted(stored["trained/brightness"]) == ["mean", "name.of.parts"]


@pytest.mark.parametrize(
    "value", [np.zeros(5, np.float32), np.zeros(6), np.full(6, np.nan, np.float32), [0.0] * 6, None]
)
def test_a_feature_that_gives_something_else_is_no_fault_of_the_photos(folder, tmp_path, value):
    feature = Brightness()
    feature.extract = lambda photo: value
    with pytest.raises(InvalidInputError, match=r"00\.png: feature brightness gave .*correct that feature"):
        extract_photos(folder, tmp_path / "x.h5", feature, n_threads=1)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_changed_photo_is_looked_at_again(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, SIFT)
    Image.fromarray(noise(60, 80, seed=99)).save(folder / "05.png")
    report = extract_photos(folder, out, SIFT)
    assert (report.n_new, report.n_kept, report.n_dropped) == (1, 39, 1)
    with FeatureFile.open(out) as file:
        assert same(file.local().features(5), extract_local(noise(60, 80, seed=99), OPTIONS))


def test_nothing_new_leaves_the_file_untouched(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, SIFT)
    before = out.stat()
    report = extract_photos(folder, out, SIFT)
    assert (report.n_new, report.n_kept, len(report.failures)) == (0, 40, 3)
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / "x.h5.parts").exists()


def test_a_renamed_photo_is_kept_and_the_order_follows(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, SIFT)
    (folder / "05.png").rename(folder / "zz.png")
    report = extract_photos(folder, out, SIFT)
    assert (report.n_new, report.n_kept, report.n_dropped) == (0, 40, 0)
    with FeatureFile.open(out) as file:
        assert file.paths[-1] == str(folder / "zz.png")
        assert same(file.local().features(39), extract_local(noise(60, 80, seed=5), OPTIONS))


def test_photos_are_not_dropped_by_mistake(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, SIFT)
    before = out.read_bytes()
    with pytest.raises(InvalidInputError, match=r"38 of its photos are not given now .*--drop-missing"):
        extract_photos(folder / "05.png", out, SIFT)
    assert out.read_bytes() == before
    assert not (tmp_path / "x.h5.parts").exists()
    report = extract_photos(folder / "05.png", out, SIFT, drop_missing=True)
    assert (report.n_new, report.n_kept, report.n_dropped, report.n_photos) == (0, 1, 38, 1), "two were equal"


def test_one_of_two_equal_photos_may_go(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, SIFT)
    (folder / "39.png").unlink()
    report = extract_photos(folder, out, SIFT)
    assert (report.n_new, report.n_kept, report.n_dropped, report.n_photos) == (0, 39, 0, 39)


def test_values_of_other_provenance_do_not_mix(folder, tmp_path):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, [SIFT, Brightness()])
    before = out.read_bytes()
    for features, words in (
        ([LocalFeature(LocalFeatureOptions(n_features=40, max_side=400)), Brightness()], "side: 800 there, 400 here"),
        ([SIFT, Brightness(version=2)], r"brightness was made in another way \(version: 1 there, 2 here\)"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            extract_photos(folder, out, features)
    assert out.read_bytes() == before


def test_a_stop_keeps_what_was_finished(folder, tmp_path, monkeypatch):
    """Also photos that were waiting for their part to be full; other features do not mix with those of a stop."""
    out, fresh = tmp_path / "x.h5", tmp_path / "fresh.h5"
    extract_photos(folder, fresh, [SIFT, Brightness()])

    class Stopping(Brightness):
        def extract(self, photo):
            if self.calls >= 20:
                raise KeyboardInterrupt
            return super().extract(photo)

    monkeypatch.setattr(extraction, "_PHOTOS_AHEAD", 4)
    with pytest.raises(KeyboardInterrupt):
        extract_photos(folder, out, [SIFT, Stopping()], n_threads=2)
    assert not out.exists()
    with pytest.raises(InvalidInputError, match=r"x\.h5\.parts/00000.\.h5: .*made in another way"):
        extract_photos(folder, out, [LocalFeature(), Brightness()])
    with pytest.raises(InvalidInputError, match=r"x\.h5\.parts/00000.\.h5: it holds sift"):
        extract_photos(folder, out, [Brightness()])
    feature = Brightness()
    report = extract_photos(folder, out, [SIFT, feature])
    assert report.n_kept >= 12
    assert report.n_new + report.n_kept == 40
    assert feature.calls == report.n_new
    assert out.read_bytes() == fresh.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh.h5", "photos", "x.h5"]


def test_a_damaged_part_and_half_written_files_do_no_harm(folder, tmp_path):
    parts = tmp_path / "x.h5.parts"
    parts.mkdir()
    (parts / "000003.h5").write_bytes(b"\x89HDF\r\n\x1a\n and then nothing")
    (parts / ".000004.h5.1.2.tmp").write_bytes(b"half")
    (tmp_path / ".x.h5.1.2.tmp").write_bytes(b"half")
    extract_photos(folder, tmp_path / "x.h5", SIFT)
    extract_photos(folder, tmp_path / "fresh.h5", SIFT)
    assert content(tmp_path / "x.h5") == content(tmp_path / "fresh.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh.h5", "photos", "x.h5"]


def test_two_extractions_into_one_file(folder, tmp_path):
    out = tmp_path / "x.h5"

    class Second(Brightness):
        def extract(self, photo):
            if not self.calls:
                with pytest.raises(StorageError, match="another extraction is writing"):
                    extract_photos(folder, out, Brightness())
            return super().extract(photo)

    assert extract_photos(folder, out, Second(), n_threads=1).n_photos == 40


def test_no_more_photos_are_decoded_at_once_than_there_are_threads(folder, tmp_path):
    alive, most = [0], [0]
    lock = threading.Lock()

    class Pixels:
        def __init__(self):
            with lock:
                alive[0] += 1
                most[0] = max(most[0], alive[0])

        def __del__(self):
            with lock:
                alive[0] -= 1

    class Holding(Brightness):
        def extract(self, photo):
            photo.once("pixels", Pixels)
            return super().extract(photo)

    extract_photos(folder, tmp_path / "x.h5", [Holding(), SIFT], n_threads=2)
    assert 1 <= most[0] <= 2
    assert alive[0] == 0


def test_a_failing_disk_leaves_the_old_file(folder, tmp_path, monkeypatch):
    out = tmp_path / "x.h5"
    extract_photos(folder, out, SIFT)
    before = out.read_bytes()
    Image.fromarray(noise(60, 80, seed=99)).save(folder / "05b.png")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        extract_photos(folder, out, SIFT)
    monkeypatch.undo()
    assert out.read_bytes() == before
    assert extract_photos(folder, out, SIFT).n_new == 1


class Threads(Brightness):
    """How many threads OpenCV and matrix products may use while it is at work.

    A BLAS on OpenMP, which other libraries bring along (faiss), has a limit per thread and takes no part in extraction.
    """

    dimension = 2

    @staticmethod
    def of(rgb):
        pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        found = [pool["num_threads"] for pool in pools if pool["threading_layer"] == "pthreads"]
        return np.array([cv2.getNumThreads(), max(found)], np.float32)


def test_libraries_use_one_thread_per_photo_and_get_theirs_back(folder, tmp_path):
    with threadpoolctl.threadpool_limits(2, "blas"):
        before = cv2.getNumThreads(), threadpoolctl.threadpool_info()
        extract_photos(folder, tmp_path / "x.h5", Threads())
        assert (cv2.getNumThreads(), threadpoolctl.threadpool_info()) == before
    with FeatureFile.open(tmp_path / "x.h5") as file:
        assert (file.vectors("brightness")[:] == 1).all()


def test_a_folder_without_a_readable_photo_gives_an_empty_file(tmp_path):
    (tmp_path / "x.jpg").write_text("hello")
    out = tmp_path / "x.h5"
    assert extract_photos(tmp_path / "x.jpg", out, [LocalFeature(), Brightness()]).n_photos == 0
    with FeatureFile.open(out) as file:
        assert len(file) == 0
        assert file.vectors("brightness").shape == (0, 6)
        assert file.local().descriptors.shape == (0, 128)
        assert len(file.failures) == 1
        with pytest.raises(InvalidInputError, match="no photos"):
            file.local().features(0)


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x.h5"
    columns = [
        (SIFT, [local(n, rng) for n in (3, 0, 5000)]),
        (Brightness(arrays={"mean": rng.normal(size=(500, 4))}), rng.normal(size=(3, 6)).astype(np.float32)),
    ]
    write_feature_file(path, entries(3), columns)
    return path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file(written, share):
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CorruptedError, match=r"x\.h5: not a readable feature file"):
        FeatureFile.open(written)


def flip_a_bit(path, needle):
    data = bytearray(path.read_bytes())
    data[data.index(needle) + 5] ^= 4
    path.write_bytes(data)


def test_a_flipped_bit_is_noticed(written):
    with FeatureFile.open(written) as file:
        parts = (file.local().descriptors_of(2)[100], file.vectors("brightness")[1], file.trained_arrays("brightness"))
    for part in (*parts[:2], parts[2]["mean"][30]):
        flip_a_bit(written, part.tobytes())
    with FeatureFile.open(written) as file:
        with pytest.raises(CorruptedError, match="damaged"):
            file.local().features(2)
        with pytest.raises(CorruptedError, match="damaged"):
            file.trained_arrays("brightness")
        with pytest.raises(CorruptedError, match="damaged"), file.reading():
            file.vectors("brightness")[:]


def test_a_flipped_bit_in_what_is_read_at_once_is_noticed(written):
    with FeatureFile.open(written) as file:
        needle = file.local().starts.tobytes()
    flip_a_bit(written, needle)
    with pytest.raises(CorruptedError, match=r"x\.h5: not a readable feature file"):
        FeatureFile.open(written)


@pytest.mark.parametrize(
    "what",
    ["sift/starts", "path", "sift/keypoints", "sift/descriptors", "size", "sha256", "failed_path", "brightness"],
)
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
        values = json.loads(file["sift"].attrs["provenance"])
        values["options"]["colour"] = 1
        file["sift"].attrs["provenance"] = json.dumps(values)
    with pytest.raises(FormatVersionError, match="another program version"):
        FeatureFile.open(written)
    with h5py.File(written, "r+") as file:
        file.attrs["version"] = 3
    with pytest.raises(FormatVersionError, match="version 3.*extract the photos again"):
        FeatureFile.open(written)
    with h5py.File(written, "r+") as file:
        file.attrs["format"] = "metricsearch-local-features"
        file.attrs["version"] = 1
    with pytest.raises(FormatVersionError, match="version 1.*extract the photos again"):
        FeatureFile.open(written)
    with h5py.File(written, "r+") as file:
        file.attrs["format"] = "something"
    with pytest.raises(InvalidInputError, match="not a file of features"):
        FeatureFile.open(written)


@pytest.mark.parametrize("value", [None, "{half"])
def test_a_feature_whose_provenance_cannot_be_read(written, value):
    with h5py.File(written, "r+") as file:
        name = next(name for name in file if "metric" in file[name].attrs)
        del file[name].attrs["provenance"]
        if value is not None:
            file[name].attrs["provenance"] = value
    with FeatureFile.open(written) as file, pytest.raises(CorruptedError, match=f"{name} has no readable provenance"):
        file.provenance(name)


def test_wrong_names_and_numbers_and_a_closed_file(written, tmp_path):
    file = FeatureFile.open(written)
    for ask in (file.provenance, file.metric, file.vectors, file.trained_arrays, file.local, file.is_local):
        with pytest.raises(UnknownNameError, match=r"x\.h5: it has no feature 'hsv'; it has brightness, sift"):
            ask("hsv")
    for ask in (file.metric, file.vectors, file.trained_arrays):
        with pytest.raises(InvalidInputError, match="one vector per photo"):
            ask("sift")
    with pytest.raises(InvalidInputError, match="expected a local feature"):
        file.local("brightness")
    for number in (-1, 3, 1.0, "0"):
        with pytest.raises(InvalidInputError, match=r"photo: expected a whole number in 0\.\.2"):
            file.local().features(number)
    table = file.local()
    file.close()
    for read in (lambda: table.features(0), lambda: file.provenance("sift"), lambda: file.trained_arrays("brightness")):
        with pytest.raises(InvalidInputError, match="closed"):
            read()


def test_the_only_local_feature_needs_no_name(tmp_path):
    none = [local(0, np.random.default_rng(0))]
    kinds = [LocalFeature(LocalFeatureOptions(kind=kind)) for kind in ("sift", "rootsift")]
    write_feature_file(tmp_path / "two.h5", entries(1), [(kind, none) for kind in kinds])
    write_feature_file(tmp_path / "no.h5", entries(1), [(Brightness(), [np.zeros(6, np.float32)])])
    with FeatureFile.open(tmp_path / "two.h5") as file:
        assert file.local("rootsift").options.kind == "rootsift"
        with pytest.raises(InvalidInputError, match="it has rootsift, sift; say which"):
            file.local()
    with FeatureFile.open(tmp_path / "no.h5") as file, pytest.raises(InvalidInputError, match="it has brightness"):
        file.local()


def test_the_old_content_of_a_foreign_file_is_safe(folder, tmp_path):
    other = tmp_path / "notes.h5"
    other.write_text("my notes")
    with pytest.raises(CorruptedError, match=r"notes\.h5"):
        extract_photos(folder, other, SIFT)
    assert other.read_text() == "my notes"
    assert not (tmp_path / "notes.h5.parts").exists()


@pytest.mark.parametrize("out", ["nowhere/x.h5", "photos", ".", "", "..", "/"])
def test_a_place_that_cannot_be(folder, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError):
        extract_photos(folder, out, SIFT)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_the_command_reports_new_kept_and_failed(folder, tmp_path):
    arguments = [str(folder), "--feature", "rootsift,hue", "--out", str(tmp_path / "x.h5"), "--n-features", "30"]
    first = CliRunner().invoke(commands, ["extract", *arguments], standalone_mode=False)
    assert first.return_value == 0
    lines = first.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines[:-1]] == [
        str(folder / name) for name in ("half.png", "none.gif", "text.jpg")
    ]
    assert lines[-1].startswith("39 new, 1 kept, 3 not readable in ")
    assert first.stdout.startswith(f"{tmp_path / 'x.h5'}: 40 photos; hue (32 dimensions), rootsift (1,")
    second = CliRunner().invoke(commands, ["extract", *arguments], standalone_mode=False)
    assert second.stderr.splitlines()[-1].startswith("0 new, 40 kept, 3 not readable in ")
    with FeatureFile.open(tmp_path / "x.h5") as file:
        assert file.local().options == LocalFeatureOptions(kind="rootsift", n_features=30)


def test_the_command_fails_where_no_photo_can_be_read(folder, tmp_path):
    arguments = [str(folder / "text.jpg"), "--out", str(tmp_path / "x.h5"), "--max-side", "0"]
    assert CliRunner().invoke(commands, ["extract", *arguments], standalone_mode=False).return_value == 1
    with FeatureFile.open(tmp_path / "x.h5") as file:
        assert file.local().options.max_side is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--feature", "hsvv"], "did you mean hsv"),
        (["--feature", "hsv,hue,hsv"], "hsv is given 2 times"),
        (["--feature", "hsv,"], "expected a name"),
        (["--feature", "hue", "--max-side", "400"], "--max-side: for local features"),
        (["--max-side", "8"], "max_side"),
    ],
)
def test_a_mistake_in_the_command_is_said_before_anything_is_made(folder, tmp_path, arguments, words):
    result = CliRunner().invoke(commands, ["extract", str(folder), "--out", str(tmp_path / "x.h5"), *arguments])
    assert result.exit_code != 0
    assert words in result.stderr + str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
