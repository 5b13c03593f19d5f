import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle.store import euclidean, sparse_payload

from metricsearch.errors import InvalidInputError, MissingExtraError, UnknownNameError
from metricsearch.spaces import BITS, POINT_SETS, SETS, SIGNATURES, STRINGS, VECTORS, Ragged, get_metric
from metricsearch.store import codec_names, default_codec, get_codec
from metricsearch.store.codec import DamagedRecordError
from metricsearch.store.segments import pack_records

VECTOR_CODECS = ["raw-f32", "sparse-f32", "pcodec", "f16", "u8"]
LOSSLESS = ["raw-f32", "sparse-f32", "pcodec"]
WITH_KERNEL = ["raw-f32", "sparse-f32", "f16", "u8"]

SPECIAL = [0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 65504.0, 3.4028234663852886e38, -3.4028234663852886e38]
FLOATS = st.one_of(st.just(0.0), st.sampled_from(SPECIAL), st.floats(width=32, allow_nan=False, allow_infinity=False))
SMALL = st.one_of(st.just(0.0), st.sampled_from([-0.0, 1e-45, 1.0, -2.5]), st.floats(-1000, 1000, width=32))


def vectors(elements, max_side=5):
    shape = st.tuples(st.integers(0, max_side), st.sampled_from([1, 2, 63, 64, 65, 130]))
    return shape.flatmap(lambda s: hnp.arrays(np.float32, s, elements=elements, fill=st.just(0.0)))


def packed(codec, batch):
    """Records of `batch` as they lie in the store: memory, ids, offsets, lengths."""
    payload, lengths = codec.encode(batch)
    ids = np.arange(7, 7 + len(batch))
    memory, offsets = pack_records(ids, payload, lengths, codec.tag)
    return memory, ids, offsets, lengths


def round_trip(codec, batch, width):
    memory, _, offsets, lengths = packed(codec, batch)
    order = np.arange(len(batch))[::-1]  # records are read in any order
    return codec.decode(memory, offsets[order], lengths[order], width)[order]


def same_bits(ref, comp):
    return ref.shape == comp.shape and ref.dtype == comp.dtype and ref.tobytes() == comp.tobytes()


@pytest.mark.parametrize("name", LOSSLESS)
@given(batch=vectors(FLOATS))
def test_lossless_vector_codecs_give_back_every_bit(name, batch):
    assert same_bits(batch, round_trip(get_codec(name), batch, batch.shape[1]))


@given(batch=vectors(FLOATS))
def test_sparse_payload_is_bitmap_and_values_as_the_oracle_says(batch):
    payload, lengths = get_codec("sparse-f32").encode(batch)
    refs = [sparse_payload(row.tolist()) for row in batch]
    assert payload.tobytes() == b"".join(refs)
    assert lengths.tolist() == [len(ref) for ref in refs]


@given(batch=vectors(st.floats(-65504, 65504, width=32)))
def test_f16_rounds_to_the_nearest_half(batch):
    ref = batch.astype(np.float16).astype(np.float32)
    assert same_bits(ref, round_trip(get_codec("f16"), batch, batch.shape[1]))


@given(batch=vectors(FLOATS))
def test_u8_is_within_half_a_step(batch):
    comp = round_trip(get_codec("u8"), batch, batch.shape[1])
    assert np.isfinite(comp).all()
    wide = batch.astype(np.float64)
    step = (wide.max(axis=1, initial=-np.inf) - wide.min(axis=1, initial=np.inf)) / 255
    ulp = np.abs(wide).max(axis=1, initial=0.0) * 2.0**-23
    # Besides the half step: scale has a rounding error, seen 255 times, and subnormal scales cannot follow the step.
    allowed = 0.5 * step + 256 * np.spacing(step.astype(np.float32)) + ulp
    assert (np.abs(comp - wide) <= allowed[:, None]).all()


def test_u8_keeps_constant_vectors_exactly():
    batch = np.array([[2.5, 2.5, 2.5], [0, 0, 0]], dtype=np.float32)
    assert same_bits(batch, round_trip(get_codec("u8"), batch, 3))


