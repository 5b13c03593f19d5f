"""Profiset, words, DNA, number tables, signatures: round trips, and errors that name the line."""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import formats as oracle

from metricsearch.datasets import (
    read_dna,
    read_number_table,
    read_profiset,
    read_signatures,
    read_words,
    write_profiset,
    write_words,
)
from metricsearch.errors import CorruptedError, DuplicateIdError, InvalidInputError, MissingDataError

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
KEY = "#objectKey messif.objects.keys.AbstractObjectKey"


@given(
    vectors=hnp.arrays(np.float32, st.tuples(st.integers(0, 7), st.just(4)), elements=FLOATS),
    first_id=st.integers(0, 2**62),
    packed=st.booleans(),
    chunk_size=st.integers(1, 9),
)
def test_profiset_comes_back_with_the_same_bits(vectors, first_id, packed, chunk_size):
    ids = first_id + np.arange(len(vectors))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decaf.txt"
        write_profiset(path, ids, vectors, packed=packed)
        chunks = list(read_profiset(path, chunk_size, dimension=4))
        data = path.read_bytes()
    assert [len(i) for i, _ in chunks[:-1]] == [chunk_size] * max(0, len(chunks) - 1)
    comp = [(int(i), v.tolist()) for ids_of, batch in chunks for i, v in zip(ids_of, batch, strict=True)]
    ref = oracle.read_profiset((gzip.decompress(data) if packed else data).decode())
    assert [i for i, _ in comp] == [i for i, _ in ref] == ids.tolist()
    assert np.array_equal([v for _, v in comp], np.array([v for _, v in ref], dtype=np.float32))
    assert np.array([v for _, v in comp], dtype=np.float32).tobytes() == vectors.tobytes()


def test_profiset_takes_commas_blank_lines_crlf_and_padded_ids(tmp_path):
    path = tmp_path / "decaf.txt"
    path.write_bytes(f"{KEY} 0007\r\n1, 2,3\r\n\r\n{KEY} 8\n 4\t5  6e0 \n\n".encode())
    ((ids, vectors),) = read_profiset(path, dimension=3)
    assert ids.tolist() == [7, 8]
    assert vectors.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{KEY} 1\n1 2\n", "line 2: expected 3 numbers, got 2"),
        (f"{KEY} 1\n1 2 3\n{KEY} 2\n", "line 4: the file ends where the numbers of object 2 belong"),
        (f"{KEY} 1\n{KEY} 2\n1 2 3\n", "line 2: expected 3 numbers of object 1, got another key"),
        (f"{KEY} 1\n1 x 3\n", "line 2: expected a number, got 'x'"),
        (f"{KEY} 1\n1 nan 3\n", "line 2: number 2 is NaN or beyond float32"),
        (f"{KEY} 1\n1 2 1e39\n", "line 2: number 3 is NaN or beyond float32"),
        (f"{KEY} one\n1 2 3\n", "line 1: expected #objectKey ... and a whole number as ID"),
        (f"{KEY} 99999999999999999999\n1 2 3\n", "line 1: expected #objectKey"),
        ("1 2 3\n", "line 1: expected a line that begins with #objectKey"),
        (f"{KEY} 1\n1 2 3\n1 2 3\n", "line 3: expected a line that begins with #objectKey"),
    ],
)
def test_malformed_profiset_names_the_line(tmp_path, text, message):
    path = tmp_path / "decaf.txt"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as error:
        list(read_profiset(path, dimension=3))
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_profiset_records_before_a_damage_are_delivered(tmp_path):
    path = tmp_path / "decaf.txt"
    path.write_text(f"{KEY} 1\n1 2 3\n{KEY} 2\n1 2\n")
    chunks = read_profiset(path, 1, dimension=3)
    assert next(chunks)[0].tolist() == [1]
    with pytest.raises(InvalidInputError, match="line 4"):
        next(chunks)


def test_truncated_gzip_is_refused(tmp_path):
    path = tmp_path / "decaf.txt.gz"
    write_profiset(path, np.arange(50), np.random.default_rng(0).random((50, 20)), packed=True)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptedError, match="damaged gzip stream"):
        list(read_profiset(path, dimension=20))


