"""Segments: what is put in comes out, merging is building, and no damage goes unnoticed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import vocabtree as oracle

from metricsearch.errors import CorruptedError
from metricsearch.vocabtree.building import build_segment, offsets_of
from metricsearch.vocabtree.counts import Statistics
from metricsearch.vocabtree.merging import merged
from metricsearch.vocabtree.segment import Segment, check_segment
from metricsearch.vocabtree.state import Counts, Weights

N_WORDS = 10**8
NONE = np.empty(0, dtype=np.uint32)
# Words close together and far apart, so that gaps take one to five bytes.
WORDS = st.one_of(st.integers(0, 30), st.sampled_from([63, 64, 8191, 8192, 10**6, 2**21, N_WORDS - 1]))
IMAGES = st.lists(st.lists(WORDS, max_size=8), max_size=8)


def segment_of(images, first_id=0, signed=False):
    """Segment of images with IDs from `first_id` on; signatures tell (image, place) apart."""
    flat = np.array([word for words in images for word in words], dtype=np.uint32)
    starts = offsets_of([len(words) for words in images])
    ids = first_id + np.arange(len(images))
    signatures = None
    if signed:
        signatures = np.array(
            [i * 1000 + p for i, w in zip(ids, images, strict=True) for p in range(len(w))], np.uint64
        )
    return build_segment(ids, [f"é{i}" for i in ids], flat, starts, signatures)


def same(one, other):
    one, other = one.to_arrays(), other.to_arrays()
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


@given(images=IMAGES)
def test_what_is_put_in_comes_out(images):
    segment = segment_of(images, 5)
    for i, words in enumerate(images):
        assert np.repeat(*segment.words_of(i)).tolist() == sorted(words)
        assert segment.name_of(i) == f"é{5 + i}"
    assert segment.leaves.tolist() == sorted({word for words in images for word in words})
    assert segment.list_lengths.tolist() == [sum(w in words for words in images) for w in segment.leaves]
    assert segment.occurrences.tolist() == [sum(words.count(w) for words in images) for w in segment.leaves]
    assert check_segment(segment.to_arrays(), N_WORDS) == []


@pytest.mark.parametrize("tf", [1, 2, 3, 128, 129, 130, 131, 70_000])
def test_frequencies_of_any_size(tf):
    segment = segment_of([[7] * tf + [9], [7]])
    assert [part.tolist() for part in segment.words_of(0)] == [[7, 9], [tf, 1]]
    assert check_segment(segment.to_arrays(), 10) == []


def test_gaps_between_images_of_any_size():
    images = [[] for _ in range(20_000)]
    for i in (0, 1, 64, 128, 8192, 19_999):
        images[i] = [3]
    segment = segment_of(images)
    assert segment.list_lengths.tolist() == [6]
    assert check_segment(segment.to_arrays(), 4) == []
    assert segment.postings.tolist()[:2] == [0, 0]  # images 0 and 1: a gap of one takes one byte
    assert len(segment.postings) == 1 + 1 + 1 + 1 + 2 + 3


@given(parts=st.lists(IMAGES, min_size=1, max_size=4), signed=st.booleans(), data=st.data())
def test_merging_is_building_from_the_images_that_are_left(parts, signed, data):
    segments, removed, left, first = [], [], [], 0
    for images in parts:
        gone = data.draw(st.sets(st.integers(0, len(images) - 1))) if images else set()
        segments.append(segment_of(images, first, signed))
        removed.append(np.array(sorted(gone), dtype=np.uint32))
        left += [(first + i, words) for i, words in enumerate(images) if i not in gone]
        first += len(images)
    comp = merged(segments, removed, N_WORDS)
    flat = np.array([word for _, words in left for word in words], dtype=np.uint32)
    ids = np.array([i for i, _ in left], dtype=np.int64)
    signatures = np.array([i * 1000 + p for i, w in left for p in range(len(w))], dtype=np.uint64) if signed else None
    starts = offsets_of([len(words) for _, words in left])
    assert same(comp, build_segment(ids, [f"é{i}" for i in ids], flat, starts, signatures))
    assert check_segment(comp.to_arrays(), N_WORDS) == []


def test_merging_of_many_leaves_is_the_same_with_a_table():
    parts = [segment_of([[i, (3 * i) % 50] for i in range(50)]), segment_of([[1, 2, 49]])]
    assert same(merged(parts, [NONE, NONE], 50), merged(parts, [NONE, NONE], N_WORDS))


def test_merging_keeps_signatures_of_words_that_occur_several_times():
    segments = [segment_of([[4, 4, 2], [4]], 0, True), segment_of([[2, 4, 4]], 2, True)]
    comp = merged(segments, [np.array([1], dtype=np.uint32), NONE], 5)
    assert comp.leaves.tolist() == [2, 4]
    assert comp.signatures.tolist() == [2, 2000, 0, 1, 2001, 2002]
    assert comp.signature_starts().tolist() == [0, 2, 6]


@given(images=st.lists(st.lists(st.integers(0, 26), max_size=8), max_size=8), data=st.data())
def test_counts_are_those_of_the_images_that_are_left(images, data):
    gone = data.draw(st.sets(st.integers(0, len(images) - 1))) if images else set()
    half = len(images) // 2
    segments = [segment_of(images[:half]), segment_of(images[half:], half)]
    removed = [
        np.array(sorted(i for i in gone if i < half), dtype=np.uint32),
        np.array(sorted(i - half for i in gone if i >= half), dtype=np.uint32),
    ]
    comp = Statistics(segments, removed, 3, 3)
    ref = oracle.Statistics(oracle.Tree(3, 3), [words for i, words in enumerate(images) if i not in gone])
    assert (comp.n_images, comp.n_descriptors) == (ref.n_images, ref.n_words)
    for level in (1, 2, 3):
        counts = comp.level(level, True)
        nodes = counts.nodes.tolist()
        assert dict(zip(nodes, counts.n_images.tolist(), strict=True)) == ref.image_frequency[level]
        assert dict(zip(nodes, counts.list_lengths.tolist(), strict=True)) == ref.list_length[level]
        assert dict(zip(nodes, counts.occurrences.tolist(), strict=True)) == ref.word_frequency[level]
        assert nodes == sorted(nodes)


def test_segments_have_identities():
    assert len({segment_of([]).uid, segment_of([]).uid, merged([segment_of([])], [NONE], 5).uid}) == 3


# ---------------------------------------------------------------------- from files


def test_arrays_come_back_read_only_and_plain(tmp_path):
    segment = segment_of([[1, 2], [2, 2, 9]], signed=True)
    for name, array in segment.to_arrays().items():
        np.save(tmp_path / name, array)
    mapped = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in tmp_path.glob("*.npy")}
    loaded = Segment.from_arrays(mapped, "here")
    assert same(loaded, segment)
    for array in loaded.to_arrays().values():
        assert type(array) is np.ndarray
        assert not array.flags.writeable


def damaged_arrays():
    good = segment_of([[1, 2, 2], [2], [1, 5]], signed=True).to_arrays()
    for name, array in good.items():
        if name not in ("image_ids", "signatures"):
            yield f"{name} too short", good | {name: array[:-1]}
            yield f"{name} too long", good | {name: np.append(array, array[-1:])}
        if name != "signatures":  # a segment may be without them
            yield f"{name} missing", {other: value for other, value in good.items() if other != name}
        yield f"{name} of another type", good | {name: array.astype(np.float32)}
        yield f"{name} of two axes", good | {name: array[None]}


DAMAGED = list(damaged_arrays())


@pytest.mark.parametrize("arrays", [arrays for _, arrays in DAMAGED], ids=[what for what, _ in DAMAGED])
def test_arrays_that_do_not_fit_are_refused(arrays):
    with pytest.raises(CorruptedError, match="here") as told:
        Segment.from_arrays(arrays, "here")
    assert "\n" not in str(told.value)
    assert check_segment(arrays, 6) != []


def test_every_changed_byte_of_the_files_is_noticed():
    good = segment_of([[1, 2, 2], [2, 300], [1, 5, 5, 5], [300] * 200], signed=True).to_arrays()
    assert check_segment(good, 301) == []
    for name in ("forward", "postings", "leaves", "list_lengths", "occurrences", "list_starts", "forward_starts"):
        for place in range(good[name].nbytes):
            for bit in (1, 64, 128):
                raw = bytearray(good[name].tobytes())
                raw[place] ^= bit
                bad = np.frombuffer(bytes(raw), dtype=good[name].dtype)
                assert check_segment(good | {name: bad}, 301) != [], (name, place, bit)
    assert check_segment(good | {"names": np.full_like(good["names"], 0xFF)}, 301) == ["names: not UTF-8"]
    assert check_segment(good | {"signatures": good["signatures"][:-1]}, 301) != []
    assert check_segment(good, 300) != []


@pytest.mark.parametrize(
    "end",
    [
        [0x80] * 9 + [0x01],  # a number of 64 bits, below zero
        [0x80] * 12,
        [0x80] * 8 + [0x7F],  # the largest gap
        [0xFF] * 10,
        [0x00, 0x00],  # one image too many
        [0x7E],  # an image that is not there
        [0x03, 0x05],  # another frequency
    ],
)
def test_a_damaged_list_is_not_merged_into_a_new_file(end):
    good = segment_of([[7], [7], [7, 7], [7, 7]], signed=True)
    content = np.append(good.postings[:-2], np.array(end, np.uint8))
    bad = Segment.from_arrays(
        good.to_arrays() | {"postings": content, "list_starts": np.array([0, len(content)])}, "here"
    )
    assert same(merged([good], [NONE], 8), good)
    for removed in (NONE, np.array([0, 3], dtype=np.uint32)):
        with pytest.raises(CorruptedError, match="the inverted list of word 7 is damaged"):
            merged([good, bad], [NONE, removed], 8)


def test_weights_come_back():
    counts = Statistics([segment_of([[1, 2], [2, 8]])], [NONE], 3, 2).counts()
    weights = Weights("frozen", counts)
    loaded = Weights.from_arrays(weights.parameters(), weights.to_arrays(), "here")
    assert loaded.source == "frozen"
    for name, array in counts.to_arrays().items():
        assert np.array_equal(array, loaded.counts.to_arrays()[name])
    assert Weights.from_arrays(Weights().parameters(), {}, "here").counts is None
    for name, array in counts.to_arrays().items():
        with pytest.raises(CorruptedError, match="here"):
            Counts.from_arrays(counts.to_arrays() | {name: array[:-1]}, "here")
    with pytest.raises(CorruptedError, match="here"):
        Weights.from_arrays({"source": "elsewhere"}, {}, "here")
