"""Image-retrieval sets: small made-up folders that follow the published layouts, downloads, and the real local sets."""

import gc
import io
import json
import tarfile
import threading
import warnings
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from metricsearch.datasets import describe_image_set, image_set_names, image_sets, load_image_set
from metricsearch.errors import CorruptedError, InvalidInputError, MissingDataError, UnknownNameError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.fixture
def expect(monkeypatch):
    """Sets the number of photos and queries that the catalogue expects of a set."""

    def change(name, n_images, n_queries):
        entry = describe_image_set(name) | {"n_images": n_images, "n_queries": n_queries}
        monkeypatch.setattr(image_sets, "_catalogue", lambda: {name: entry})

    return change


@pytest.mark.parametrize("name", image_set_names())
def test_every_entry_is_complete(name):
    entry = describe_image_set(name)
    for key in ("title", "layout", "folder", "access", "origin", "licence", "how_to_get", "note"):
        assert entry[key], key
    assert entry["access"] in ("local", "download", "manual")
    assert (entry["access"] == "download") == ("files" in entry)
    for file in entry.get("files", []):
        assert file["url"].startswith("https://")
        assert file["path"].endswith(file["url"].rsplit("/", 1)[1])


# ---------------------------------------------------------------- real local sets


def test_dvd_covers_are_complete(data_dir):
    comp = load_image_set("dvd-covers", folder=data_dir / "dvd_covers")
    assert (len(comp), len(comp.queries)) == (50, 200)
    for query in comp.queries:
        (relevant,) = query.relevant
        assert comp.image_names[relevant] == f"reference/{query.path.name}"
        assert (query.index, query.group) == (None, query.path.stem)


def test_the_local_part_of_ukbench_is_complete(data_dir):
    comp = load_image_set("ukbench-25", folder=data_dir / "ukbench")
    assert (len(comp), len(comp.queries)) == (25, 24)
    for row, query in enumerate(comp.queries):
        first = row // 4 * 4
        assert (query.index, query.path) == (row, comp.images[row])
        assert query.relevant == set(range(first, first + 4)) - {row}


@pytest.mark.parametrize(
    ("name", "n"),
    [("corel5k", 2500), ("caltech101", 1996), ("flickr8k", 500), ("faces-orl", 200), ("oxford-affine", 12)],
)
def test_distractors_are_complete_and_thinned_evenly(data_dir, name, n):
    comp = load_image_set(name, folder=data_dir / describe_image_set(name)["folder"])
    assert (len(comp), comp.queries) == (n, ())
    assert list(comp.image_names) == sorted(comp.image_names)
    small, larger = (
        load_image_set(name, folder=comp.images[0].parents[comp.image_names[0].count("/")], limit=m) for m in (5, 10)
    )
    assert set(small.image_names) < set(larger.image_names) < set(comp.image_names)
    assert larger.image_names != comp.image_names[:10]


def test_distractors_come_behind_and_change_no_ground_truth(data_dir):
    covers = load_image_set("dvd-covers", folder=data_dir / "dvd_covers")
    others = [
        load_image_set("oxford-affine", folder=data_dir / "oxford_affine"),
        load_image_set("ukbench-25", folder=data_dir / "ukbench"),
    ]
    comp = covers.with_distractors(others)
    assert comp.images == covers.images + others[0].images + others[1].images
    assert comp.queries == covers.queries
    assert comp.name == "dvd-covers+oxford-affine+ukbench-25"
    assert comp.image_names[50] == "oxford-affine/boat/img1.png"
    with pytest.raises(InvalidInputError, match="occurs twice"):
        covers.with_distractors([others[0], others[0]])


# ---------------------------------------------------------------- UKBench, Holidays, SMVS


@pytest.mark.parametrize("below", ["", "full", "ukbench/full"])
def test_ukbench_takes_four_in_a_row_as_a_group(tmp_path, expect, below):
    expect("ukbench", 8, 8)
    touch(tmp_path / below, *(f"ukbench{i:05d}.jpg" for i in range(8)))
    touch(tmp_path / "thumbnails", "ukbench_th00000.jpg")
    comp = load_image_set("ukbench", folder=tmp_path)
    assert comp.image_names == tuple(f"ukbench{i:05d}.jpg" for i in range(8))
    assert [query.group for query in comp.queries] == ["0"] * 4 + ["1"] * 4
    assert comp.queries[5].relevant == {4, 6, 7}
    assert comp.queries[5].index == 5