def test_profiset_ids_must_differ(tmp_path):
    with pytest.raises(DuplicateIdError):
        write_profiset(tmp_path / "x", [1, 1], np.ones((2, 3)))


@given(
    words=st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1)),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_words_come_back_with_either_line_end(words, end):
    words = [word.lstrip("\ufeff") or "x" for word in words]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words"
        write_words(path, words)
        path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
        assert read_words(path) == words


def test_empty_lines_and_byte_order_mark_are_dropped(tmp_path):
    (tmp_path / "words").write_bytes(b"\xef\xbb\xbfa\n\n\r\nb c\nd")
    assert read_words(tmp_path / "words") == ["a", "b c", "d"]


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path):
    (tmp_path / "words").write_bytes("gut\n\ngrün\n".encode("latin-1"))
    with pytest.raises(InvalidInputError, match="line 3: expected UTF-8, byte 3 is 0xfc"):
        read_words(tmp_path / "words")


@pytest.mark.parametrize("word", ["", "a\nb", "a\r", "\ud800", "\ufeffa", 3])
def test_words_that_would_not_come_back_are_refused(tmp_path, word):
    with pytest.raises(InvalidInputError, match="row 0"):
        write_words(tmp_path / "words", [word])
    assert list(tmp_path.iterdir()) == []


def test_dna_with_another_letter_names_the_line(tmp_path):
    (tmp_path / "dna").write_text("ACGT\n\nACNGT\n")
    with pytest.raises(InvalidInputError, match="line 3: expected only A, C, G, T, got 'N'"):
        read_dna(tmp_path / "dna")


@pytest.mark.parametrize(("delimiter", "text"), [(",", "1,2\n-3,4e-1\n"), (None, "  1   2\n\n-3 0.4\n")])
def test_number_table_is_read(tmp_path, delimiter, text):
    (tmp_path / "table").write_bytes(gzip.compress(text.encode()))
    assert np.array_equal(read_number_table(tmp_path / "table", delimiter), np.array([[1, 2], [-3, 0.4]], np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", "line 2: expected 2 numbers, got 1"),
        ("1,2\n3,\n", "line 2: expected a number, got ''"),
        ("x,y\n1,2\n", "line 1: expected a number, got 'x'"),
        ("1,2\n3,inf\n", "line 2: number 2 is NaN"),
        ("\n", "expected at least one line"),
    ],
)
def test_malformed_number_table_names_the_line(tmp_path, text, message):
    (tmp_path / "table").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_number_table(tmp_path / "table", ",")


SIGNATURES = "2 1 10\n\na.jpg\n0.5 0.25\n0.1 0.75\n\nb.jpg\n0 1\n1 2\n"


def test_signatures_are_read(tmp_path):
    (tmp_path / "s").write_text(SIGNATURES)
    content = read_signatures(tmp_path / "s")
    assert content.names == ["a.jpg", "b.jpg"]
    assert content.n_pixels == 10
    assert [s.tolist() for s in content.signatures] == [
        [[0.5, 0.25], [np.float32(0.1), 0.75]],
        [[0, 1], [1, 2]],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 1\n", "line 1: expected clusters, features, pixels"),
        ("", "line 1: expected clusters"),
        (SIGNATURES.replace("0.1 0.75\n", ""), "line 5, image a.jpg: expected 2 numbers, got 0"),
        (SIGNATURES.replace("1 2\n", ""), "line 9, image b.jpg: expected 2 numbers, got 0"),
        (SIGNATURES.replace("0.25", "0"), "line 4, image a.jpg: expected a weight > 0"),
        (SIGNATURES.replace("0.25", "nan"), "line 4, image a.jpg: number 2 is NaN"),
    ],
)
def test_malformed_signatures_name_the_line(tmp_path, text, message):
    (tmp_path / "s").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_signatures(tmp_path / "s")


def test_missing_text_file_is_named(tmp_path):
    for read in (read_words, read_number_table, read_signatures, read_dna, lambda path: list(read_profiset(path))):
        with pytest.raises(MissingDataError, match="gone"):
            read(tmp_path / "gone")
