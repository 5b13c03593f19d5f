"""Photos of every kind are read as a viewer shows them; what is none is refused with the reason."""

import io
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from metricsearch.errors import InvalidInputError, MissingDataError, MissingExtraError
from metricsearch.features import find_photos, read_photo
from metricsearch.features.images import MAX_PIXELS, decode_photo, quiet_decoders

GREY = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
RGB = np.stack([GREY, GREY[:, ::-1], np.full_like(GREY, 40)], axis=2)
LUMA = Image.fromarray(RGB).convert("L")


def encoded(image, fmt, **options):
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, fmt, **options)
    return stream.getvalue()


def png_header(width, height):
    """A PNG that promises so many pixels and holds none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("fmt", ["PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_their_pixels(fmt):
    options = {"lossless": True} if fmt == "WEBP" else {}
    found = decode_photo(encoded(GREY, fmt, **options))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, GREY)


def test_colours_are_weighted_as_pillow_does():
    assert np.array_equal(decode_photo(encoded(RGB, "PNG")), np.asarray(LUMA))
    lossy = decode_photo(encoded(RGB, "JPEG", quality=98, subsampling=0))
    assert np.abs(lossy.astype(int) - np.asarray(LUMA)).max() <= 4
    assert np.array_equal(decode_photo(encoded(RGB, "PNG"), colour=True), RGB)
    assert np.array_equal(decode_photo(encoded(GREY, "PNG"), colour=True), np.stack([GREY] * 3, axis=2))


def test_16_bit_grey_keeps_its_brightness():
    for values in (GREY.astype(np.uint16) * 257, GREY.astype(np.uint16) * 257 + np.uint16(100) * (GREY < 255)):
        assert np.array_equal(decode_photo(encoded(values, "PNG")), GREY)
    wide = encoded(GREY.astype(np.int32) * 257, "TIFF")
    assert np.array_equal(decode_photo(wide), GREY)
    assert decode_photo(wide, colour=True).shape == (48, 64, 3)


def test_cmyk_jpeg():
    found = decode_photo(encoded(Image.fromarray(np.stack([GREY] * 3, axis=2)).convert("CMYK"), "JPEG", quality=98))
    assert np.abs(found.astype(int) - GREY).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_white(mode):
    alpha = np.where(np.arange(64) < 32, 0, 255).astype(np.uint8) * np.ones((48, 1), np.uint8)
    image = Image.fromarray(np.dstack([GREY, GREY, GREY, alpha])).convert(mode)
    found = decode_photo(encoded(image, "PNG"))
    assert (found[:, :32] == 255).all()
    assert np.array_equal(found[:, 32:], GREY[:, 32:])


def test_a_palette_with_and_without_transparency():
    palette = Image.fromarray(GREY).convert("P")
    assert np.array_equal(decode_photo(encoded(palette, "PNG")), GREY)
    found = decode_photo(encoded(palette, "PNG", transparency=0))
    assert (found[:, 0] == 255).all()
    assert np.array_equal(found[:, 2:], GREY[:, 2:])


def test_black_and_white():
    pixels = decode_photo(encoded(Image.fromarray(GREY > 100), "PNG"))
    assert np.array_equal(pixels, np.where(GREY > 100, 255, 0))


def test_the_first_frame_of_an_animation():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(decode_photo(data), GREY)


@pytest.mark.parametrize(
    ("orientation", "turned"), [(1, GREY), (3, GREY[::-1, ::-1]), (6, np.rot90(GREY, -1)), (8, np.rot90(GREY))]
)
def test_exif_orientation_is_applied(orientation, turned):
    exif = Image.Exif()
    exif[0x112] = orientation
    found = decode_photo(encoded(GREY, "PNG", exif=exif))
    assert np.array_equal(found, turned)
    lossy = decode_photo(encoded(GREY, "JPEG", exif=exif, quality=98))
    assert np.abs(lossy.astype(int) - turned).max() <= 4


def test_damaged_exif_does_not_matter():
    data = encoded(GREY, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", quality=98)
    with quiet_decoders():
        assert np.abs(decode_photo(data).astype(int) - GREY).max() <= 4


def test_one_pixel():
    assert decode_photo(encoded(GREY[:1, 5:6], "PNG")).tolist() == [[GREY[0, 5]]]


def test_a_photo_of_60_megapixels():
    data = encoded(Image.new("L", (9000, 6667), 99), "JPEG")
    found = decode_photo(data)
    assert found.shape == (6667, 9000)
    assert (found == 99).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello", "begin like no photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "begin like no photo"),
        (encoded(RGB, "JPEG")[:700], "damaged"),
        (encoded(RGB, "PNG")[:100], "damaged"),
        (encoded(RGB, "JPEG")[:100], "damaged"),
        (encoded(GREY.astype(np.float32), "TIFF"), "floating-point"),
        (encoded(GREY.astype(np.int32) * 2570, "TIFF"), "more than 16 bits"),
        (png_header(60000, 60000), "megapixels"),
        (png_header(1001, MAX_PIXELS // 1001 + 1), "megapixels"),
    ],
)
def test_what_cannot_be_read_says_why(data, words):
    with quiet_decoders(), pytest.raises(InvalidInputError) as info:
        decode_photo(data)
    assert words in str(info.value)
    assert "\n" not in str(info.value)


def test_large_photos_are_read_without_a_warning():
    """Pillow warns from 89 megapixels on; this one only promises them."""
    with quiet_decoders(), pytest.raises(InvalidInputError, match="damaged photo"):
        decode_photo(png_header(10000, 12000))


def test_read_photo_names_the_file(tmp_path):
    path = tmp_path / "x.jpg"
    with pytest.raises(MissingDataError, match=r"x\.jpg: no such file"):
        read_photo(path)
    path.write_text("hello")
    with pytest.raises(InvalidInputError, match=r"x\.jpg: not a photo"):
        read_photo(path)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_photo(tmp_path)
    path.write_bytes(encoded(GREY, "PNG"))
    assert np.array_equal(read_photo(path), GREY), "the content decides, not the name"


def test_without_pillow_the_error_names_the_extra(monkeypatch, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(encoded(GREY, "PNG"))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"metricsearch\[features\]"):
        read_photo(path)


@pytest.fixture
def folder(tmp_path):
    photo = encoded(GREY, "PNG")
    for name in ("b.jpg", "a.PNG", "sub/c.jpeg", "no-suffix", "sub/deep/d.tif", ".hidden.jpg", ".thumbs/e.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo)
    (tmp_path / "photos" / "text.jpg").write_text("hello")
    (tmp_path / "photos" / "readme.md").write_text("hello")
    (tmp_path / "photos" / "list.csv").write_bytes(b"")
    return tmp_path / "photos"


def names(found, folder):
    return [path.removeprefix(f"{folder}/") for path in found]


IN_FOLDER = ["a.PNG", "b.jpg", "no-suffix", "text.jpg", "sub/c.jpeg", "sub/deep/d.tif"]


def test_a_folder_gives_what_is_called_or_begins_like_a_photo(folder):
    assert names(find_photos(folder), folder) == IN_FOLDER
    assert names(find_photos(str(folder)), folder) == IN_FOLDER


def test_files_folders_and_lists_keep_their_order_and_come_once(folder):
    listed = folder.parent / "some.txt"
    listed.write_text("# two\nphotos/sub/c.jpeg\n\n  photos/readme.md  \r\n", encoding="utf-8-sig")
    found = find_photos([folder / "b.jpg", listed, folder, folder / "b.jpg"])
    first = ["b.jpg", "sub/c.jpeg", "readme.md"]
    assert names(found, folder) == first + [name for name in IN_FOLDER if name not in first]


def test_lists_take_absolute_paths(folder):
    listed = folder / "some.txt"
    listed.write_text(f"{folder / 'b.jpg'}\n")
    assert find_photos(listed) == [str(folder / "b.jpg")]


def test_names_that_are_no_utf8(folder):
    path = str(folder).encode() + b"/\xff.jpg"
    with open(path, "wb") as file:
        file.write(encoded(GREY, "PNG"))
    assert f"{folder}/\udcff.jpg" in find_photos(folder)


@pytest.mark.parametrize("what", ["nothing.jpg", "nothing", "nothing.txt"])
def test_a_path_that_is_not_there(folder, what):
    with pytest.raises(MissingDataError, match=what):
        find_photos([folder, folder / what])


def test_a_line_of_a_list_that_is_not_there(folder):
    listed = folder / "some.txt"
    listed.write_text("b.jpg\nc.jpg\n")
    with pytest.raises(MissingDataError, match=r"some\.txt: line 2: no file .*c\.jpg"):
        find_photos(listed)


def test_a_list_that_is_none(folder):
    (folder / "noise.txt").write_bytes(bytes(range(128, 256)) * 20 + b"\0")
    with pytest.raises(MissingDataError, match=r"noise\.txt: line 1: no file") as info:
        find_photos(folder / "noise.txt")
    assert str(info.value).isprintable()
    assert len(str(info.value)) < 600


def test_an_empty_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for photos in ("", [folder, ""]):
        with pytest.raises(InvalidInputError, match="empty path"):
            find_photos(photos)


def test_a_folder_that_cannot_be_read_is_not_passed_over(folder, monkeypatch):
    (folder / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_photos(folder)[-1] == str(folder / "closed")


def test_no_photo_at_all(tmp_path):
    (tmp_path / "readme.md").write_text("hello")
    for photos in (tmp_path, [], [tmp_path, tmp_path]):
        with pytest.raises(InvalidInputError, match="found none"):
            find_photos(photos)


def test_contact_sheets_in_a_folder_are_no_photos(tmp_path):
    exif = Image.Exif()
    exif[0x0131] = "metricsearch contact sheet"
    Image.new("RGB", (30, 20)).save(tmp_path / "query-hits.jpg", exif=exif)
    Image.new("RGB", (30, 20)).save(tmp_path / "home-hits.jpg")  # a photo that happens to be called so
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png")
    assert find_photos(tmp_path) == [str(tmp_path / "home-hits.jpg"), str(tmp_path / "photo.png")]
    assert find_photos(tmp_path / "query-hits.jpg") == [str(tmp_path / "query-hits.jpg")]  # given by name: as wished
