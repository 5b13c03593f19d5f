"""`metricsearch vocab`: from photos to answers; every mistake in one line that changes nothing."""

import json
import os
import shutil

import numpy as np
import pytest

from metricsearch.cli import main
from metricsearch.features import LocalFeature, LocalFeatures, PhotoEntry, write_feature_file
from metricsearch.vocabtree import VocabularyTree

Image = pytest.importorskip("PIL.Image")

SMALL = ["--branching", "4", "--depth", "3", "--cycles", "3"]
N = 5


def texture(seed):
    """An image with some hundred blobs."""
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (15, 20)).astype(np.uint8)
    return Image.fromarray(grey).resize((240, 180), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photos, their features, and a tree that holds them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "photos").mkdir()
    for i in range(N):
        texture(i).save(folder / "photos" / f"{i}.png")
    texture(2).rotate(10).save(folder / "query.png")
    Image.new("L", (200, 200), 128).save(folder / "plain.png")
    whole = (folder / "query.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "note.txt").write_text("no photo")
    for arguments in (
        ["extract", folder / "photos", "--out", folder / "photos.h5"],
        ["extract", folder / "photos", "--out", folder / "root.h5", "--feature", "rootsift"],
        ["extract", folder / "photos", "--out", folder / "colours.h5", "--feature", "hue"],
        ["extract", folder / "photos", "--out", folder / "both.h5", "--feature", "rootsift,hue,sift"],
        ["vocab", "train", folder / "photos.h5", folder / "photos.vt", *SMALL, "--hamming"],
        ["vocab", "train", folder / "photos.h5", folder / "empty.vt", *SMALL],
        ["vocab", "index", folder / "photos.vt", folder / "photos.h5"],
    ):
        with pytest.raises(SystemExit) as info:
            main([str(argument) for argument in arguments])
        assert not info.value.code, arguments
    none = LocalFeatures(np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8), 9, 9)
    for file, name in (("latin.h5", os.fsdecode(b"caf\xe9.jpg")), ("none.h5", "plain")):
        write_feature_file(folder / file, [PhotoEntry(name, "0" * 64, (9, 9))], [(LocalFeature(), [none])])
    with VocabularyTree(4, 2) as tree:
        tree.fit(np.random.default_rng(0).integers(0, 256, (60, 128)).astype(np.uint8))
        tree.save(folder / "unknown.vt")
    with VocabularyTree(4, 2) as tree:
        tree.save(folder / "by_hand.vt", features={"made": "by hand"})
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(made)  # the paths in the feature files are those of `made`
    return tmp_path


def rows(out):
    return [line.split("\t") for line in out.splitlines()]


def test_from_photos_to_answers(run, folder, made):
    status, out, err = run("vocab", "search", folder / "photos.vt", folder / "query.png", "-k", 3)
    found = rows(out)
    assert (status, err) == (0, "")
    assert [row[:2] for row in found] == [["0", "1"], ["0", "2"], ["0", "3"]]
    assert (found[0][2], found[0][4]) == ("2", str(made / "photos" / "2.png"))
    scores = [float(row[3]) for row in found]
    assert scores == sorted(scores)
    assert 0 < scores[0] < 2


@pytest.mark.parametrize(
    "options",
    [
        ["--norm", "l2", "--levels", "2"],
        ["--soft", "3"],
        ["--no-entropy-query", "--no-entropy-database"],
        ["--frequency", "word", "--relative-to", "parent"],
        ["--list-frequency", "--levels", "2", "--burstiness", "--drop-unseen"],
        ["--stop-most", "5", "--stop-least", "5", "--max-list-length", "5"],
        ["--hamming-threshold", "22"],
    ],
)
def test_every_scoring_option_finds_the_photo_again(run, folder, options):
    with VocabularyTree.open(folder / "photos.vt") as tree:
        tree.remove([4])  # so that not every word is in every image
    status, out, err = run("vocab", "search", folder / "photos.vt", folder / "photos" / "2.png", *options)
    assert (status, err) == (0, "")
    assert rows(out)[0][2] == "2"


def test_photos_are_numbered_in_their_order_and_may_come_from_a_feature_file(run, folder, made):
    photos = [folder / "photos" / f"{i}.png" for i in (3, 1)]
    status, out, _ = run("vocab", "search", folder / "photos.vt", *photos, "-k", 1)
    assert status == 0
    assert [row[:3] for row in rows(out)] == [["0", "1", "3"], ["1", "1", "1"]]
    images = [argument for i in (3, 1) for argument in ("--image", made / "photos" / f"{i}.png")]
    asked = ["vocab", "search", folder / "photos.vt", "--features-of", folder / "photos.h5", "-k", 1]
    assert run(*asked, *images)[1] == out
    assert [row[2] for row in rows(run(*asked)[1])] == ["0", "1", "2", "3", "4"]