@given(texts=st.lists(st.text(st.characters(), max_size=6), max_size=5))
def test_utf8_gives_back_every_code_point(texts):
    values = np.array([ord(c) for text in texts for c in text], dtype=np.uint32)
    offsets = np.cumsum([0, *map(len, texts)])
    comp = round_trip(get_codec("utf8"), Ragged(values, offsets), None)
    assert [STRINGS.to_user(comp, i) for i in range(len(texts))] == texts


def test_utf8_keeps_surrogates_and_zeros():
    texts = ["\ud800\udc00", "\0", "a\0", "", "\U0010ffff"]
    values = np.array([ord(c) for text in texts for c in text], dtype=np.uint32)
    comp = round_trip(get_codec("utf8"), Ragged(values, np.cumsum([0, *map(len, texts)])), None)
    assert comp.values.tolist() == values.tolist()


@given(batch=hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.sampled_from([1, 7, 8, 9]))))
def test_bits_round_trip(batch):
    assert same_bits(batch, round_trip(get_codec("bits"), batch, batch.shape[1]))


@given(sets=st.lists(st.frozensets(st.integers(0, 2**63 - 1), max_size=5), max_size=4))
def test_sets_round_trip(sets):
    batch = SETS.check(list(sets), "objects")
    comp = round_trip(get_codec("sets"), batch, None)
    assert [SETS.to_user(comp, i) for i in range(len(sets))] == list(sets)


@pytest.mark.parametrize(("name", "kind"), [("signatures", SIGNATURES), ("point-sets", POINT_SETS)])
@given(sizes=st.lists(st.integers(1, 4), max_size=4), columns=st.integers(2, 4))
def test_tables_round_trip(name, kind, sizes, columns):
    values = np.arange(1, sum(sizes) * columns + 1, dtype=np.float32).reshape(-1, columns)
    batch = Ragged(values, np.cumsum([0, *sizes]))
    assert get_codec(name).kind is kind
    comp = round_trip(get_codec(name), batch, columns)
    assert same_bits(values, comp.values)
    assert comp.offsets.tolist() == batch.offsets.tolist()


