"""A vocabulary tree on disk: what a change has returned from is there, readers see whole states, mistakes are named."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from metricsearch import Collection, array_folders
from metricsearch.errors import (
    CorruptedError,
    DuplicateIdError,
    ExistsError,
    FormatVersionError,
    InvalidInputError,
    MissingDataError,
    MissingIndexError,
    StorageError,
    UnknownIdError,
)
from metricsearch.locks import WriterLock
from metricsearch.vocabtree import Scoring, VocabularyTree

D, N = 8, 30
SCORINGS = (Scoring(), Scoring(norm="l2", levels=2), Scoring(levels=3, frequency="word", burstiness=True))


def descriptors(image_id, n=25):
    """The descriptors that belong to an image ID; every seventh image has none."""
    rng = np.random.default_rng(image_id)
    centre = rng.integers(0, 256, (1, D)) * (np.arange(n)[:, None] % 3 > 0)
    return ((centre + rng.integers(0, 60, (n, D))) % 256).astype(np.uint8)[: 0 if image_id % 7 == 6 else n]


def images(ids):
    return [(int(i), descriptors(int(i)), f"photos/é {i}.jpg") for i in ids]


@pytest.fixture(scope="module")
def training():
    return np.concatenate([descriptors(i) for i in range(1000, 1040)])


def untrained(hamming=False):
    return VocabularyTree(3, 3, hamming=hamming, seed=1, n_threads=1)


@pytest.fixture(params=[False, True], ids=["plain", "hamming"])
def hamming(request):
    return request.param


@pytest.fixture
def tree(training, hamming, tmp_path):
    """A saved tree with images in two segments, some of them removed."""
    made = untrained(hamming).fit(training)
    made.add_images(images(range(N)))
    made.save(tmp_path / "t.vt")
    for image in images(range(N, N + 3)):
        made.add(image[0], image[1], name=image[2])
    made.remove([4, N + 1])
    with made:
        yield made


def answers(tree):
    """All that can be seen of a tree."""
    scorings = SCORINGS + ((Scoring(hamming_threshold=24),) if tree.info()["parameters"]["hamming"] else ())
    ids = tree.image_ids()
    seen = [ids.tolist(), tree.names(ids), [tree.words_of(i).tolist() for i in ids.tolist()]]
    for scoring in scorings:
        for query in (3, 500, 6):
            found = tree.search(descriptors(query), 12, scoring=scoring)
            seen.append((found.ids.tolist(), found.scores.tolist()))
    return seen


def reopened(tree):
    with VocabularyTree.open(tree.path, readonly=True, n_threads=1) as reader:
        assert reader.verify() == []
        return answers(reader)


def folders(path):
    return sorted(str(item.relative_to(path)) for item in path.rglob("*") if item.is_dir())


def named(path):
    """Folders that the manifest names, with those they lie in."""
    content = json.loads((path / "manifest.json").read_text())
    entries = [content[part] for part in ("vocabulary", "hamming", "weights")]
    entries += [entry[part] for entry in content["segments"] for part in ("content", "removed")]
    return {entry["folder"] for entry in entries if entry}


def assert_tidy(path):
    assert {name for name in folders(path) if "/" in name} == named(path)
    assert {item.name for item in path.iterdir() if item.is_file()} == {"manifest.json", "lock"}


# ---------------------------------------------------------------------- what is saved


def test_a_reopened_tree_gives_the_same_answers_as_one_that_was_never_saved(tree, training, hamming):
    never_saved = untrained(hamming).fit(training)
    never_saved.add_images(images([i for i in range(N + 3) if i not in (4, N + 1)]))
    assert answers(tree) == answers(never_saved)
    assert reopened(tree) == answers(never_saved)
    assert_tidy(tree.path)


def changes(training):
    """(name, change) of every kind, in an order in which each one changes something."""
    return [
        ("add", lambda t: t.add(100, descriptors(100), name="new")),
        ("add without features", lambda t: t.add(101, descriptors(6))),
        ("add many", lambda t: t.add_images(images(range(200, 230)))),
        ("remove", lambda t: t.remove([0, 5, 101, 215])),
        ("add again", lambda t: t.add(5, descriptors(5))),
        ("freeze", lambda t: t.freeze_weights()),
        ("add under frozen weights", lambda t: t.add(300, descriptors(300))),
        ("independent weights", lambda t: t.reweight([descriptors(i) for i in range(400, 420)])),
        ("compact", lambda t: t.compact()),
        ("own weights", lambda t: t.reweight()),
        ("remove all", lambda t: t.remove(t.image_ids())),
        ("add to none", lambda t: t.add(1, descriptors(1))),
    ]


def test_every_change_is_on_disk_when_it_returns(tree, training):
    for name, change in changes(training):
        change(tree)
        assert reopened(tree) == answers(tree), name
        assert_tidy(tree.path)


def test_every_change_works_on_a_reopened_tree_as_on_one_in_memory(tree, training, hamming):
    in_memory = untrained(hamming).fit(training)
    in_memory.add_images(images(range(N + 3)))
    in_memory.remove([4, N + 1])
    tree.close()
    for name, change in changes(training):
        change(in_memory)
        with VocabularyTree.open(tree.path, n_threads=1) as opened:
            change(opened)
        with VocabularyTree.open(tree.path, n_threads=1) as opened:
            assert answers(opened) == answers(in_memory), name


def test_words_from_elsewhere_are_kept_without_a_vocabulary(tmp_path):
    made = VocabularyTree(10, 2)
    made.save(tmp_path / "w.vt")
    made.add_words([3, 1], [np.array([5, 5, 99], dtype=np.uint32), np.array([5], dtype=np.uint32)], ["a", "b"])
    found = made.search_words(np.array([5, 99], dtype=np.uint32))
    made.close()
    with VocabularyTree.open(tmp_path / "w.vt") as opened:
        again = opened.search_words(np.array([5, 99], dtype=np.uint32))
        assert (again.ids.tolist(), again.scores.tolist()) == (found.ids.tolist(), found.scores.tolist())
        assert opened.names([1, 3]) == ["b", "a"]
        assert opened.verify() == []


def test_a_tree_can_be_trained_after_it_was_saved(tmp_path, training, hamming):
    made = untrained(hamming)
    made.save(tmp_path / "t.vt", features={"options": {"kind": "sift"}})
    made.close()
    checkpoint = tmp_path / "t.vt" / "checkpoint"
    with VocabularyTree.open(tmp_path / "t.vt") as opened:
        with pytest.raises(MissingIndexError, match="fit"):
            opened.search(descriptors(1))
        opened.fit(training, checkpoint=checkpoint)
        opened.add_images(images(range(5)))
        before = answers(opened)
    assert not checkpoint.exists()
    with VocabularyTree.open(tmp_path / "t.vt", readonly=True) as opened:
        assert answers(opened) == before
        assert opened.info()["features"] == {"options": {"kind": "sift"}}
        assert opened.info()["trained"] is True
    assert_tidy(tmp_path / "t.vt")


def test_a_checkpoint_of_a_training_that_has_not_ended_stays(tmp_path):
    untrained().save(tmp_path / "t.vt")
    (tmp_path / "t.vt" / "checkpoint").mkdir()
    VocabularyTree.open(tmp_path / "t.vt").close()
    assert (tmp_path / "t.vt" / "checkpoint").is_dir()


def test_what_is_told_of_the_features_is_that_which_json_holds(tmp_path):
    for number, features in enumerate(({9: "a", 10: ("b", 1)}, {1: 2, "a": 3})):
        with untrained() as made:
            made.save(tmp_path / f"{number}.vt", features=features)
            told = made.info()["features"]
        assert told == json.loads(json.dumps(features))
        with VocabularyTree.open(tmp_path / f"{number}.vt", readonly=True) as opened:
            assert opened.info()["features"] == told


def test_a_change_writes_only_what_is_new(tree):
    before = {name: (tree.path / name).stat().st_ino for name in named(tree.path)}
    tree.remove([7])
    after = {name: (tree.path / name).stat().st_ino for name in named(tree.path)}
    new = set(after) - set(before)
    assert len(new) == 1
    assert new.pop().startswith("removed/")
    assert all(after[name] == before[name] for name in set(after) & set(before))


def test_a_folder_name_is_never_used_twice(tree):
    seen = set(named(tree.path))
    for i in range(600, 606):
        before = named(tree.path)
        tree.add(i, descriptors(i))
        new = named(tree.path) - before
        assert not new & seen
        seen |= new


def test_info_tells_sizes_that_are_those_of_the_files(tree, hamming):
    told = tree.info()
    assert json.loads(json.dumps(told)) == told
    sizes = {}
    for file in tree.path.rglob("*.npy"):
        part = file.relative_to(tree.path).parts[0]
        sizes[part] = sizes.get(part, 0) + file.stat().st_size
    assert told["disk_bytes"] == sizes
    assert told["parameters"]["hamming"] is hamming
    assert (told["n_images"], told["n_removed"], told["trained"]) == (N + 1, 2, True)
    assert told["weights"] == "database"
    assert told["features"] is None


# ---------------------------------------------------------------------- readers and writers


def test_a_reader_keeps_its_state_whatever_the_writer_does(tree, training):
    with VocabularyTree.open(tree.path, readonly=True, n_threads=1) as reader:
        before = answers(reader)
        for _, change in changes(training):
            change(tree)
            assert answers(reader) == before


def test_a_reader_that_meets_a_change_while_opening_takes_the_new_state(tree, monkeypatch):
    from metricsearch.vocabtree import disk

    read, calls = disk.read_manifest, []

    def read_then_change(path):
        manifest = read(path)
        if not calls:
            calls.append(1)
            tree.compact()  # deletes the folders that this manifest names
        return manifest

    monkeypatch.setattr(disk, "read_manifest", read_then_change)
    with VocabularyTree.open(tree.path, readonly=True, n_threads=1) as reader:
        monkeypatch.undo()
        assert answers(reader) == answers(tree)


def test_one_writer_many_readers(tree):
    with pytest.raises(StorageError, match="open for writing already"):
        VocabularyTree.open(tree.path)
    program = (
        "import sys; from metricsearch.vocabtree import VocabularyTree; from metricsearch.errors import StorageError\n"
        "with VocabularyTree.open(sys.argv[1], readonly=True) as t: print(len(t))\n"
        "try: VocabularyTree.open(sys.argv[1])\n"
        "except StorageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tree.path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == str(len(tree))
    assert "in another process" in done.stdout.splitlines()[1]
    tree.close()
    with VocabularyTree.open(tree.path), VocabularyTree.open(tree.path, readonly=True):
        pass


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_a_read_only_tree_refuses_changes_and_stays_as_it_is(tree, training):
    with VocabularyTree.open(tree.path, readonly=True) as reader:
        before = answers(reader)
        for _, change in changes(training):
            with pytest.raises(InvalidInputError, match="read-only"):
                change(reader)
        assert answers(reader) == before
    assert reopened(tree) == before


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_a_closed_tree_can_be_searched_and_not_changed(tree, training):
    before = answers(tree)
    tree.close()
    tree.close()
    for name, change in changes(training):
        with pytest.raises(InvalidInputError, match="closed"):
            change(tree)
        assert answers(tree) == before, name
    assert reopened(tree) == before


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_leftovers_of_a_crash_are_deleted_by_the_next_writer_and_by_no_reader(tree):
    before, path = answers(tree), tree.path
    tree.close()
    for name in ("segments/000999", "segments/001000.tmp", "removed/000998", "vocabulary/000997"):
        (path / name).mkdir(parents=True)
        (path / name / "forward.npy").write_bytes(b"half")
    (path / ".manifest.json.4711.12.tmp").write_text("{")
    whole = folders(path)
    with VocabularyTree.open(path, readonly=True) as reader:
        assert reader.verify() == []
        assert answers(reader) == before
    assert folders(path) == whole
    VocabularyTree.open(path).close()
    assert_tidy(path)


def test_what_a_killed_save_has_left_is_deleted_by_the_next_one_unless_it_is_at_work(tmp_path):
    for number in (1, 2):
        (tmp_path / f".t.vt.{number}.tmp" / "segments").mkdir(parents=True)
        (tmp_path / f".t.vt.{number}.tmp" / "lock").touch()
    at_work = WriterLock(tmp_path / ".t.vt.2.tmp" / "lock")
    untrained().save(tmp_path / "t.vt")
    assert sorted(item.name for item in tmp_path.iterdir()) == [".t.vt.2.tmp", "t.vt"]
    at_work.release()


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_leftovers_that_cannot_be_deleted_do_not_undo_a_change(tree, monkeypatch):
    from metricsearch.vocabtree import disk

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "delete_temporary_manifests", refuse)
    tree.add(100, descriptors(100))
    assert 100 in tree.image_ids()
    assert reopened(tree) == answers(tree)
    monkeypatch.undo()
    tree.add(101, descriptors(101))
    assert reopened(tree) == answers(tree)
    assert_tidy(tree.path)


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_a_forked_child_searches_and_the_parent_stays_the_writer(tree):
    before = answers(tree)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(InvalidInputError, match="another process"):
                tree.remove([1])
            tree.close()
            status = 0 if answers(tree) == before else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(StorageError, match="open for writing already"):
        VocabularyTree.open(tree.path)
    tree.add(100, descriptors(100))
    assert reopened(tree) == answers(tree)


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_closing_waits_for_a_change_that_another_thread_makes(tree):
    closing = threading.Thread(target=tree.close)

    def slow():
        closing.start()
        closing.join(0.2)
        yield (100, descriptors(100), "")

    tree.add_images(slow())
    closing.join()
    assert 100 in tree.image_ids()
    assert reopened(tree) == answers(tree)


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_a_copy_without_the_lock_file_can_be_opened(tree):
    tree.close()
    (tree.path / "lock").unlink()
    VocabularyTree.open(tree.path, readonly=True).close()
    assert not (tree.path / "lock").exists()
    VocabularyTree.open(tree.path).close()


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_a_refused_change_leaves_everything_as_it_was(tree):
    before = answers(tree)
    wrong = [
        (DuplicateIdError, lambda: tree.add(3, descriptors(1))),
        (DuplicateIdError, lambda: tree.add_images([*images(range(700, 703)), *images([3])])),
        (DuplicateIdError, lambda: tree.add_images(images([800, 801, 800]))),
        (InvalidInputError, lambda: tree.add(900, np.zeros((3, D + 1), dtype=np.uint8))),
        (InvalidInputError, lambda: tree.add_images([*images([901]), (902, np.full((2, D), np.nan), "")])),
        (UnknownIdError, lambda: tree.remove([1, 12345])),
    ]
    for error, act in wrong:
        with pytest.raises(error) as info:
            act()
        assert "\n" not in str(info.value)
        assert answers(tree) == before
        assert reopened(tree) == before
    assert_tidy(tree.path)


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_what_is_no_tree_is_said_in_one_line(tree, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.vt").write_text("?")
    Collection.create(tmp_path / "c.ms").close()
    for name, error, text in (
        ("nothing", MissingDataError, "no such vocabulary tree"),
        ("folder", MissingDataError, "not a vocabulary tree"),
        ("file.vt", MissingDataError, "no such vocabulary tree"),
        ("c.ms", CorruptedError, "not the manifest of a vocabulary tree"),
    ):
        for readonly in (True, False):
            with pytest.raises(error, match=text) as info:
                VocabularyTree.open(tmp_path / name, readonly=readonly)
            assert "\n" not in str(info.value)
    assert not list((tmp_path / "folder").iterdir())
    with pytest.raises(InvalidInputError, match="path"):
        VocabularyTree.open(7)
    with pytest.raises(InvalidInputError, match="^n_threads: expected"):
        VocabularyTree.open(tree.path, readonly=True, n_threads=0)


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_a_manifest_of_another_version_or_format_is_refused(tree):
    path = tree.path / "manifest.json"
    content = json.loads(path.read_text())
    tree.close()
    for change, error in (
        ({"format_version": 2}, FormatVersionError),
        ({"format": "metricsearch-collection"}, CorruptedError),
        ({"next_number": 1}, CorruptedError),
        ({"sha256": None}, CorruptedError),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(error, match=r"manifest\.json"):
            VocabularyTree.open(tree.path)


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_nothing_is_overwritten_and_the_folder_around_must_exist(tree, tmp_path):
    (tmp_path / "file.vt").write_text("?")
    for name in ("t.vt", "file.vt"):
        other = untrained()
        with pytest.raises(ExistsError, match="exists already"):
            other.save(tmp_path / name)
        other.save(tmp_path / f"other-{name}")  # the tree can still be saved elsewhere
        other.close()
    with pytest.raises(InvalidInputError, match="does not exist"):
        untrained().save(tmp_path / "a" / "b.vt")
    with pytest.raises(InvalidInputError, match="features: expected what JSON can hold"):
        untrained().save(tmp_path / "json.vt", features={"photos": {1, 2}})
    assert not (tmp_path / "json.vt").exists()
    with pytest.raises(InvalidInputError, match=r"already.*t\.vt"):
        tree.save(tmp_path / "second.vt")
    assert not list(tmp_path.glob(".*"))


def reason_of(act):
    """Text of the StorageError that `act` raises, or None."""
    try:
        act()
    except StorageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("hamming", [False], indirect=True)
@pytest.mark.parametrize("n_good", [0, 1, 4, 7, 9])
def test_a_full_disk_is_one_line_and_nothing_has_changed(tree, training, monkeypatch, n_good):
    before, save, calls = answers(tree), array_folders.np.save, []

    def full(path, array, **options):
        calls.append(path)
        if len(calls) > n_good:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        save(path, array, **options)

    monkeypatch.setattr(array_folders.np, "save", full)
    reasons = []
    for act in (
        lambda: tree.add_images(images(range(100, 140))),
        lambda: tree.reweight([descriptors(i) for i in range(400, 420)]),
        tree.compact,
        lambda: untrained().fit(training).save(tree.path.with_name("full.vt")),
    ):
        calls.clear()
        reasons.append(reason_of(act))
        if reasons[-1] is None:
            before = answers(tree)
            continue
        assert "No space left on device" in reasons[-1]
        assert "\n" not in reasons[-1]
        assert not tree.path.with_name("full.vt").exists()
        assert answers(tree) == before
        assert reopened(tree) == before
        assert_tidy(tree.path)
    assert any(reasons)
    monkeypatch.undo()
    tree.add_images(images(range(200, 203)))
    assert reopened(tree) == answers(tree)


@pytest.mark.parametrize("hamming", [False], indirect=True)
def test_a_manifest_that_cannot_be_written_changes_nothing(tree, monkeypatch):
    from metricsearch.vocabtree import disk

    before = answers(tree)

    def refuse(path, manifest):
        raise StorageError(f"{path}: No space left on device")

    monkeypatch.setattr(disk, "write_manifest", refuse)
    for act in (lambda: tree.add(100, descriptors(100)), lambda: tree.remove([1]), tree.compact, tree.freeze_weights):
        with pytest.raises(StorageError):
            act()
        assert answers(tree) == before
        assert_tidy(tree.path)
    monkeypatch.undo()
    assert reopened(tree) == before
    tree.compact()
    assert reopened(tree) == before
