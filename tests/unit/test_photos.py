"""Photo collections: what is found and in which order, updates, interruptions, and every mistake in one line."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsearch.collection import Collection
from metricsearch.errors import (
    CorruptedError,
    EmptyIndexError,
    ExistsError,
    FormatVersionError,
    InvalidInputError,
    MetricSearchError,
    MissingDataError,
    MissingIndexError,
    OutdatedIndexError,
    StorageError,
    UnknownIdError,
    UnknownNameError,
)
from metricsearch.features import FeatureFile, extract_photos
from metricsearch.features.aggregated import train_whitening
from metricsearch.features.feature import LocalFeature
from metricsearch.features.names import get_feature
from metricsearch.features.photo import Photo
from metricsearch.features.trained import save_feature
from metricsearch.photos import PhotoCollection, draw_contact_sheet, indexing, is_photo_collection
from metricsearch.photos.features import LOCAL
from metricsearch.photos.searching import N_VERIFIED, VERIFICATION
from metricsearch.photos.sizes import index_for, n_candidates, vocabulary_depth
from metricsearch.photos.table import PhotoTable, photo_id
from metricsearch.spaces import get_metric
from metricsearch.verification import verify
from metricsearch.vocabtree import VocabularyTree

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("cv2")

N = 8
FEATURE = "hsv"


def texture(seed, size=(200, 150)):
    """A photo with some hundred blobs in colours of its own."""
    rng = np.random.default_rng(seed)
    blobs = rng.integers(0, 256, (15, 20, 3)) * rng.uniform(0.3, 1, 3)
    return Image.fromarray(blobs.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def index(path, photos, **options):
    return PhotoCollection.create_or_update(path, photos, **{"feature": FEATURE, "n_threads": 2} | options)


def answers(path, queries, k=100):
    with PhotoCollection.open(path) as collection:
        return [collection.search(query, k) for query in queries]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """photos/, query.png (part of 3.png, turned), other.png, and photos.ms made of photos/."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "photos").mkdir()
    for i in range(N):
        texture(i).save(folder / "photos" / f"{i}.png")
    Image.new("RGB", (60, 40), "red").save(folder / "photos" / "plain.png")
    texture(3).rotate(20).crop((30, 20, 170, 130)).save(folder / "query.png")
    texture(100).save(folder / "other.png")
    index(folder / "photos.ms", folder / "photos")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy that a test may change; its photos.ms knows the photos of `made`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


# ---------------------------------------------------------------------- searching


def test_the_photo_itself_comes_first_then_the_same_object_then_similar_ones(made):
    (hits,) = answers(made / "photos.ms", [made / "photos" / "3.png"])
    assert (hits[0].kind, hits[0].path, hits[0].distance) == ("same photo", str(made / "photos" / "3.png"), 0.0)
    assert [hit.kind for hit in hits[1:]] == ["similar"] * N
    assert [hit.distance for hit in hits[1:]] == sorted(hit.distance for hit in hits[1:])
    assert [hit.rank for hit in hits] == list(range(1, N + 2))


def test_the_photo_itself_is_found_among_others_of_the_same_pixels(tmp_path):
    (tmp_path / "photos").mkdir()
    for level in range(6):
        texture(1).save(tmp_path / "photos" / f"{level}.png", compress_level=level)
    index(tmp_path / "photos.ms", tmp_path / "photos", words=False)
    photos = sorted((tmp_path / "photos").iterdir())
    assert [(hit.kind, hit.path, hit.distance) for (hit,) in answers(tmp_path / "photos.ms", photos, k=1)] == [
        ("same photo", str(photo), 0.0) for photo in photos
    ]


def test_an_altered_part_of_a_photo_finds_it_as_the_same_object(made):
    (hits,) = answers(made / "photos.ms", [made / "query.png"], k=3)
    assert len(hits) == 3
    assert (hits[0].kind, hits[0].path) == ("same object", str(made / "photos" / "3.png"))
    assert hits[0].n_inliers >= VERIFICATION.min_inliers
    assert hits[0].distance > 0
    assert [(hit.kind, hit.n_inliers) for hit in hits[1:]] == [("similar", 0)] * 2