def test_a_limit_keeps_whole_groups_as_queries(tmp_path, expect):
    expect("ukbench", 12, 12)
    touch(tmp_path, *(f"ukbench{i:05d}.jpg" for i in range(12)))
    comp = load_image_set("ukbench", folder=tmp_path, limit=10)
    assert (len(comp), len(comp.queries)) == (10, 8)  # photos 8 and 9 have lost two of their group
    with pytest.raises(InvalidInputError, match="whole answer of no query"):
        load_image_set("ukbench", folder=tmp_path, limit=3)
    with pytest.raises(InvalidInputError, match="limit: ukbench has 12 photos, 13 were asked for"):
        load_image_set("ukbench", folder=tmp_path, limit=13)


def test_a_limit_needs_only_the_photos_it_takes(tmp_path, expect):
    expect("ukbench", 10200, 10200)
    touch(tmp_path, *(f"ukbench{i:05d}.jpg" for i in range(8)))
    assert len(load_image_set("ukbench", folder=tmp_path, limit=8).queries) == 8
    with pytest.raises(CorruptedError, match="expected 10,200 photos, found 8"):
        load_image_set("ukbench", folder=tmp_path)
    with pytest.raises(CorruptedError, match="expected 10,200 photos, found 8"):
        load_image_set("ukbench", folder=tmp_path, limit=9)


def test_a_gap_in_ukbench_is_an_error(tmp_path, expect):
    expect("ukbench", 7, 7)
    touch(tmp_path, *(f"ukbench{i:05d}.jpg" for i in range(8) if i != 5))
    with pytest.raises(MissingDataError, match=r"expected ukbench00005\.jpg, found ukbench00006\.jpg"):
        load_image_set("ukbench", folder=tmp_path)


def test_holidays_groups_by_hundreds_and_asks_with_the_first(tmp_path, expect):
    expect("holidays", 6, 2)
    touch(tmp_path / "jpg", "100000.jpg", "100001.jpg", "100002.jpg", "100003.jpg", "100100.jpg", "100101.jpg")
    comp = load_image_set("holidays", folder=tmp_path)
    assert [(query.index, query.relevant) for query in comp.queries] == [(0, {1, 2, 3}), (4, {5})]
    assert [query.group for query in comp.queries] == ["1000", "1001"]
    touch(tmp_path, "jpg/notes.jpg")
    with pytest.raises(InvalidInputError, match=r"notes\.jpg: expected photos named by a number"):
        load_image_set("holidays", folder=tmp_path)


@pytest.mark.parametrize("below", ["", "cd_covers"])
def test_smvs_pairs_photos_with_references_of_the_same_name(tmp_path, below):
    folder = tmp_path / below
    touch(folder, "Reference/001.jpg", "Reference/002.jpg", "Canon/002.jpg", "Droid/001.jpg", "Droid/002.jpg")
    comp = load_image_set("smvs-cd-covers", folder=tmp_path)
    assert comp.image_names == ("001.jpg", "002.jpg")
    pairs = [(query.path.relative_to(folder).as_posix(), set(query.relevant)) for query in comp.queries]
    assert pairs == [("Canon/002.jpg", {1}), ("Droid/001.jpg", {0}), ("Droid/002.jpg", {1})]
    assert {query.index for query in comp.queries} == {None}
    touch(folder, "Palm/003.jpg")
    with pytest.raises(MissingDataError, match="no photo 003 in"):
        load_image_set("smvs-cd-covers", folder=tmp_path)


# ---------------------------------------------------------------- Oxford, Paris


@pytest.fixture
def oxford(tmp_path, expect):
    expect("oxford5k", 5, 2)
    touch(
        tmp_path / "oxbuild_images-v1",
        *(f"all_souls_00000{i}.jpg" for i in range(3)),
        "keble_000001.jpg",
        "oriel_000001.jpg",
    )
    truth = tmp_path / "gt_files_170407"
    touch(truth, "README.txt")
    lists = {
        "all_souls_1_query": "oxc1_all_souls_000001 136.5 34.1 648.5 955.7",
        "all_souls_1_good": "all_souls_000001\nall_souls_000000\n",
        "all_souls_1_ok": "all_souls_000002",
        "all_souls_1_junk": "oriel_000001\n",
        "keble_2_query": "oxc1_keble_000001 0 0 10 20\n",
        "keble_2_good": "keble_000001\n",
        "keble_2_ok": "",
        "keble_2_junk": "",
    }
    for name, text in lists.items():
        (truth / f"{name}.txt").write_text(text)
    return tmp_path


