"""Jitted loops that write, merge and check forward and inverted files; what the arrays hold is said in `segment`.

An entry of a file is varint((gap - 1) << 1 | several), then, if several, varint(tf - 2). Where one list or image ends
is known from the starts.
"""

import numpy as np

from metricsearch.accelerate import kernel

# ---------------------------------------------------------------------- the code of entries


@kernel
def _varint_size(value):
    """Bytes of varint(value), value >= 0."""
    n = 1
    while value >= 128:
        value >>= 7
        n += 1
    return n


@kernel
def _entry_size(gap, tf):
    """Bytes of one entry."""
    n = _varint_size((gap - 1) << 1)
    return n + _varint_size(tf - 2) if tf > 1 else n


@kernel
def _put_varint(out, at, value):
    """Write varint(value) at out[at]; returns the place behind it."""
    while value >= 128:
        out[at] = (value & 127) | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@kernel
def _put_entry(out, at, gap, tf):
    """Write one entry at out[at]; returns the place behind it."""
    if tf == 1:
        return _put_varint(out, at, (gap - 1) << 1)
    at = _put_varint(out, at, (gap - 1) << 1 | 1)
    return _put_varint(out, at, tf - 2)


@kernel
def _get_varint(source, at):
    """(value, place behind it) of the varint at source[at]."""
    byte = np.int64(source[at])
    at += 1
    if byte < 128:
        return byte, at
    value = byte & 127
    shift = 7
    while True:
        byte = np.int64(source[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128 or shift == 56:  # 63 bits: damaged bytes must not lead on and on, nor below zero
            return value, at
        shift += 7


@kernel
def _get_entry(source, at):
    """(gap, tf, place behind it) of the entry at source[at]."""
    value, at = _get_varint(source, at)
    tf = np.int64(1)
    if value & 1:
        tf, at = _get_varint(source, at)
        tf += 2
    return (value >> 1) + 1, tf, at


@kernel
def _get_checked_varint(source, at, end):
    """As `_get_varint`, but (-1, at) where it does not end before `end` or is longer than 63 bits."""
    value = np.int64(0)
    shift = 0
    while at < end and shift < 63:
        byte = np.int64(source[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return np.int64(-1), at


@kernel
def _get_checked_entry(source, at, end):
    """As `_get_entry`, but with gap -1 where it does not end before `end` or holds too large a number."""
    value, at = _get_checked_varint(source, at, end)
    tf = np.int64(1)
    if value >= 0 and value & 1:
        tf, at = _get_checked_varint(source, at, end)
        if tf < 0 or tf >= 1 << 40:
            return np.int64(-1), tf, at
        tf += 2
    return (value >> 1) + 1 if value >= 0 else np.int64(-1), tf, at


@kernel
def _mixed(image, word, tf):
    """uint64 hash of one (image, word, tf), all int64 >= 0."""
    x = np.uint64(image) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(word)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(tf)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# ---------------------------------------------------------------------- building


@kernel
def order_by_word(words, top):
    """(n,) uint32: places of the words (n,) uint32, ascending by word, equal ones in their order. top: largest word."""
    n = words.size
    order = np.empty(n, np.uint32)
    other = np.empty(n, np.uint32)
    for i in range(n):
        order[i] = i
    shift = 0
    while shift == 0 or (top >> shift) > 0:
        begins = np.zeros(2049, np.int64)
        for i in range(n):
            begins[((np.int64(words[i]) >> shift) & 2047) + 1] += 1
        for digit in range(2048):
            begins[digit + 1] += begins[digit]
        for i in range(n):
            place = order[i]
            bucket = (np.int64(words[place]) >> shift) & 2047
            other[begins[bucket]] = place
            begins[bucket] += 1
        order, other = other, order
        shift += 11
    return order


@kernel
def measure_files(words, images, forward_sizes):
    """Sizes of the files to be written: (n_lists, bytes of postings); adds to forward_sizes (n_images,) int64.

    words, images: (n,) uint32, of each descriptor, ascending by word, then by image.
    """
    last_words = np.full(forward_sizes.size, -1, np.int64)
    n_lists = 0
    n_bytes = 0
    word = np.int64(-1)
    last_image = np.int64(-1)
    i = 0
    while i < words.size:
        image = np.int64(images[i])
        if np.int64(words[i]) != word:
            word = np.int64(words[i])
            last_image = np.int64(-1)
            n_lists += 1
        tf = np.int64(1)
        i += 1
        while i < words.size and np.int64(images[i]) == image and np.int64(words[i]) == word:
            tf += 1
            i += 1
        n_bytes += _entry_size(image - last_image, tf)
        last_image = image
        forward_sizes[image] += _entry_size(word - last_words[image], tf)
        last_words[image] = word
    return n_lists, n_bytes


@kernel
def write_files(words, images, forward_starts, forward, leaves, list_starts, lengths, occurrences, postings):
    """Fill the arrays of a segment, of the sizes that `measure_files` gave; forward_starts is filled already."""
    n_images = forward_starts.size - 1
    last_words = np.full(n_images, -1, np.int64)
    cursors = forward_starts[:n_images].copy()
    word = np.int64(-1)
    last_image = np.int64(-1)
    j = -1
    at = 0
    i = 0
    while i < words.size:
        image = np.int64(images[i])
        if np.int64(words[i]) != word:
            word = np.int64(words[i])
            last_image = np.int64(-1)
            j += 1
            leaves[j] = word
            list_starts[j] = at
            lengths[j] = 0
            occurrences[j] = 0
        tf = np.int64(1)
        i += 1
        while i < words.size and np.int64(images[i]) == image and np.int64(words[i]) == word:
            tf += 1
            i += 1
        at = _put_entry(postings, at, image - last_image, tf)
        last_image = image
        lengths[j] += 1
        occurrences[j] += tf
        cursors[image] = _put_entry(forward, cursors[image], word - last_words[image], tf)
        last_words[image] = word
    list_starts[j + 1] = at


@kernel
def decode_forward(content, words, tfs):
    """Words (., ) uint32 and tfs int64 of one image's bytes; returns their number."""
    at = 0
    n = 0
    word = np.int64(-1)
    while at < content.size:
        gap, tf, at = _get_entry(content, at)
        word += gap
        words[n] = word
        tfs[n] = tf
        n += 1
    return n


# ---------------------------------------------------------------------- merging


@kernel
def measure_merged(
    postings, list_starts, leaves, list_lengths, list_occurrences, numbers, merged, last, sizes, lengths, occurrences
):
    """Add the lists of one segment to what is known of the merged ones; returns the first damaged list, or -1.

    numbers: (n_images,) int32, new number of each image, -1: dropped. merged: (m,) uint32, all leaves, ascending.
    last, sizes, lengths, occurrences: (m,) int64, of the merged lists so far: last image (-1: none), bytes, entries,
    descriptors.
    """
    p = 0
    for j in range(leaves.size):
        while merged[p] != leaves[j]:
            p += 1
        at = list_starts[j]
        end = list_starts[j + 1]
        image = np.int64(-1)
        n = 0
        n_descriptors = np.int64(0)
        while at < end:
            gap, tf, at = _get_checked_entry(postings, at, end)
            if gap < 0 or gap >= numbers.size - image:
                return j
            image += gap
            n += 1
            n_descriptors += tf
            number = np.int64(numbers[image])
            if number >= 0:
                sizes[p] += _entry_size(number - last[p], tf)
                last[p] = number
                lengths[p] += 1
                occurrences[p] += tf
        if n != list_lengths[j] or n_descriptors != list_occurrences[j]:
            return j
    return -1


@kernel
def write_merged(
    postings, list_starts, leaves, signatures, numbers, merged, last, cursors, out, signature_cursors, out_signatures
):
    """Append the lists of one segment to the merged ones; arguments as of `measure_merged`.

    merged: (m,) uint32, ascending, leaves with an image that is kept. cursors, signature_cursors: (m,) int64, where
    each list goes on in `out` and `out_signatures`. signatures: (0,) where there are none.
    """
    p = 0
    taken = 0  # signatures
    for j in range(leaves.size):
        while p < merged.size and merged[p] < leaves[j]:
            p += 1
        here = p < merged.size and merged[p] == leaves[j]
        at = list_starts[j]
        end = list_starts[j + 1]
        image = np.int64(-1)
        while at < end:
            gap, tf, at = _get_entry(postings, at)
            image += gap
            number = np.int64(numbers[image])
            if here and number >= 0:
                cursors[p] = _put_entry(out, cursors[p], number - last[p], tf)
                last[p] = number
                if signatures.size:
                    for i in range(tf):
                        out_signatures[signature_cursors[p] + i] = signatures[taken + i]
                    signature_cursors[p] += tf
            taken += tf


@kernel
def copy_pieces(source, starts, kept, out):
    """source[starts[i]:starts[i + 1]] of all i in `kept`, one after another; uint8."""
    at = 0
    for i in kept:
        for place in range(starts[i], starts[i + 1]):
            out[at] = source[place]
            at += 1


# ---------------------------------------------------------------------- checking


@kernel
def check_lists(postings, list_starts, lengths, occurrences, leaves, n_images):
    """(first damaged list or -1, uint64 sum of hashes of all (image, word, tf))."""
    total = np.uint64(0)
    for j in range(leaves.size):
        at = list_starts[j]
        end = list_starts[j + 1]
        image = np.int64(-1)
        n = 0
        n_descriptors = np.int64(0)
        while at < end:
            gap, tf, at = _get_checked_entry(postings, at, end)
            if gap < 0 or gap >= n_images - image:
                return j, total
            image += gap
            n += 1
            n_descriptors += tf
            total += _mixed(image, np.int64(leaves[j]), tf)
        if n != lengths[j] or n == 0 or n_descriptors != occurrences[j]:
            return j, total
    return -1, total


@kernel
def check_forward(forward, forward_starts, n_words):
    """(first damaged image or -1, uint64 sum of hashes of all (image, word, tf))."""
    total = np.uint64(0)
    for image in range(forward_starts.size - 1):
        at = forward_starts[image]
        end = forward_starts[image + 1]
        word = np.int64(-1)
        while at < end:
            gap, tf, at = _get_checked_entry(forward, at, end)
            if gap < 0 or gap >= n_words - word:
                return image, total
            word += gap
            total += _mixed(image, word, tf)
    return -1, total