def test_a_much_larger_copy_is_the_same_object(made, tmp_path):
    with Image.open(made / "photos" / "3.png") as image:
        image.resize((20 * image.width, 20 * image.height)).save(tmp_path / "large.jpg")
    (hits,) = answers(made / "photos.ms", [tmp_path / "large.jpg"], k=2)
    assert [(hit.kind, os.path.basename(hit.path)) for hit in hits[:1]] == [("same object", "3.png")]
    assert hits[1].kind == "similar"


def test_nothing_is_the_same_object_for_an_unrelated_photo(made):
    (hits,) = answers(made / "photos.ms", [made / "other.png"])
    assert {hit.kind for hit in hits} == {"similar"}
    assert len(hits) == N + 1


def naive_answer(folder, query):
    """Oracle: every photo verified and measured by itself; (path, kind, inliers, distance), best first."""
    feature, local = get_feature(FEATURE), LocalFeature(LOCAL)
    metric, photo = get_metric(feature.metric), Photo.read(query)
    rows = []
    for path in sorted((folder / "photos").iterdir()):
        other = Photo.read(path)
        pair = metric.check(np.stack([feature.extract(photo), feature.extract(other)]))
        distance = metric.distances(pair[:1], pair[1:])[0]
        n_inliers = verify(local.extract(photo), local.extract(other), VERIFICATION).n_inliers
        kind = "same photo" if photo.sha256 == other.sha256 else "same object" if n_inliers else "similar"
        rows.append((str(path), kind, n_inliers, distance))
    order = {"same photo": 0, "same object": 1, "similar": 2}
    return sorted(rows, key=lambda row: (order[row[1]], -row[2], row[3]))


@pytest.mark.parametrize("query", ["photos/3.png", "query.png", "other.png", "photos/plain.png"])
def test_answers_are_those_of_comparing_with_every_photo(made, query):
    (hits,) = answers(made / "photos.ms", [made / query])
    expected = naive_answer(made, made / query)
    assert [(hit.path, hit.kind, hit.n_inliers) for hit in hits] == [row[:3] for row in expected]
    np.testing.assert_allclose([hit.distance for hit in hits], [row[3] for row in expected], rtol=1e-6, atol=1e-7)