def test_an_image_that_is_not_there_is_said_before_any_answer(run, folder, made):
    asked = ["--features-of", folder / "photos.h5", "--image", made / "photos" / "1.png", "--image", "x.png"]
    status, out, err = run("vocab", "search", folder / "photos.vt", *asked)
    assert (status, out) == (2, "")
    assert "x.png" in err


def test_a_tree_takes_its_own_features_from_a_file_of_several(run, folder):
    asked = ["vocab", "search", folder / "photos.vt", "--features-of"]
    assert run(*asked, folder / "both.h5") == run(*asked, folder / "photos.h5")
    command = ["vocab", "train", folder / "both.h5", folder / "new.vt", *SMALL, "--feature", "rootsift"]
    assert run(*command)[0] == 0
    assert run("vocab", "train", folder / "root.h5", folder / "straight.vt", *SMALL)[0] == 0
    assert same_vocabulary(folder / "new.vt", folder / "straight.vt")
    assert run("vocab", "index", folder / "new.vt", folder / "both.h5")[1].endswith("added 5 images, 5 in all\n")


def test_verification_counts_inliers_and_puts_the_right_image_first(run, folder):
    status, out, err = run(
        "vocab", "search", folder / "photos.vt", folder / "query.png", "--verify", folder / "photos.h5", "-k", 2
    )
    found = rows(out)
    assert (status, err) == (0, "")
    assert len(found) == 2
    assert found[0][2] == "2"
    assert int(found[0][4]) >= 10 > int(found[1][4])


def test_index_adds_what_is_new_and_ids_go_on(run, folder, made):
    assert run("vocab", "index", folder / "photos.vt", folder / "photos.h5")[1].endswith("added 0 images, 5 in all\n")
    assert run("vocab", "remove", folder / "photos.vt", 1, 4)[1].endswith("removed 2 images, 3 left\n")
    status, out, err = run("vocab", "index", folder / "photos.vt", folder / "photos.h5")
    assert (status, err) == (0, "")
    assert out.endswith("added 2 images, 5 in all\n")
    with VocabularyTree.open(folder / "photos.vt", readonly=True) as tree:
        assert tree.image_ids().tolist() == [0, 2, 3, 4, 5]
        assert tree.names([4, 5]) == [str(made / "photos" / f"{i}.png") for i in (1, 4)]


def test_an_image_without_features_is_kept_and_never_found(run, folder):
    status, out, _ = run("vocab", "index", folder / "photos.vt", folder / "none.h5")
    assert status == 0
    assert out.endswith("added 1 images, 6 in all\n")
    _, out, _ = run("vocab", "search", folder / "photos.vt", folder / "photos" / "0.png")
    assert "5" not in [row[2] for row in rows(out)]


def test_empty_answers_are_said_in_words(run, folder):
    for tree, photo, words in (
        ("photos.vt", "plain.png", "no features"),
        ("empty.vt", "query.png", "vocab index"),
    ):
        status, out, err = run("vocab", "search", folder / tree, folder / photo)
        assert (status, out) == (0, "")
        assert words in err
        assert str(folder / photo) in err
        assert err.count("\n") == 1
    run("vocab", "index", folder / "empty.vt", folder / "none.h5")
    status, out, err = run("vocab", "search", folder / "empty.vt", folder / "query.png")
    assert (status, out) == (0, "")
    assert "no image shares" in err


