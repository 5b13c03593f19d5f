"""`metricsearch features`: what there is, training, and every mistake in one line that changes nothing."""

import numpy as np
import pytest

from metricsearch.cli import main
from metricsearch.cli.features import features
from metricsearch.features import FeatureFile
from metricsearch.features.aggregated import AGGREGATIONS

Image = pytest.importorskip("PIL.Image")

N = 8


def texture(seed):
    """A colour image with some hundred blobs."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (15, 20, 3)).astype(np.uint8)
    return Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photos, and a file of their features."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "photos").mkdir()
    for i in range(N):
        texture(i).save(folder / "photos" / f"{i}.png")
    with pytest.raises(SystemExit) as info:
        main(["extract", str(folder / "photos"), "--feature", "rootsift,sift,hsv", "--out", str(folder / "train.h5")])
    assert not info.value.code
    return folder


def test_the_list_names_every_feature_with_its_dimension_and_metric(run):
    status, out, err = run("features", "list")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert rows["name"][:3] == ["name", "dimension", "metric"]
    assert rows["hsv"][1:3] == ["512", "manhattan"]
    assert rows["classic"][2] == "weighted"
    assert rows["rootsift"][1] == "any"
    assert {"sift", "hog", "PATH"} <= set(rows)


def test_from_photos_to_vectors_of_a_trained_feature(run, made, tmp_path):
    options = ["--kind", "vlad-intra", "--local", "rootsift", "--words", 8, "--pca", 16, "--whiten", 4]
    path = tmp_path / "vlad8.feature"
    status, out, err = run("features", "train", path, "--from", made / "train.h5", *options)
    assert (status, err) == (0, "")
    assert out == f"{path}: vlad8, 4 numbers per photo, trained on 8 photos\n"
    status, _, _ = run("extract", made / "photos", "--feature", path, "--out", tmp_path / "photos.h5")
    assert status == 0
    with FeatureFile.open(tmp_path / "photos.h5") as file:
        assert file.names == ("vlad8",)
        assert file.vectors("vlad8").shape == (N, 4)
        assert np.linalg.norm(file.vectors("vlad8")[:], axis=1) == pytest.approx(np.ones(N))
    again = ["features", "whiten", tmp_path / "again.feature", "--from", tmp_path / "photos.h5", "--feature", "vlad8"]
    status, out, err = run(*again, "--dimension", 2, "--pca-only")
    assert (status, err) == (0, "")
    assert out.endswith("again, 2 numbers per photo, trained on 8 photos\n")


def test_the_same_command_writes_the_same_feature(run, made, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        options = ["--local", "sift", "--kind", "fisher", "--words", 4, "--sample", 200, "--seed", seed]
        run("features", "train", tmp_path / name / "f.feature", "--from", made / "train.h5", *options)
    a, b, c = (run("features", "info", tmp_path / name / "f.feature")[1] for name in "abc")
    assert a == b
    assert a.splitlines()[-1] != c.splitlines()[-1]


def test_info_tells_what_a_file_holds(run, made, tmp_path):
    path = tmp_path / "white.feature"
    status, out, err = run(
        "features", "whiten", path, "--from", made / "train.h5", "--feature", "hsv", "--dimension", 3
    )
    assert (status, err) == (0, "")
    assert out == f"{path}: white, 3 numbers per photo, trained on 8 photos\n"
    status, out, err = run("features", "info", path)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == ["name: white", "kind: whitened", "dimension: 3"]
    assert {"whiten: True", "base.name: hsv", "trained_on.photos: 8", "array pca_components: 3 x 512 float64"} <= {
        *lines
    }


def test_mop_is_learned_from_photos_and_extracted_like_any_other(run, made, tmp_path, data_dir, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_MODELS", str(data_dir.parent / "models"))
    out = tmp_path / "m.feature"
    status, told, _ = run(
        *("features", "mop", made / "photos", out, "--feature", "face"),
        *("--components", 6, "--words", 2, "--dimension", 3),
    )
    assert (status, told) == (0, f"{out}: m, 134 numbers per photo, trained on {N} photos\n")
    status, _, _ = run("extract", made / "photos" / "0.png", "--feature", out, "--out", tmp_path / "x.h5")
    assert status == 0
    with FeatureFile.open(tmp_path / "x.h5") as file:
        assert file.vectors("m").shape == (1, 134)
    status, _, err = run("features", "mop", made / "photos", tmp_path / "n.feature", "--feature", "hsv")
    assert (status, len(err.splitlines())) == (2, 1)
    assert not (tmp_path / "n.feature").exists()


def test_every_aggregation_can_be_trained():
    kind = next(option for option in features.commands["train"].params if option.name == "kind")
    assert tuple(kind.type.choices) == AGGREGATIONS


def train(*options):
    return ("features", "train", "new.feature", "--from", "train.h5", *options)


def whiten(*options):
    return ("features", "whiten", "new.feature", "--from", "train.h5", *options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (train(), "expected one local feature"),
        (train("--local", "hsv"), "hsv is one vector per photo"),
        (train("--local", "dense-sift"), "it has no feature 'dense-sift'"),
        (train("--local", "sift", "--words", 1), "words: expected a whole number"),
        (train("--local", "sift", "--words", 60000), "to train 60,000 words from"),
        (train("--local", "sift", "--whiten", 8), "dimension: 8 of 8 vectors"),
        (train("--kind", "vladd"), "'vladd' is not one of"),
        (("features", "train", "train.h5", "--from", "train.h5"), "train.h5: exists already"),
        (("features", "train", "hsv.feature", "--from", "train.h5"), "there is a feature hsv already"),
        (("features", "train", "pool5", "--from", "train.h5"), "there is a feature pool5 already"),
        (("features", "train", "a b.feature", "--from", "train.h5"), "expected a name of letters"),
        (("features", "train", "none/new.feature", "--from", "train.h5"), "there is no folder none"),
        (("features", "train", "new.feature", "--from", "none.h5"), "none.h5: no such file"),
        (whiten("--feature", "hsv", "--dimension", 99), "hsv: dimension: 99 of 8 vectors"),
        (whiten("--feature", "hue", "--dimension", 2), "train.h5: it has no hue, only hsv, rootsift, sift"),
        (whiten("--feature", "hsvv", "--dimension", 2), "did you mean hsv?"),
        (whiten("--feature", "sift", "--dimension", 2), "sift: describes places of a photo"),
        (whiten("--feature", "hsv"), "Missing option '--dimension'"),
        (("features", "info", "none.feature"), "none.feature: no such file"),
        (("features", "info", "train.h5"), "train.h5: not a trained feature"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(run, made, monkeypatch, arguments, message):
    monkeypatch.chdir(made)
    before = sorted(made.iterdir())
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(made.iterdir()) == before