def test_the_tree_finds_the_same_object_among_more_photos_than_are_verified(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(N_VERIFIED + 10):
        texture(i, (120, 90)).save(tmp_path / "photos" / f"{i:02}.png")
    index(tmp_path / "p.ms", tmp_path / "photos")
    texture(7, (120, 90)).rotate(90, expand=True).save(tmp_path / "turned.png")
    (hits,) = answers(tmp_path / "p.ms", [tmp_path / "turned.png"], k=2)
    assert (hits[0].kind, hits[0].path) == ("same object", str(tmp_path / "photos" / "07.png"))
    assert hits[1].kind == "similar"


def test_equal_photos_are_one_hit_with_several_paths(folder):
    for name in ("a.png", "b.png"):
        shutil.copy(folder / "photos" / "5.png", folder / "photos" / name)
    report = index(folder / "new.ms", folder / "photos")
    assert (report.extraction.n_photos, report.n_objects) == (N + 3, N + 1)
    (hits,) = answers(folder / "new.ms", [folder / "photos" / "5.png"])
    assert len(hits) == N + 1
    assert [os.path.basename(path) for path in (hits[0].path, *hits[0].other_paths)] == ["5.png", "a.png", "b.png"]
    assert all(hit.other_paths == () for hit in hits[1:])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_photos_are_enough(folder, n):
    photos = [folder / "photos" / f"{i}.png" for i in range(n)]
    index(folder / "few.ms", photos)
    own, turned = answers(folder / "few.ms", [photos[0], texture_file(folder, texture(0).rotate(15))])
    assert len(own) == len(turned) == n
    assert own[0].kind == "same photo"
    assert (turned[0].kind, turned[0].path) == ("same object", str(photos[0]))


def texture_file(folder, image):
    image.save(folder / "changed.png")
    return folder / "changed.png"


def test_photos_without_any_local_feature_are_found_by_distance(tmp_path):
    colours = ["red", "green", "blue", "#fe0000"]
    photos = [tmp_path / f"{i}.png" for i in range(4)]
    for path, colour in zip(photos, colours, strict=True):
        Image.new("RGB", (40, 30), colour).save(path)
    index(tmp_path / "plain.ms", photos)
    own, structured = answers(tmp_path / "plain.ms", [photos[0], texture_file(tmp_path, texture(0))])
    assert own[0].kind == "same photo"
    assert own[1].path == str(photos[3])
    assert {hit.kind for hit in structured} == {"similar"}
    with PhotoCollection.open(tmp_path / "plain.ms") as collection:
        assert collection.info()["words"]["vocabulary"] == 0
        assert collection.verify() == []
    index(tmp_path / "plain.ms", [*photos, texture_file(tmp_path, texture(0))])  # now there is something to train from
    (hits,) = answers(tmp_path / "plain.ms", [tmp_path / "changed.png"])
    assert hits[0].n_inliers > 50


def test_photos_of_which_a_feature_sees_nothing_are_like_no_other(folder):
    for i in range(9):  # their HOG is zeros
        Image.new("RGB", (40 + i, 30), "white").save(folder / "photos" / f"plain{i}.png")
    index(folder / "hog.ms", folder / "photos", feature="hog", words=False)
    [hits, plain] = answers(folder / "hog.ms", [folder / "query.png", folder / "photos" / "plain3.png"], k=5)
    assert [hit.kind for hit in hits] == ["similar"] * 5
    assert not [hit.path for hit in hits if "plain" in hit.path]
    assert [(hit.kind, os.path.basename(hit.path)) for hit in plain] == [("same photo", "plain3.png")]
    [everything] = answers(folder / "hog.ms", [folder / "query.png"], k=100)
    assert len(everything) == N


def test_a_collection_without_words_has_similar_photos_only(folder):
    index(folder / "n.ms", folder / "photos", words=False)
    (hits,) = answers(folder / "n.ms", [folder / "query.png"])
    assert {hit.kind for hit in hits} == {"similar"}
    assert sorted(path.name for path in (folder / "n.ms").iterdir()) == [
        "descriptors.ms",
        "lock",
        "photos.h5",
        "photos.json",
    ]
    with FeatureFile.open(folder / "n.ms" / "photos.h5") as file:
        assert file.names == (FEATURE,)


def test_a_photo_object_may_be_searched_with(made):
    (expected,) = answers(made / "photos.ms", [made / "query.png"])
    (found,) = answers(made / "photos.ms", [Photo.read(made / "query.png")])
    assert found == expected


def test_threads_get_the_same_answers(made):
    queries = [made / "query.png", made / "other.png", made / "photos" / "1.png"] * 3
    with PhotoCollection.open(made / "photos.ms") as collection, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(collection.search, queries))
    assert found == answers(made / "photos.ms", queries, k=10)


def test_the_default_feature_needs_no_download(folder, monkeypatch):
    monkeypatch.setattr("metricsearch.features.cnn.is_at_hand", lambda name: False)
    PhotoCollection.create_or_update(folder / "d.ms", folder / "photos")
    with PhotoCollection.open(folder / "d.ms") as collection:
        assert collection.info()["feature"]["name"] == "classic"
        assert collection.search(folder / "query.png")[0].path == str(folder / "photos" / "3.png")


def test_a_trained_feature_goes_with_the_collection(folder):
    extract_photos(folder / "photos", folder / "train.h5", FEATURE)
    with FeatureFile.open(folder / "train.h5") as file:
        save_feature(folder / "white.feature", train_whitening(file, get_feature(FEATURE), 4, name="white"))
    index(folder / "w.ms", folder / "photos", feature=str(folder / "white.feature"))
    (expected,) = answers(folder / "w.ms", [folder / "query.png"])
    os.unlink(folder / "white.feature")
    assert answers(folder / "w.ms", [folder / "query.png"]) == [expected]
    texture(50).save(folder / "photos" / "new.png")
    assert index(folder / "w.ms", folder / "photos", feature=None).extraction.n_new == 1
    with PhotoCollection.open(folder / "w.ms") as collection:
        assert collection.info()["feature"] == {"name": "white", "dimension": 4, "metric": {"name": "euclidean"}}


# ---------------------------------------------------------------------- bringing up to date


def snapshot(path):
    """Time of change and size of every file."""
    return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in path.rglob("*") if file.is_file()}


