"""Flipped bytes and cut files of a vocabulary tree: found by opening or verifying, never a wrong answer or a crash."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from metricsearch.errors import CorruptedError
from metricsearch.manifests import ManifestKind
from metricsearch.vocabtree import Scoring, VocabularyTree, disk

D = 6


def descriptors(seed, n=20):
    return np.random.default_rng(seed).integers(0, 40, (n, D)).astype(np.uint8) * 6


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A closed tree with signatures, two segments, removed images and weights of its own."""
    path = tmp_path_factory.mktemp("made") / "t.vt"
    tree = VocabularyTree(3, 3, hamming=True, seed=0, n_threads=1).fit(descriptors(999, 400))
    tree.add_images((i, descriptors(i), f"{i}.jpg") for i in range(40))
    tree.save(path)
    tree.add(50, descriptors(50), name="fifty")
    tree.remove([3, 17])
    tree.freeze_weights()
    tree.add(51, descriptors(51))
    tree.close()
    return path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "t.vt")


# A crash must not end the tests, so damage is looked at in a process of its own.
PROBE = """
import json, sys
import numpy as np
from metricsearch.errors import MetricSearchError
from metricsearch.vocabtree import Scoring, VocabularyTree, disk

path, damages = sys.argv[1], json.loads(sys.argv[2])
queries = [np.random.default_rng(seed).integers(0, 40, (20, 6)).astype(np.uint8) * 6 for seed in (0, 7, 12)]

def verified():
    with VocabularyTree.open(path, readonly=True, n_threads=1) as tree:
        return "found" if tree.verify() else "not found"

def searched():
    found = []
    with VocabularyTree.open(path, readonly=True, n_threads=1) as tree:
        for scoring in (Scoring(), Scoring(norm="l2", levels=3, burstiness=True), Scoring(hamming_threshold=30)):
            for query in queries:
                result = tree.search(query, 10, scoring=scoring)
                found.append((result.ids.tolist(), result.scores.tolist()))
    return found

reference = searched()
for target, at, mask, checked in damages:
    disk.CHECKED_BYTES = checked
    whole = open(target, "rb").read()
    bad = whole[:at] if mask == 0 else whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1:]
    with open(target, "wb") as file:
        file.write(bad)
    answers = []
    for look in (verified, lambda: "same" if searched() == reference else "wrong answer"):
        try:
            answers.append(look())
        except MetricSearchError as error:
            answers.append("error" if "\\n" not in str(error) else "many lines")
        except Exception as error:
            answers.append(repr(error)[:200])
    print(json.dumps([target, at, mask, *answers]), flush=True)
    with open(target, "wb") as file:
        file.write(whole)
"""