@pytest.mark.parametrize("name", WITH_KERNEL)
@given(batch=vectors(SMALL), data=st.data())
def test_distance_on_the_compressed_form_is_that_of_the_oracle(name, batch, data):
    codec, metric, width = get_codec(name), get_metric("euclidean"), batch.shape[1]
    memory, ids, offsets, lengths = packed(codec, batch)
    decoded = codec.decode(memory, offsets, lengths, width)
    near = decoded[data.draw(st.integers(0, len(batch) - 1))] if len(batch) else np.zeros(width, np.float32)
    for query in (near, near + np.float32(1e-3), np.zeros(width, np.float32), np.full(width, 7, np.float32)):
        comp = codec.distances(metric, query[None], memory, ids, offsets, lengths)
        ref = [euclidean(query, row) for row in decoded]
        assert np.allclose(comp, ref, rtol=1e-12, atol=0)
        assert np.allclose(comp, metric.distances(query[None], decoded), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", WITH_KERNEL)
def test_equal_vectors_are_at_distance_zero(name):
    codec = get_codec(name)
    rng = np.random.default_rng(0)
    batch = np.maximum(rng.normal(size=(20, 4096)), 0).astype(np.float32)
    memory, ids, offsets, lengths = packed(codec, batch)
    decoded = codec.decode(memory, offsets, lengths, 4096)
    for i in range(len(batch)):
        comp = codec.distances(get_metric("euclidean"), decoded[i : i + 1], memory, ids, offsets, lengths)
        assert np.flatnonzero(comp == 0).tolist() == [i]


def test_distance_of_nearly_equal_vectors_keeps_twelve_digits():
    codec, rng = get_codec("sparse-f32"), np.random.default_rng(1)
    query = np.maximum(rng.normal(size=(1, 4096)), 0).astype(np.float32)
    scales = np.float32(10.0) ** -np.arange(8, dtype=np.float32)
    batch = (query + scales[:, None] * rng.normal(size=(8, 4096)).astype(np.float32) * (query > 0)).astype(np.float32)
    memory, ids, offsets, lengths = packed(codec, batch)
    comp = codec.distances(get_metric("euclidean"), query, memory, ids, offsets, lengths)
    assert np.allclose(comp, [euclidean(query[0], row) for row in batch], rtol=1e-12, atol=0)


def test_other_metrics_have_no_kernel():
    codec = get_codec("sparse-f32")
    batch = np.ones((2, 3), dtype=np.float32)
    assert codec.distances(get_metric("manhattan"), batch[:1], *packed(codec, batch)) is None


@pytest.mark.parametrize("name", WITH_KERNEL)
def test_distances_notice_the_record_of_another_object(name):
    codec = get_codec(name)
    batch = np.ones((3, 5), dtype=np.float32)
    memory, ids, offsets, lengths = packed(codec, batch)
    ids[1] = 99
    with pytest.raises(DamagedRecordError) as info:
        codec.distances(get_metric("euclidean"), batch[:1], memory, ids, offsets, lengths)
    assert info.value.row == 1


@given(bit=st.integers(0, 8 * 8 * 2 - 1))
def test_a_flipped_bit_of_a_sparse_bitmap_is_noticed_before_anything_is_read(bit):
    codec = get_codec("sparse-f32")
    batch = np.zeros((1, 100), dtype=np.float32)
    batch[0, ::3] = 1
    memory, ids, offsets, lengths = packed(codec, batch)
    memory[offsets[0] + bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedRecordError):
        codec.decode(memory, offsets, lengths, 100)
    with pytest.raises(DamagedRecordError):
        codec.distances(get_metric("euclidean"), batch, memory, ids, offsets, lengths)


@pytest.mark.parametrize("name", ["raw-f32", "sparse-f32", "pcodec", "f16", "u8", "bits", "signatures"])
def test_decoding_refuses_a_payload_of_wrong_length(name):
    codec = get_codec(name)
    memory = np.zeros(64, dtype=np.uint8)
    with pytest.raises(DamagedRecordError) as info:
        codec.decode(memory, np.array([16]), np.array([3]), 5)
    assert info.value.row == 0


def test_utf8_refuses_bytes_that_are_not_utf8():
    memory = np.frombuffer(b"ab\0\0\0\0\0\0a\xff\0\0\0\0\0\0", dtype=np.uint8)
    with pytest.raises(DamagedRecordError) as info:
        get_codec("utf8").decode(memory, np.array([0, 8]), np.array([2, 2]), None)
    assert info.value.row == 1


def test_f16_refuses_what_it_cannot_hold_and_names_the_row():
    batch = np.array([[1, 65504], [65505, 0], [-70000, 0]], dtype=np.float32)
    get_codec("f16").check(batch[:1])
    with pytest.raises(InvalidInputError, match="row 1 .*65504.*2 such rows"):
        get_codec("f16").check(batch)


def test_codecs_are_known_by_name_and_fit_one_kind():
    for kind in (VECTORS, STRINGS, BITS, SETS, SIGNATURES, POINT_SETS):
        assert default_codec(kind) == codec_names(kind)[0]
        assert get_codec(default_codec(kind), kind).lossless
        for name in codec_names(kind):
            assert get_codec(name).kind is kind
    assert codec_names(VECTORS) == VECTOR_CODECS
    tags = [get_codec(name).tag for name in codec_names()]
    assert len(set(tags)) == len(tags) == 10


def test_an_unknown_codec_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"'sparse-f23' \(did you mean 'sparse-f32'\?\); known: raw-f32"):
        get_codec("sparse-f23")


def test_a_codec_of_another_kind_is_refused_with_those_that_fit():
    with pytest.raises(InvalidInputError, match="sparse-f32 takes vectors; for strings use utf8"):
        get_codec("sparse-f32", STRINGS)


def test_parameters_reach_the_codec_and_wrong_ones_are_refused():
    assert get_codec("pcodec", parameters={"level": 3}).parameters() == {"level": 3}
    with pytest.raises(InvalidInputError, match="level"):
        get_codec("pcodec", parameters={"level": 13})
    with pytest.raises(InvalidInputError, match="no such parameters: speed"):
        get_codec("raw-f32", parameters={"speed": 3})


def test_a_missing_package_is_named_with_its_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pcodec", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'metricsearch\[codecs\]'"):
        get_codec("pcodec")