def test_a_trained_feature_in_a_sum_is_found_from_any_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    extract_photos("photos", "train.h5", "hue")
    with FeatureFile.open("train.h5") as file:
        save_feature("white.feature", train_whitening(file, get_feature("hue"), 4))
    index("p.ms", "photos", feature="2*white.feature+hsv", words=False)
    monkeypatch.chdir("/")
    index(folder / "p.ms", folder / "photos", feature=None)
    (hits,) = answers(folder / "p.ms", [folder / "photos" / "3.png"])
    assert (hits[0].kind, hits[0].distance) == ("same photo", 0.0)


def test_nothing_new_changes_nothing(made, folder):
    before = {name: value for name, value in snapshot(folder / "photos.ms").items() if not name.endswith("lock")}
    report = index(folder / "photos.ms", made / "photos", feature=None)
    assert (report.extraction.n_new, report.extraction.n_kept) == (0, N + 1)
    assert {name: value for name, value in snapshot(folder / "photos.ms").items() if name in before} == before


def test_new_changed_and_missing_photos_are_brought_up_to_date(folder):
    photos = folder / "photos"
    index(folder / "p.ms", photos)
    texture(50).save(photos / "new.png")
    texture(51).save(photos / "2.png")
    (photos / "6.png").unlink()
    with pytest.raises(InvalidInputError, match="6.png"):
        index(folder / "p.ms", photos)
    assert len(answers(folder / "p.ms", [folder / "query.png"])[0]) == N + 1  # as before
    report = index(folder / "p.ms", photos, drop_missing=True)
    assert (report.extraction.n_new, report.n_objects) == (2, N + 1)
    index(folder / "anew.ms", photos)
    queries = [folder / "query.png", folder / "other.png", *sorted(photos.iterdir())]
    assert answers(folder / "p.ms", queries) == answers(folder / "anew.ms", queries)
    with PhotoCollection.open(folder / "p.ms") as collection:
        assert collection.verify() == []


def test_a_renamed_photo_keeps_what_was_computed(folder):
    photos = folder / "photos"
    index(folder / "p.ms", photos)
    (photos / "4.png").rename(photos / "renamed.png")
    report = index(folder / "p.ms", photos)
    assert report.extraction.n_new == 0
    (hits,) = answers(folder / "p.ms", [photos / "renamed.png"], k=1)
    assert hits[0].path == str(photos / "renamed.png")


def test_photos_are_found_again_from_any_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    index("p.ms", "photos")
    monkeypatch.chdir(folder / "photos")
    report = index("../p.ms", ".")
    assert (report.extraction.n_new, report.extraction.n_kept) == (0, N + 1)
    (hits,) = answers("../p.ms", ["3.png"], k=1)
    assert hits[0].path == str(folder / "photos" / "3.png")


def test_a_vocabulary_is_trained_anew_when_the_photos_outgrow_it(folder, monkeypatch):
    photos = [folder / "photos" / f"{i}.png" for i in range(N)]
    depths = []
    for n in (1, N):
        monkeypatch.setattr("metricsearch.photos.parts.vocabulary_depth", lambda m, n=n: 1 if n == 1 else 2)
        index(folder / "p.ms", photos[:n])
        with VocabularyTree.open(folder / "p.ms" / "words.vt", readonly=True) as tree:
            depths.append(tree.depth)
            assert len(tree) == n
    monkeypatch.undo()
    index(folder / "p.ms", photos[:2], drop_missing=True)
    with VocabularyTree.open(folder / "p.ms" / "words.vt", readonly=True) as tree:
        depths.append(tree.depth)  # large enough is kept
    assert depths == [1, 2, 2]


def test_unreadable_photos_are_listed(folder):
    (folder / "photos" / "text.jpg").write_text("no photo")
    report = index(folder / "p.ms", folder / "photos")
    assert [os.path.basename(path) for path, _ in report.extraction.failures] == ["text.jpg"]
    with PhotoCollection.open(folder / "p.ms") as collection:
        assert collection.failures == list(report.extraction.failures)
        assert collection.info()["n_unreadable"] == 1