def test_oxford_reads_boxes_lists_and_drops_the_prefix(oxford):
    comp = load_image_set("oxford5k", folder=oxford)
    assert comp.image_names == (
        "all_souls_000000.jpg",
        "all_souls_000001.jpg",
        "all_souls_000002.jpg",
        "keble_000001.jpg",
        "oriel_000001.jpg",
    )
    first, second = comp.queries
    assert (first.index, first.path, first.group) == (1, comp.images[1], "all_souls")
    assert first.relevant == {0, 1, 2}  # its own photo is counted
    assert (first.junk, first.box) == ({4}, (136.5, 34.1, 648.5, 955.7))
    assert (second.index, second.relevant, second.junk, second.group) == (3, {3}, frozenset(), "keble")


def test_a_limit_cuts_the_junk_too(oxford):
    (query,) = load_image_set("oxford5k", folder=oxford, limit=3).queries
    assert (query.relevant, query.junk) == ({0, 1, 2}, frozenset())


@pytest.mark.parametrize(
    ("file", "text", "error", "message"),
    [
        ("keble_2_good.txt", "keble_000009", MissingDataError, "names keble_000009, which is not among the photos"),
        ("keble_2_query.txt", "oxc1_keble_000001 0 0 10", InvalidInputError, "a photo's name and four numbers"),
        ("keble_2_query.txt", "oxc1_keble_000001 0 0 x 1", InvalidInputError, "a box of four numbers"),
        ("keble_2_query.txt", "oxc1_keble_000007 0 0 1 1", MissingDataError, "names keble_000007"),
        ("keble_2_ok.txt", None, MissingDataError, r"keble_2_ok\.txt: no such file"),
        ("keble_2_query.txt", None, CorruptedError, "expected 2 queries, found 1"),
        ("../oriel_000001.jpg", "", InvalidInputError, "has the same name"),
    ],
)
def test_a_damaged_oxford_is_an_error(oxford, file, text, error, message):
    path = oxford / "gt_files_170407" / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(error, match=message):
        load_image_set("oxford5k", folder=oxford)


def test_oxford_without_ground_truth_says_so(tmp_path, expect):
    expect("oxford5k", 1, 1)
    touch(tmp_path, "all_souls_000000.jpg")
    with pytest.raises(MissingDataError, match=r"no \*_query\.txt"):
        load_image_set("oxford5k", folder=tmp_path)


def test_paris_leaves_its_damaged_photos_out(tmp_path, expect):
    expect("paris6k", 2, 1)
    touch(
        tmp_path / "paris" / "louvre", "paris_louvre_000135.jpg", "paris_louvre_000136.jpg", "paris_louvre_000137.jpg"
    )
    for kind, text in {
        "query": "paris_louvre_000137 1 2 3 4",
        "good": "paris_louvre_000136\nparis_louvre_000137",
        "ok": "",
        "junk": "paris_louvre_000135",
    }.items():
        (tmp_path / f"louvre_1_{kind}.txt").write_text(text)
    comp = load_image_set("paris6k", folder=tmp_path)
    assert comp.image_names == ("paris_louvre_000135.jpg", "paris_louvre_000137.jpg")
    assert (comp.queries[0].relevant, comp.queries[0].junk) == ({1}, {0})


REVISITED = {
    "imlist": ["b", "a", "c"],
    "qimlist": ["q"],
    "gnd": [{"bbx": [1, 2.5, 3, 4], "easy": [1], "hard": [0], "junk": [2]}],
}


@pytest.fixture
def revisited(tmp_path, expect):
    expect("roxford5k", 3, 1)
    touch(tmp_path / "jpg", "a.jpg", "b.jpg", "c.jpg", "q.jpg", "unused.jpg")
    (tmp_path / "gnd_roxford5k.json").write_text(json.dumps(REVISITED))
    return tmp_path


