"""`metricsearch index`, and search, info, verify of a photo collection: what is printed, every mistake in one line."""

import json
import shutil

import numpy as np
import pytest

from metricsearch.cli import main

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("cv2")

N = 4


def texture(seed):
    rng = np.random.default_rng(seed)
    blobs = rng.integers(0, 256, (15, 20, 3)).astype(np.uint8)
    return Image.fromarray(blobs).resize((200, 150), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "photos").mkdir()
    for i in range(N):
        texture(i).save(folder / "photos" / f"{i}.png")
    texture(2).rotate(15).save(folder / "query.png")
    with pytest.raises(SystemExit) as info:
        main(["index", str(folder / "photos"), str(folder / "photos.ms"), "--feature", "hsv"])
    assert not info.value.code
    np.save(folder / "x.npy", np.eye(8, dtype=np.float32))
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy to work in; its photos.ms knows the photos of `made`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_index_says_what_it_made_and_what_to_do_next(run, folder):
    (folder / "photos" / "text.jpg").write_text("no photo")
    status, out, err = run("index", "photos", "new.ms", "--feature", "hsv")
    assert status == 0
    assert out.startswith("new.ms: 4 photos; compared by hsv (512-D); ")
    assert "local features, a vocabulary of " in out
    assert out.count("\n") == 1
    lines = err.splitlines()
    assert lines[0].startswith("photos/text.jpg: not a photo")
    assert lines[1].startswith("4 new, 0 kept, 1 not readable, ")
    assert lines[2] == "search it with: metricsearch search new.ms --image PHOTO --show"


def test_index_again_looks_at_new_photos_only_and_drops_when_told(run, folder):
    run("index", "photos", "new.ms", "--feature", "hsv", "--no-words")
    texture(9).save(folder / "photos" / "9.png")
    (folder / "photos" / "0.png").unlink()
    status, out, err = run("index", "photos", "new.ms")
    assert (status, out) == (2, "")
    assert "--drop-missing" in err
    status, out, err = run("index", "photos", "new.ms", "--drop-missing")
    assert status == 0
    assert out.startswith("new.ms: 4 photos; compared by hsv (512-D); 0.")  # no words
    assert err.startswith("1 new, 3 kept, 1 dropped, ")


def test_equal_photos_are_counted_as_files_and_as_different_ones(run, folder):
    shutil.copy("photos/1.png", "photos/copy.png")
    status, out, _ = run("index", "photos", "new.ms", "--feature", "hsv")
    assert status == 0
    assert out.startswith("new.ms: 5 photos (4 different); ")
    _, out, _ = run("search", "new.ms", "--image", "photos/1.png", "-k", 1)
    assert out.splitlines()[2].split()[:2] == ["1", "same"]
    assert out.splitlines()[2].endswith("  photos/1.png")
    assert out.splitlines()[3].endswith("  photos/copy.png")


def test_index_of_unreadable_photos_only_fails(run, folder):
    (folder / "text.jpg").write_text("no photo")
    status, out, err = run("index", "text.jpg", "new.ms", "--feature", "hsv")
    assert status == 1
    assert out.startswith("new.ms: 0 photos")
    assert "text.jpg: not a photo" in err


def test_search_prints_a_table(run, made, folder):
    status, out, err = run("search", "photos.ms", "--image", "query.png", "-k", 3)
    assert (status, err) == (0, "")
    title, header, first, *others = out.splitlines()
    assert title == "query.png: 3 best of 4 photos in photos.ms, distance by hsv"
    assert header.split() == ["rank", "kind", "inliers", "distance", "photo"]
    rank, *kind, inliers, distance, path = first.split()
    assert (rank, kind, path) == ("1", ["same", "object"], str(made / "photos" / "2.png"))
    assert int(inliers) > 8
    assert float(distance) > 0
    assert [line.split()[:3] for line in others] == [["2", "similar", "-"], ["3", "similar", "-"]]
    assert list(folder.glob("*hits*")) == []


def test_show_draws_a_sheet_for_each_image(run, folder):
    status, out, _ = run("search", "photos.ms", "--image", "query.png", "--image", "photos/1.png", "--show")
    assert status == 0
    assert [line for line in out.splitlines() if "sheet" in line] == [
        "contact sheet: query-hits.jpg",
        "contact sheet: 1-hits.jpg",
    ]
    for name in ("query-hits.jpg", "1-hits.jpg"):
        with Image.open(name) as image:
            assert image.width > 500
    status, out, _ = run("search", "photos.ms", "--image", "query.png", "--image", "query.png", "--show", "s.png")
    assert status == 0
    assert sorted(path.name for path in folder.glob("s*.png")) == ["s-2.png", "s.png"]