def test_no_readable_photo_makes_an_empty_collection_that_can_be_filled(tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    report = index(tmp_path / "p.ms", tmp_path / "text.jpg")
    assert (report.extraction.n_photos, report.n_objects) == (0, 0)
    with PhotoCollection.open(tmp_path / "p.ms") as collection, pytest.raises(EmptyIndexError, match="no photos"):
        collection.search(texture_file(tmp_path, texture(0)))
    index(tmp_path / "p.ms", tmp_path / "changed.png")
    assert answers(tmp_path / "p.ms", [tmp_path / "changed.png"])[0][0].kind == "same photo"


# ---------------------------------------------------------------------- interruptions


def stop(*arguments, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["extract_photos", "PhotoTable", "update_descriptors", "update_words"])
def test_an_interrupted_indexing_is_completed_by_the_same_command(folder, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(indexing, step, stop)
        with pytest.raises(KeyboardInterrupt):
            index(folder / "p.ms", folder / "photos")
    assert is_photo_collection(folder / "p.ms")
    with PhotoCollection.open(folder / "p.ms") as collection:
        assert collection.info()["state"] == "unfinished"
        assert "metricsearch index" in collection.verify()[0]
        with pytest.raises(
            MissingIndexError, match="not finished, or still goes on; complete it with: metricsearch index"
        ):
            collection.search(folder / "query.png")
    index(folder / "p.ms", folder / "photos")
    index(folder / "anew.ms", folder / "photos")
    assert answers(folder / "p.ms", [folder / "query.png"]) == answers(folder / "anew.ms", [folder / "query.png"])


def test_an_interrupted_update_is_not_searched_with_parts_of_different_states(folder, monkeypatch):
    index(folder / "p.ms", folder / "photos")
    texture(50).save(folder / "photos" / "new.png")
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "update_words", stop)
        with pytest.raises(KeyboardInterrupt):
            index(folder / "p.ms", folder / "photos")
    with PhotoCollection.open(folder / "p.ms") as collection, pytest.raises(MissingIndexError, match="not finished"):
        collection.search(folder / "query.png")
    index(folder / "p.ms", folder / "photos")
    (hits,) = answers(folder / "p.ms", [folder / "photos" / "new.png"])
    assert (hits[0].kind, len(hits)) == ("same photo", N + 2)
    assert hits[0].n_inliers > 50


def test_parts_that_were_being_made_or_deleted_are_made_again(folder):
    photos = folder / "photos"
    index(folder / "p.ms", photos)
    for part in ("descriptors.ms", "words.vt"):
        (folder / "p.ms" / part / "manifest.json").unlink()
    texture(50).save(photos / "new.png")
    index(folder / "p.ms", photos)
    with PhotoCollection.open(folder / "p.ms") as collection:
        assert collection.verify() == []
        assert collection.search(folder / "query.png")[0].path == str(photos / "3.png")


@pytest.mark.parametrize("part", ["descriptors.ms", "words.vt"])
def test_half_a_part_is_told_and_made_again_though_no_photo_is_new(folder, made, part):
    (folder / "photos.ms" / part / "manifest.json").unlink()
    with PhotoCollection.open(folder / "photos.ms") as collection:
        assert collection.info()["state"] == "unfinished"
        (problem,) = collection.verify()
        assert f"it lacks {part}" in problem
        with pytest.raises(MissingIndexError, match="complete it with: metricsearch index"):
            collection.search(made / "query.png")
    index(folder / "photos.ms", made / "photos")
    assert answers(folder / "photos.ms", [made / "query.png"]) == answers(made / "photos.ms", [made / "query.png"])


def test_parts_of_values_made_in_another_way_are_made_anew(folder, made, monkeypatch):
    (folder / "photos.ms" / "photos.h5").unlink()
    for kind in (type(get_feature(FEATURE)), LocalFeature):
        provenance = kind.provenance
        monkeypatch.setattr(kind, "provenance", lambda self, old=provenance: old(self) | {"version": "other"})
    hsv = type(get_feature(FEATURE))
    extract = hsv.extract
    monkeypatch.setattr(hsv, "extract", lambda self, photo: extract(self, photo) / 2)
    index(folder / "photos.ms", made / "photos")
    index(folder / "anew.ms", made / "photos")
    assert answers(folder / "photos.ms", [made / "query.png"]) == answers(folder / "anew.ms", [made / "query.png"])
    with VocabularyTree.open(folder / "photos.ms" / "words.vt", readonly=True) as tree:
        assert tree.info()["features"]["version"] == "other"


def test_a_part_that_was_deleted_is_made_again(folder, made):
    for part in ("descriptors.ms", "words.vt"):
        shutil.rmtree(folder / "photos.ms" / part)
        index(folder / "photos.ms", made / "photos")
        with PhotoCollection.open(folder / "photos.ms") as collection:
            assert collection.verify() == []
    assert answers(folder / "photos.ms", [made / "query.png"]) == answers(made / "photos.ms", [made / "query.png"])


def test_a_collection_that_has_changed_meanwhile_is_to_be_opened_again(folder):
    index(folder / "p.ms", folder / "photos")
    with PhotoCollection.open(folder / "p.ms") as collection:
        collection.search(folder / "query.png")
        texture(3).rotate(20).save(folder / "photos" / "new.png")  # nearest to the query
        code = "import sys; from metricsearch.photos import PhotoCollection as P; P.create_or_update(*sys.argv[1:])"
        subprocess.run([sys.executable, "-c", code, folder / "p.ms", folder / "photos"], check=True)
        with pytest.raises(OutdatedIndexError, match=r"p\.ms: another process has changed it; open it again"):
            collection.search(folder / "query.png")
    assert len(answers(folder / "p.ms", [folder / "query.png"])[0]) == N + 2


# ---------------------------------------------------------------------- damage and mistakes


@pytest.mark.parametrize("part", ["photos.h5", "descriptors.ms/objects.mdb", "words.vt/segments"])
def test_verify_finds_a_changed_byte(folder, part):
    path = folder / "photos.ms" / part
    if path.is_dir():
        path = max((file for file in path.rglob("*.npy")), key=lambda file: file.stat().st_size)
    data = bytearray(path.read_bytes())
    with PhotoCollection.open(folder / "photos.ms") as collection:
        assert collection.verify() == []
    place = len(data) // 2
    if part == "photos.h5":  # in a chunk that has a checksum
        with FeatureFile.open(path) as file:
            place = file.local(LOCAL.kind).descriptors.id.get_chunk_info(0).byte_offset + 99
    for i in range(place, min(place + 4096 * (part != "photos.h5") + 1, len(data))):
        data[i] ^= 0x55
    path.write_bytes(data)
    try:
        with PhotoCollection.open(folder / "photos.ms") as collection:
            problems = collection.verify()
    except CorruptedError as error:
        problems = [str(error)]
    assert len(problems) >= 1
    assert all(str(folder) in problem and "\n" not in problem for problem in problems)


def test_verify_finds_parts_with_other_photos(folder):
    with Collection.open(folder / "photos.ms" / "descriptors.ms") as collection:
        collection.remove(collection.ids()[:1])
        collection.build_index(index_for(N, collection.metric, 1))
    with VocabularyTree.open(folder / "photos.ms" / "words.vt") as tree:
        tree.remove(tree.image_ids()[:1])
    with PhotoCollection.open(folder / "photos.ms") as collection:
        first, second = collection.verify()
    assert "descriptors.ms: holds other photos" in first
    assert "words.vt: holds other photos" in second


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"feature": "hsw"}, UnknownNameError, "hsv"),
        ({"feature": "sift"}, InvalidInputError, "one vector per photo"),
        ({"photos": "nowhere"}, MissingDataError, "nowhere"),
        ({"photos": []}, InvalidInputError, "none"),
        ({"n_threads": 0}, InvalidInputError, "n_threads"),
    ],
)
def test_a_mistake_makes_nothing(made, tmp_path, options, error, text):
    with pytest.raises(error, match=text):
        index(tmp_path / "p.ms", **{"photos": made / "photos"} | options)
    assert list(tmp_path.iterdir()) == []