def test_revisited_sets_keep_the_order_of_their_list(revisited):
    comp = load_image_set("roxford5k", folder=revisited)
    assert comp.image_names == ("b.jpg", "a.jpg", "c.jpg")
    (query,) = comp.queries
    assert (query.index, query.path.name, query.box) == (None, "q.jpg", (1.0, 2.5, 3.0, 4.0))
    assert (query.easy, query.hard, query.junk, query.relevant) == ({1}, {0}, {2}, {0, 1})


def test_revisited_queries_that_share_an_image_show_one_object(tmp_path, expect):
    names = ["all_souls_1", "oxford_2", "keble_3", "oxford_4", "oxford_5"]
    shown = [([0], []), ([], [1]), ([2], []), ([1], [0]), ([], [])]  # the fourth joins the first two
    expect("roxford5k", 3, 5)
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg", *(f"{name}.jpg" for name in names))
    truth = [{"bbx": [1, 2, 3, 4], "easy": easy, "hard": hard, "junk": []} for easy, hard in shown]
    table = {"imlist": ["a", "b", "c"], "qimlist": names, "gnd": truth}
    (tmp_path / "gnd_roxford5k.json").write_text(json.dumps(table))
    groups = [query.group for query in load_image_set("roxford5k", folder=tmp_path).queries]
    assert groups == ["all_souls_1", "all_souls_1", "keble_3", "all_souls_1", "oxford_5"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"imlist": ["b", "a", "z"]}, MissingDataError, "z and 0 other photos"),
        ({"gnd": []}, InvalidInputError, "0 entries of gnd for 1 queries"),
        ({"gnd": [REVISITED["gnd"][0] | {"junk": [3]}]}, InvalidInputError, "do not fit together"),
        ({"gnd": [REVISITED["gnd"][0] | {"bbx": [1, 2]}]}, InvalidInputError, "a box of four numbers"),
        ({"gnd": [{"bbx": [1, 2, 3, 4]}]}, InvalidInputError, "expected imlist, qimlist and"),
        ({"imlist": 3}, InvalidInputError, "expected imlist, qimlist and"),
    ],
)
def test_a_damaged_revisited_file_is_an_error(revisited, change, error, message):
    (revisited / "gnd_roxford5k.json").write_text(json.dumps(REVISITED | change))
    with pytest.raises(error, match=message):
        load_image_set("roxford5k", folder=revisited)


def test_a_revisited_set_without_its_file_says_how_to_make_it(revisited):
    (revisited / "gnd_roxford5k.json").unlink()
    with pytest.raises(MissingDataError, match=r"data/README\.md says how to make it"):
        load_image_set("roxford5k", folder=revisited)


def test_the_conversion_that_the_readme_gives_can_be_read(revisited):
    numpy_truth = [{key: np.array(value) for key, value in REVISITED["gnd"][0].items()}]
    text = json.dumps(REVISITED | {"gnd": numpy_truth}, default=lambda array: array.tolist())
    (revisited / "gnd_roxford5k.json").write_text(text)
    assert load_image_set("roxford5k", folder=revisited).queries[0].relevant == {0, 1}


# ---------------------------------------------------------------- mistakes


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean oxford5k"):
        load_image_set("oxford-5k")