def test_a_hit_that_is_gone_or_has_changed_is_told(run, folder):
    shutil.rmtree("photos.ms")
    run("index", "photos", "photos.ms", "--feature", "hsv")  # of this folder
    answer = run("search", "photos.ms", "--image", "query.png")
    assert (answer[0], answer[2]) == (0, "")
    told = (
        "photos/2.png: gone or changed since it was indexed; "
        "bring the collection up to date: metricsearch index PHOTOS... photos.ms\n"
    )
    texture(50).save(folder / "photos" / "2.png")
    assert run("search", "photos.ms", "--image", "query.png") == (0, answer[1], told)
    (folder / "photos" / "2.png").unlink()
    assert run("search", "photos.ms", "--image", "query.png") == (0, answer[1], told)


def test_a_sheet_never_takes_the_place_of_a_photo(run, folder):
    before = (folder / "query.png").read_bytes()
    status, out, err = run("search", "photos.ms", "--image", "photos/1.png", "--show", "query.png")
    assert (status, out) == (2, "")
    assert err == "metricsearch: query.png: exists and is no contact sheet; choose another name for the sheet\n"
    assert (folder / "query.png").read_bytes() == before


def test_info_is_json(run, folder):
    status, out, _ = run("info", "photos.ms")
    told = json.loads(out)
    assert status == 0
    assert (told["state"], told["n_photos"], told["n_different_photos"]) == ("complete", N, N)
    assert told["feature"]["name"] == "hsv"
    assert told["feature"]["dimension"] == 512
    assert told["words"]["n_features"] > 0
    assert set(told["disk_bytes"]) == {"photos.h5", "descriptors.ms", "words.vt"}


def test_verify_tells_fine_and_damaged(run, folder):
    assert run("verify", "photos.ms") == (0, "photos.ms: fine\n", "")
    shutil.rmtree(folder / "photos.ms" / "words.vt")
    status, out, _ = run("verify", "photos.ms")
    assert status == 1
    assert "words.vt" in out
    assert "metricsearch index" in out
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["index", "photos"], "Missing argument"),
        (["index", "nowhere", "new.ms"], "nowhere: no such file or folder"),
        (["index", "", "new.ms"], "one of the paths is empty"),
        (["index", "photos", "new.ms", "--feature", "hsw"], "hsv"),
        (["index", "photos", "photos.ms", "--feature", "lbp"], "was made with feature hsv, not lbp"),
        (["index", "photos", "photos.ms", "--no-words"], "was made with words"),
        (["index", "query.png", "photos"], "the last argument is where the collection goes"),
        (["index", "photos", "query.png"], "the last argument is where the collection goes"),
        (["search", "photos.ms"], "--image"),
        (["search", "photos.ms", "query.png"], "--image query.png"),
        (["search", "photos.ms", "--image", "nowhere.png"], "nowhere.png: no such file"),
        (["search", "photos.ms", "--image", "query.png", "--image", "nowhere.png"], "nowhere.png: no such file"),
        (["search", "photos.ms", "--image", "x.npy"], "x.npy: not a photo"),
        (["search", "photos.ms", "--image", "query.png", "-k", "0"], "k: expected"),
        (["search", "photos.ms", "--image", "query.png", "--show", "sheet.doc"], "sheet.doc"),
        (["add", "photos.ms", "x.npy"], "metricsearch index"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(run, folder, arguments, text):
    before = sorted(str(path) for path in folder.rglob("*"))
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1
    assert sorted(str(path) for path in folder.rglob("*")) == before


def test_an_unfinished_collection_says_how_to_finish_it(run, folder, monkeypatch):
    from metricsearch.photos import indexing

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(indexing, "update_descriptors", stop)
        assert run("index", "photos", "new.ms", "--feature", "hsv")[0] == 130
    status, out, err = run("search", "new.ms", "--image", "query.png")
    assert (status, out) == (2, "")
    assert err == (
        "metricsearch: new.ms: indexing was not finished, or still goes on; "
        "complete it with: metricsearch index PHOTOS... new.ms\n"
    )
    assert run("index", "photos", "new.ms")[0] == 0
    assert run("search", "new.ms", "--image", "query.png")[0] == 0