def test_a_collection_does_not_take_the_place_of_anything_else(made, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    (tmp_path / "file.jpg").write_bytes(b"x")
    for name in ("folder", "file.jpg"):
        with pytest.raises(ExistsError, match="the last argument is where the collection goes"):
            index(tmp_path / name, made / "photos")
    with pytest.raises(InvalidInputError, match="does not exist; create it first"):
        index(tmp_path / "no" / "p.ms", made / "photos")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "file.jpg",
        "folder",
        "folder/thesis.txt",
    ]
    (tmp_path / "empty").mkdir()
    index(tmp_path / "empty", made / "photos")
    assert is_photo_collection(tmp_path / "empty")


def test_a_collection_keeps_what_it_was_made_with(folder, made):
    before = snapshot(folder / "photos.ms")
    for options, text in (
        ({"feature": "lbp"}, "was made with feature hsv, not lbp"),
        ({"words": False}, "was made with words, not without"),
    ):
        with pytest.raises(InvalidInputError, match=text):
            index(folder / "photos.ms", made / "photos", **options)
    assert snapshot(folder / "photos.ms") == before


def test_one_process_indexes_at_a_time(folder, made):
    with (
        indexing._working_folder(folder / "photos.ms"),
        pytest.raises(StorageError, match="another process is indexing photos there"),
    ):
        index(folder / "photos.ms", made / "photos")