def test_a_missing_folder_says_how_to_get_the_set(tmp_path, monkeypatch):
    with pytest.raises(MissingDataError, match="part of the developer data"):
        load_image_set("corel5k", folder=tmp_path / "nowhere")
    monkeypatch.setenv("METRICSEARCH_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"holidays: .*no such folder; unpack jpg1\.tar\.gz"):
        load_image_set("holidays")


def test_a_photo_too_few_is_an_error(tmp_path, expect):
    expect("oxford-affine", 3, 0)
    touch(tmp_path, "graf/img1.png", "graf/img2.png")
    with pytest.raises(CorruptedError, match="expected 3 photos, found 2"):
        load_image_set("oxford-affine", folder=tmp_path)
    with pytest.raises(InvalidInputError, match="limit"):
        load_image_set("oxford-affine", folder=tmp_path, limit=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="no photos in it"):
        load_image_set("oxford-affine", folder=tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,reference\nq/1.jpg,r/1.jpg,x\n", "line 2: expected query and reference"),
        ("query,reference\nq/1.jpg,r/1.jpg\nq/1.jpg,r/2.jpg\n", r"line 3: q/1\.jpg is listed twice"),
        ("image,group\nq/1.jpg,r/1.jpg\n", "line 1: expected the header query,reference"),
        ("query,reference\n", "no rows below the header"),
        ("", "no rows below the header"),
    ],
)
def test_a_damaged_table_names_the_line(tmp_path, text, message):
    (tmp_path / "ground_truth.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        load_image_set("dvd-covers", folder=tmp_path)


def test_a_photo_that_the_table_names_must_be_there(tmp_path, expect):
    expect("dvd-covers", 1, 1)
    (tmp_path / "ground_truth.csv").write_text("query,reference\nq/1.jpg,r/1.jpg\n")
    touch(tmp_path, "r/1.jpg")
    with pytest.raises(MissingDataError, match=r"q/1\.jpg is missing, as are 0 other photos"):
        load_image_set("dvd-covers", folder=tmp_path)


# ---------------------------------------------------------------- downloads


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def public_set(monkeypatch, tmp_path):
    """A public set "smvs-cd-covers" on a local server; returns a function that publishes bytes as its archive."""
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("METRICSEARCH_DATA", str(served))  # without the set
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(served))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        def publish(name, content):
            (served / name).write_bytes(content)
            url = f"http://127.0.0.1:{http.server_port}/{name}"
            file = {"path": f"image_sets/archives/{name}", "url": url, "sha256": None}
            entry = describe_image_set("smvs-cd-covers") | {"files": [file]}
            monkeypatch.setattr(image_sets, "_catalogue", lambda: {"smvs-cd-covers": entry})

        yield publish
        http.shutdown()
        thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # pooch leaves the connection of a failed request to the collector


def zip_of(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        for name in names:
            bundle.writestr(name, b"")
    return content.getvalue()


def tar_of(*names, link=None):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as bundle:
        for name in names:
            bundle.addfile(tarfile.TarInfo(name), io.BytesIO())
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            bundle.addfile(member)
    return content.getvalue()


PHOTOS = ("cd_covers/Reference/001.jpg", "cd_covers/Canon/001.jpg")


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.zip", zip_of(*PHOTOS)), ("x.tgz", tar_of(*PHOTOS, link="cd_covers/Canon/002.jpg"))],
    ids=["zip", "tgz"],
)
def test_a_public_set_is_downloaded_and_unpacked_once(public_set, tmp_path, name, content):
    public_set(name, content)
    comp = load_image_set("smvs-cd-covers")
    assert (comp.image_names, len(comp.queries)) == (("001.jpg",), 1)  # the link was left out
    (tmp_path / "served" / name).unlink()
    (tmp_path / "cache" / "image_sets" / "archives" / name).unlink()
    assert load_image_set("smvs-cd-covers").images == comp.images


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.zip", b"<html>try later</html>", "is no archive, or not all of one; try again later"),
        ("x.tgz", tar_of(*PHOTOS)[:-40], "is no archive, or not all of one"),
        ("x.tgz", tar_of("../outside.jpg"), r"a file named '\.\./outside\.jpg', which lies outside"),
        ("x.zip", zip_of("/outside.jpg"), "lies outside"),
        ("x.zip", zip_of(*PHOTOS).replace(b"Canon", b"Cenon", 1), "damaged archive"),
    ],
    ids=["a page", "truncated", "tar outside", "zip outside", "names differ"],
)
def test_a_bad_archive_leaves_nothing_behind(public_set, tmp_path, name, content, message):
    public_set(name, content)
    with pytest.raises(CorruptedError, match=message):
        load_image_set("smvs-cd-covers")
    left = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert left <= {name, "sha256.json"}
    assert not (tmp_path / "cache" / "image_sets" / "smvs-cd-covers").exists()


def test_a_set_in_the_data_folder_is_not_downloaded(public_set, tmp_path):
    public_set("x.zip", b"")
    touch(tmp_path / "served" / "smvs" / "cd_covers", "Reference/007.jpg", "Palm/007.jpg")
    assert load_image_set("smvs-cd-covers").image_names == ("007.jpg",)