def test_info_tells_what_the_tree_is(run, folder):
    status, out, err = run("vocab", "info", folder / "photos.vt", "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["n_images"] == N
    assert told["parameters"]["branching"] == 4
    assert told["features"]["options"]["kind"] == "sift"
    assert set(told["disk_bytes"]) == {"vocabulary", "hamming", "segments"}
    shown = run("vocab", "info", folder / "photos.vt")[1]
    assert all(line.split()[0] in told for line in shown.splitlines())
    assert len(shown.splitlines()) == len(told)


def test_verify_says_fine_or_what_is_damaged(run, folder):
    assert run("vocab", "verify", folder / "photos.vt") == (0, f"{folder / 'photos.vt'}: fine\n", "")
    file = max((folder / "photos.vt").rglob("*.npy"), key=lambda item: item.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    status, out, err = run("vocab", "verify", folder / "photos.vt")
    assert status == 1
    assert str(file) in out + err
    for arguments in (["info"], ["search", "--features-of", folder / "photos.h5"], ["remove", 1]):
        status, out, err = run("vocab", arguments[0], folder / "photos.vt", *arguments[1:])
        assert (status, out) == (1, "")
        assert err.count("\n") == 1
        assert str(file) in err


def same_vocabulary(one, other):
    with VocabularyTree.open(one, readonly=True) as a, VocabularyTree.open(other, readonly=True) as b:
        arrays = a.vocabulary.to_arrays(), b.vocabulary.to_arrays()
    return all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def test_a_training_that_was_stopped_goes_on(run, folder, monkeypatch):
    fit = VocabularyTree.fit

    def stop(self, descriptors, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(VocabularyTree, "fit", stop)
    command = ["vocab", "train", folder / "photos.h5", folder / "new.vt", *SMALL, "--seed", 3]
    status, _, err = run(*command)
    assert status == 130
    assert "interrupted" in err
    monkeypatch.setattr(VocabularyTree, "fit", fit)
    status, _, err = run("vocab", "index", folder / "new.vt", folder / "photos.h5")
    assert status == 2
    assert "fit" in err
    status, _, err = run(*command[:-1], 4)
    assert status == 2
    assert "begun with seed 3" in err
    assert run(*command)[0] == 0
    assert not (folder / "new.vt" / "checkpoint").exists()
    assert run(*command[:3], folder / "straight.vt", *command[4:])[0] == 0
    assert same_vocabulary(folder / "new.vt", folder / "straight.vt")


def test_a_sample_of_the_descriptors_comes_from_the_seed(run, folder):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        status, _, err = run(
            "vocab", "train", folder / "photos.h5", folder / f"{name}.vt", *SMALL, "--n-descriptors", 90, "--seed", seed
        )
        assert (status, err) == (0, "")
    assert same_vocabulary(folder / "a.vt", folder / "b.vt")
    assert not same_vocabulary(folder / "a.vt", folder / "c.vt")
    assert not same_vocabulary(folder / "a.vt", folder / "empty.vt")


def test_flat_words(run, folder):
    status, out, _ = run("vocab", "train", folder / "photos.h5", folder / "flat.vt", "--flat", 70)
    assert status == 0
    with VocabularyTree.open(folder / "flat.vt", readonly=True) as tree:
        assert (tree.vocabulary.branching, tree.vocabulary.depth) == (70, 1)
    assert "70 words" in out


MISTAKES = {
    "no arguments for train": (["train"], "FEATURES"),
    "no such feature file": (["train", "{new}.h5", "{new}"], "no such file"),
    "no descriptors": (["train", "{none.h5}", "{new}"], "descriptors"),
    "trained already": (["train", "{photos.h5}", "{photos.vt}", *SMALL, "--hamming"], "trained already"),
    "a file in the way": (["train", "{photos.h5}", "{note.txt}"], "note.txt"),
    "a folder in the way": (["train", "{photos.h5}", "{photos}"], "manifest.json"),
    "no such folder": (["train", "{photos.h5}", "{new}/a"], "does not exist"),
    "branching 1": (["train", "{photos.h5}", "{new}", "--branching", "1"], "branching"),
    "too many words": (["train", "{photos.h5}", "{new}", "--branching", "100", "--depth", "9"], "100,000,000"),
    "depth as a word": (["train", "{photos.h5}", "{new}", "--depth", "six"], "--depth"),
    "unknown start": (["train", "{photos.h5}", "{new}", "--start", "best"], "k-means++"),
    "no cycles": (["train", "{photos.h5}", "{new}", "--cycles", "0"], "cycles"),
    "no sample": (["train", "{photos.h5}", "{new}", "--n-descriptors", "0"], "n_descriptors"),
    "flat and branching": (["train", "{photos.h5}", "{new}", "--flat", "9", "--branching", "3"], "--flat"),
    "a feature that is not there": (["train", "{photos.h5}", "{new}", "--feature", "rootsift"], "it has sift"),
    "several features": (["train", "{both.h5}", "{new}"], "rootsift, sift", "say which"),
    "no local feature": (["train", "{colours.h5}", "{new}"], "it has hue"),
    "index into nothing": (["index", "{new}", "{photos.h5}"], "no such vocabulary tree"),
    "index into a folder": (["index", "{photos}", "{photos.h5}"], "not a vocabulary tree"),
    "other features": (["index", "{photos.vt}", "{root.h5}"], "no feature 'sift'; it has rootsift"),
    "a name that is not UTF-8": (["index", "{photos.vt}", "{latin.h5}"], "not UTF-8", "rename"),
    "features that nobody told": (["index", "{unknown.vt}", "{photos.h5}"], "vocab train"),
    "features told in other words": (["index", "{by_hand.vt}", "{photos.h5}"], "vocab train"),
    "no query": (["search", "{photos.vt}"], "PHOTOS"),
    "two kinds of query": (["search", "{photos.vt}", "{query.png}", "--features-of", "{photos.h5}"], "PHOTOS"),
    "an image of no file": (["search", "{photos.vt}", "{query.png}", "--image", "2.png"], "--features-of"),
    "no such image": (["search", "{photos.vt}", "--features-of", "{photos.h5}", "--image", "x.png"], "x.png"),
    "no such photo": (["search", "{photos.vt}", "{new}.png"], "no such file"),
    "a truncated photo": (["search", "{photos.vt}", "{query.png}", "{cut.png}"], "cut.png", "damaged"),
    "no photo": (["search", "{photos.vt}", "{note.txt}"], "note.txt", "not a photo"),
    "photos of unknown features": (["search", "{unknown.vt}", "{query.png}"], "vocab train"),
    "k = 0": (["search", "{photos.vt}", "{query.png}", "-k", "0"], "k: expected"),
    "norm l3": (["search", "{photos.vt}", "{query.png}", "--norm", "l3"], "l1, l2"),
    "too many levels": (["search", "{photos.vt}", "{query.png}", "--levels", "4"], "levels"),
    "no soft words": (["search", "{photos.vt}", "{query.png}", "--soft", "0"], "n_assignments"),
    "stop 200 %": (["search", "{photos.vt}", "{query.png}", "--stop-most", "200"], "stop_most"),
    "no signatures": (["search", "{empty.vt}", "{query.png}", "--hamming-threshold", "20"], "hamming"),
    "verify without a file": (["search", "{photos.vt}", "{query.png}", "--verify", "{new}.h5"], "no such file"),
    "verify other features": (["search", "{photos.vt}", "{query.png}", "--verify", "{root.h5}"], "no feature 'sift'"),
    "verify other photos": (["search", "{photos.vt}", "{query.png}", "--verify", "{none.h5}"], "no image"),
    "verify none": (["search", "{photos.vt}", "{query.png}", "--verify", "{photos.h5}", "--top", "0"], "top"),
    "remove an unknown ID": (["remove", "{photos.vt}", "3", "99"], "99"),
    "remove twice": (["remove", "{photos.vt}", "3", "3"], "2 times"),
    "remove a word": (["remove", "{photos.vt}", "three"], "three"),
    "info of nothing": (["info", "{new}"], "no such vocabulary tree"),
    "verify nothing": (["verify", "{new}"], "no such vocabulary tree"),
}


def snapshot(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2_and_changes_nothing(run, folder, mistake):
    arguments, *words = MISTAKES[mistake]
    names = {"{new}": folder / "new.vt"} | {f"{{{item.name}}}": item for item in folder.iterdir()}
    for name, value in names.items():
        arguments = [argument.replace(name, str(value)) for argument in arguments]
    before = snapshot(folder)
    status, out, err = run("vocab", *arguments)
    assert (status, out) == (2, ""), err
    assert err.startswith("metricsearch: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert snapshot(folder) == before


def test_a_damaged_feature_file_is_one_line_and_status_1(run, folder):
    (folder / "photos.h5").write_bytes((folder / "photos.h5").read_bytes()[:5000])
    before = snapshot(folder)
    for arguments in (
        ["train", folder / "photos.h5", folder / "new.vt"],
        ["index", folder / "photos.vt", folder / "photos.h5"],
        ["search", folder / "photos.vt", folder / "query.png", "--verify", folder / "photos.h5"],
        ["search", folder / "photos.vt", "--features-of", folder / "photos.h5"],
    ):
        status, out, err = run("vocab", *arguments)
        assert (status, out) == (1, "")
        assert err.count("\n") == 1
        assert "photos.h5" in err
        assert snapshot(folder) == before


def test_a_tree_in_use_is_one_line_and_status_1(run, folder):
    with VocabularyTree.open(folder / "photos.vt"):
        for arguments in (["index", folder / "photos.vt", folder / "photos.h5"], ["remove", folder / "photos.vt", 1]):
            status, out, err = run("vocab", *arguments)
            assert (status, out) == (1, "")
            assert err.count("\n") == 1
            assert "in another process" in err
        assert run("vocab", "search", folder / "photos.vt", folder / "query.png")[0] == 0


def test_a_disk_that_is_full_is_one_line_and_status_1(run, folder, monkeypatch):
    from metricsearch import array_folders

    def full(path, array, **options):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(array_folders.np, "save", full)
    before = snapshot(folder)
    for arguments in (["index", folder / "photos.vt", folder / "none.h5"], ["remove", folder / "photos.vt", 1]):
        status, out, err = run("vocab", *arguments)
        assert (status, out) == (1, "")
        assert err.count("\n") == 1
        assert "No space left on device" in err
        assert snapshot(folder) == before