def test_mistakes_of_a_search_are_named(made, folder):
    (folder / "text.jpg").write_text("no photo")
    with PhotoCollection.open(made / "photos.ms") as collection:
        with pytest.raises(MissingDataError, match=r"nowhere\.jpg"):
            collection.search(folder / "nowhere.jpg")
        with pytest.raises(InvalidInputError, match=r"text\.jpg: not a photo"):
            collection.search(folder / "text.jpg")
        with pytest.raises(InvalidInputError, match="k: expected"):
            collection.search(made / "query.png", k=0)
    with pytest.raises(InvalidInputError, match="closed"):
        collection.search(made / "query.png")
    with pytest.raises(MissingDataError, match="metricsearch index"):
        PhotoCollection.open(folder / "photos")
    assert not is_photo_collection(folder / "photos")


def test_a_damaged_manifest_is_told(folder):
    path = folder / "photos.ms" / "photos.json"
    text = path.read_text()
    path.write_text(text.replace('"hsv"', '"lbp"'))
    with pytest.raises(CorruptedError, match=r"photos\.json"):
        PhotoCollection.open(folder / "photos.ms")
    path.write_text(text.replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(FormatVersionError, match="99"):
        PhotoCollection.open(folder / "photos.ms")


def test_a_feature_that_computes_something_else_now_is_refused(folder, monkeypatch):
    kind = type(get_feature(FEATURE))
    provenance = kind.provenance
    monkeypatch.setattr(kind, "provenance", lambda self: provenance(self) | {"bins": "other"})
    with PhotoCollection.open(folder / "photos.ms") as collection, pytest.raises(InvalidInputError, match="bins"):
        collection.search(folder / "query.png")


# ---------------------------------------------------------------------- IDs and sizes


class FakeFile(SimpleNamespace):
    def __len__(self):
        return len(self.paths)


def fake_file(numbers, same_start=False):
    sha256 = [f"{number:064x}" if same_start else f"{number:08x}" + "0" * 56 for number in numbers]
    return FakeFile(path="x.h5", paths=[f"{i}.jpg" for i in range(len(numbers))], sha256=sha256)


@given(st.lists(st.integers(0, 5).map(lambda n: n * 1000), max_size=12))
def test_photos_by_id_are_those_with_their_content(numbers):
    file = fake_file(numbers)
    table = PhotoTable(file)
    by_id = {}
    for path, sha256 in zip(file.paths, file.sha256, strict=True):
        by_id.setdefault(int(sha256[:16], 16) >> 1, []).append(path)
    assert table.ids.tolist() == sorted(by_id)
    assert table.ids.dtype == np.int64
    for image_id, paths in by_id.items():
        assert list(table.paths(image_id)) == paths
        assert file.paths[table.row(image_id)] == paths[0]
    assert table.rows(table.ids).tolist() == [table.row(image_id) for image_id in table.ids]
    with pytest.raises(UnknownIdError, match="no photo with ID 7"):
        table.paths(7)


def test_ids_are_63_bits_of_the_sha256():
    assert photo_id("f" * 64) == 2**63 - 1
    assert photo_id("0" * 15 + "3" + "f" * 48) == 1


def test_different_photos_of_one_id_are_refused():
    with pytest.raises(InvalidInputError, match=r"1\.jpg, 2\.jpg: two different photos"):
        PhotoTable(fake_file([1, 1, 2], same_start=True))
    assert len(PhotoTable(fake_file([1, 1], same_start=True))) == 1


@given(st.integers(1, 3000))
def test_an_index_never_needs_more_pivots_than_there_are_photos(n):
    sized = index_for(n, "euclidean", 1)
    assert sized.n_spaces * sized.n_pivots <= n
    assert 1 <= sized.prefix_length <= sized.n_pivots
    assert n_candidates(n, 10) == n


def test_sizes_grow_with_the_photos():
    assert [index_for(n, "euclidean", 1).n_pivots for n in (1, 100, 10**4, 10**6)] == [1, 10, 100, 512]
    assert [vocabulary_depth(n) for n in (0, 11, 500, 10**4, 3 * 10**5, 10**8, 10**9)] == [1, 1, 1, 3, 4, 6, 6]
    assert n_candidates(10**6, 10) == 10**4
    assert n_candidates(10**6, 10**5) == 10**5


# ---------------------------------------------------------------------- contact sheets


def colours(image, box):
    return {pixel for _, pixel in image.crop(box).getcolors(1 << 20)}


def test_a_contact_sheet_shows_the_query_and_frames_that_tell_the_kinds(made, tmp_path):
    ((hits),) = answers(made / "photos.ms", [made / "query.png"], k=7)
    draw_contact_sheet(made / "query.png", hits, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        found = colours(image.convert("RGB"), (0, 0, *image.size))
        assert (0x2E, 0x7D, 0x32) in found  # the same object
        assert (0x9E, 0x9E, 0x9E) in found  # similar
        assert (0x15, 0x65, 0xC0) not in found  # no photo of the same bytes
        query = Image.open(made / "query.png").convert("RGB")
        assert image.width > 340 + 5 * 220
        assert len(colours(image.convert("RGB"), (0, 60, 380, 400)) & colours(query, (0, 0, *query.size))) > 50


@pytest.mark.parametrize("n", [0, 1, 6, 1000])
def test_a_contact_sheet_has_room_for_any_number_of_hits(made, tmp_path, n):
    ((hits),) = answers(made / "photos.ms", [made / "query.png"], k=7)
    draw_contact_sheet(made / "query.png", (hits * 200)[:n], tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as image:
        assert image.format == "JPEG"
        assert image.height < 65_536


def test_a_photo_that_is_gone_keeps_its_place_on_the_sheet(folder):
    index(folder / "p.ms", folder / "photos")
    (hits,) = answers(folder / "p.ms", [folder / "query.png"], k=3)
    draw_contact_sheet(folder / "query.png", hits, folder / "before.png")
    os.unlink(hits[1].path)
    draw_contact_sheet(folder / "query.png", hits, folder / "after.png")
    with Image.open(folder / "before.png") as before, Image.open(folder / "after.png") as after:
        assert before.size == after.size
        assert (0xEC, 0xEC, 0xEC) in colours(after, (0, 0, *after.size))


def test_a_hit_gives_its_photo_unless_the_file_has_changed(folder):
    index(folder / "p.ms", folder / "photos")
    (hit,) = answers(folder / "p.ms", [folder / "query.png"], k=1)[0]
    assert hit.photo().sha256 == hit.sha256
    texture(50).save(hit.path)
    with pytest.raises(InvalidInputError, match=r"3\.png: changed since it was indexed"):
        hit.photo()
    draw_contact_sheet(folder / "query.png", [hit], folder / "sheet.png")
    with Image.open(folder / "sheet.png") as sheet:
        tile = sheet.convert("RGB").crop((410, 70, 600, 150))  # grey, and no line of the reason yet
        assert len(tile.getcolors()) == 1
    os.unlink(hit.path)
    with pytest.raises(MissingDataError):
        hit.photo()


def test_a_contact_sheet_overwrites_contact_sheets_only(folder):
    draw_contact_sheet(folder / "query.png", [], folder / "sheet.jpg")
    draw_contact_sheet(folder / "query.png", [], folder / "sheet.jpg")
    before = (folder / "photos" / "1.png").read_bytes()
    (folder / "notes.jpg").write_text("x")
    for name in ("photos/1.png", "notes.jpg"):
        with pytest.raises(ExistsError, match="no contact sheet"):
            draw_contact_sheet(folder / "query.png", [], folder / name)
    assert (folder / "photos" / "1.png").read_bytes() == before
    for name, text in (("sheet.txt", r"\.jpg"), ("no/sheet.jpg", "no folder")):
        with pytest.raises(MetricSearchError, match=text):
            draw_contact_sheet(folder / "query.png", [], folder / name)