def probe(path, damages, checked=disk.CHECKED_BYTES):
    """What verify found and what searching gave, for each damage (file, position, mask; mask 0 = cut off there)."""
    damages = [[str(file), int(at), int(mask), checked] for file, at, mask in damages]
    command = [sys.executable, "-c", PROBE, str(path), json.dumps(damages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"crashed with {done.returncode} after {rows[-1:]}: {done.stderr[-500:]}"
    assert len(rows) == len(damages)
    return rows


def outcomes(rows):
    return {(row[3], row[4]) for row in rows}


def flips(file, positions, rng):
    return [[file, at, rng.integers(1, 256)] for at in positions]


def array_files(path):
    files = sorted(path.rglob("*.npy"))
    assert {file.relative_to(path).parts[0] for file in files} == set(disk._LOADERS)
    return files


def test_flipped_bytes_are_found_when_the_tree_is_opened(path):
    rng = np.random.default_rng(1)
    damages = [flip for file in array_files(path) for flip in flips(file, rng.integers(0, file.stat().st_size, 2), rng)]
    assert outcomes(probe(path, damages)) == {("error", "error")}
    manifest = path / "manifest.json"
    text = manifest.read_bytes()
    positions = [i for i in rng.integers(0, len(text), 150).tolist() if text[i : i + 1] not in (b" ", b"\n")]
    assert outcomes(probe(path, flips(manifest, positions, rng))) == {("error", "error")}


def test_flipped_bytes_of_large_lists_are_found_by_verify(path, monkeypatch):
    monkeypatch.setattr(disk, "CHECKED_BYTES", 0)
    rng = np.random.default_rng(2)
    for file in array_files(path):
        size, content = file.stat().st_size, file.read_bytes()
        for at in {size - 1, *rng.integers(0, size, 2).tolist()}:
            file.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            if file.name in disk._PAYLOADS:
                with VocabularyTree.open(path, readonly=True) as tree:
                    assert tree.verify() == [f"{file}: file is damaged (its sha256 is not the one in the manifest)"]
            else:
                with pytest.raises(CorruptedError, match=f"{file.name}: damaged"):
                    VocabularyTree.open(path, readonly=True)
        file.write_bytes(content)


def test_lists_that_do_not_end_where_they_should_are_found_by_the_first_search(path, monkeypatch):
    monkeypatch.setattr(disk, "CHECKED_BYTES", 0)
    file = next(file for file in array_files(path) if file.name == "postings.npy")
    content = file.read_bytes()
    # 0xFE: a number that never ends; the last: one of 64 bits, which is below zero
    for damage in (b"\x00", b"\x03", b"\x7f", b"\xfe", b"\xff" * 9 + b"\x00", b"\x80" * 9 + b"\x01"):
        begin = len(content) - len(content) // 4
        file.write_bytes((content[:begin] + damage * len(content))[: len(content)])
        with VocabularyTree.open(path) as tree:
            for scoring in (Scoring(), Scoring(levels=3), Scoring(hamming_threshold=30)):
                with pytest.raises(CorruptedError, match="list is damaged"):
                    tree.search(descriptors(0), scoring=scoring)
            with pytest.raises(CorruptedError, match="inverted list of word .* is damaged"):
                tree.compact()


def test_a_changed_number_of_descriptors_is_found_by_the_first_search(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "CHECKED_BYTES", 0)
    with VocabularyTree(3, 2) as tree:
        tree.add_words([1, 2, 3], [[0, 0], [0, 0, 4], [5]])
        tree.save(tmp_path / "words.vt")
    file = next(file for file in (tmp_path / "words.vt").rglob("postings.npy"))
    content = file.read_bytes()
    assert content[-6:] == bytes([1, 0, 1, 0, 2, 4])  # word 0: images 0 and 1, twice each
    for damage in (bytes([1, 0, 1, 9, 2, 4]), bytes([1, 127, 1, 0, 2, 4])):
        file.write_bytes(content[:-6] + damage)
        with VocabularyTree.open(tmp_path / "words.vt", readonly=True) as tree:
            for scoring in (Scoring(), Scoring(norm="l2", levels=2)):
                with pytest.raises(CorruptedError, match="list is damaged"):
                    tree.search_words([0, 5], scoring=scoring)


def test_cut_files_are_found_when_the_tree_is_opened(path):
    rng = np.random.default_rng(3)
    damages = []
    for file in [*array_files(path), path / "manifest.json"]:
        size = file.stat().st_size
        damages += [[file, cut, 0] for cut in (0, size - 2, int(rng.integers(0, size - 2)))]
    assert outcomes(probe(path, damages, checked=0)) == {("error", "error")}


def test_a_missing_file_is_named(path):
    for file in array_files(path):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(CorruptedError, match=f"{file.name}: the file is missing"):
            VocabularyTree.open(path)
        file.write_bytes(content)
    VocabularyTree.open(path).close()


def test_damage_that_happens_while_a_tree_is_open_is_found_by_verify(path):
    with VocabularyTree.open(path, readonly=True) as tree:
        assert tree.verify() == []
        for file in array_files(path):
            with file.open("r+b") as opened:  # in place: the file is mapped
                opened.seek(-1, 2)
                (byte,) = opened.read(1)
                opened.seek(-1, 2)
                opened.write(bytes([byte ^ 1]))
            assert tree.verify() == [f"{file}: file is damaged (its sha256 is not the one in the manifest)"]
            with file.open("r+b") as opened:
                opened.seek(-1, 2)
                opened.write(bytes([byte]))
        assert tree.verify() == []


KIND = ManifestKind(format="metricsearch-vocabulary-tree", version=1, noun="vocabulary tree", make="")


def manifest_without_what(change):
    """A change of the content of a manifest, whose checksum fits."""

    def changed(path):
        content = KIND.read(path)
        change(content)
        KIND.write(path, content)

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("segments"),
        lambda content: content.update(extra=1),
        lambda content: content["vocabulary"].pop("files"),
        lambda content: content["vocabulary"]["files"].clear(),
        lambda content: content["parameters"].pop("depth"),
        lambda content: content["parameters"].update(depth="3"),
        lambda content: content["parameters"].update(branching=2),
        lambda content: content["segments"][0]["content"].update(folder="segments/000777"),
        lambda content: content["segments"][0]["content"]["files"]["leaves.npy"].update(dtype="x"),
        lambda content: content["segments"][0]["content"]["files"]["leaves.npy"].update(shape=[3]),
        lambda content: content["segments"][0]["content"]["files"]["leaves.npy"].update(shape=[10**6]),
        lambda content: content["segments"][0]["content"]["files"]["leaves.npy"].update(shape=["3"]),
        lambda content: content["segments"][0]["content"]["files"]["leaves.npy"].update(shape=[-3]),
        lambda content: content["vocabulary"]["parameters"].update(depth=30),
        lambda content: content["segments"][0].update(removed=content["segments"][1]["content"]),
    ],
)
def test_a_manifest_that_contradicts_the_files_is_found(path, change):
    manifest_without_what(change)(path)
    with pytest.raises(CorruptedError) as info:
        VocabularyTree.open(path)
    assert "\n" not in str(info.value)
    assert str(path) in str(info.value)


def test_an_image_that_is_there_twice_is_found_by_verify(path):
    manifest_without_what(lambda content: content["segments"].append(content["segments"][-1]))(path)
    with VocabularyTree.open(path, readonly=True) as tree:
        assert tree.verify() == [f"{path}: two images have ID {image_id}" for image_id in (50, 51)]
