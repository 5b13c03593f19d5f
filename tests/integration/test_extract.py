"""`kill -9` at random moments of an extraction: run again, it gives the file of an undisturbed one.

METRICSEARCH_KILL_ROUNDS sets the number of kills (default 6).
"""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from oracle.features import noise
from PIL import Image, ImageDraw

from metricsearch.cli import main
from metricsearch.features import FeatureFile, Photo, extract_local, extract_photos, get_feature

ROUNDS = int(os.environ.get("METRICSEARCH_KILL_ROUNDS", "6"))
N = 40
FEATURES = "sift,gabor-layout"

# One process that has imported everything and forks a child for each round; parts are small, so that there are many.
SERVER = """
import os, signal, sys
from metricsearch.features import extract_photos, extraction, known_values
known_values._PART_PHOTOS, extraction._PHOTOS_AHEAD = 4, 2
for line in sys.stdin:
    photos, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        try:
            extract_photos(photos, out, "sift,gabor-layout", n_threads=2)
            signal.pause()
        finally:
            os._exit(1)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def content(path):
    """Everything in an HDF5 file."""
    found = {}

    def take(name, item):
        value = item[()] if isinstance(item, h5py.Dataset) else np.empty(0)
        told = value.tolist() if value.dtype == object else (value.dtype, value.shape, value.tobytes())
        found[name] = dict(item.attrs), told

    with h5py.File(path, "r") as file:
        file.visititems(take)
        return dict(file.attrs), found


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(N):
        Image.fromarray(noise(160, 200, seed=number)).save(folder / f"{number:02}.png")
    (folder / "text.jpg").write_text("hello")
    return folder


@pytest.fixture
def server():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        yield run
        run.stdin.close()


def start(server, photos, out):
    """Process number of an extraction; it waits for its kill when it has finished."""
    server.stdin.write(f"{photos}\t{out}\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def kill(server, pid):
    os.kill(pid, signal.SIGKILL)
    assert int(server.stdout.readline()) == signal.SIGKILL, "the extraction failed"


def parts_of(out):
    return list(out.with_name(f"{out.name}.parts").glob("[0-9]*.h5"))


def finished(out):
    """sha256 of the photos of which all features are in parts."""
    seen = {name: set() for name in FEATURES.split(",")}
    for part in parts_of(out):
        with FeatureFile.open(part) as file:
            for name in file.names:
                seen[name] |= set(file.sha256)
    return set.intersection(*seen.values())


def wait_for_more(out):
    """Until more photos are finished than now."""
    before, limit = len(finished(out)), time.monotonic() + 60
    while len(finished(out)) <= before and time.monotonic() < limit:
        time.sleep(0.001)


def test_a_killed_extraction_goes_on_where_it_was(tmp_path, photos, server):
    rng = np.random.default_rng()
    expected, out = tmp_path / "expected.h5", tmp_path / "x.h5"
    extract_photos(photos, expected, FEATURES)  # the first time, packages are imported
    begun = time.monotonic()
    extract_photos(photos, out, FEATURES)
    duration = time.monotonic() - begun
    out.unlink()
    reference = content(expected)
    n_resumed = 0
    for number in range(ROUNDS):
        for _ in range(2):  # the second one goes on after the first
            pid = start(server, photos, out)
            if number == 0:  # in the middle for sure, however fast the machine is
                wait_for_more(out)
            else:
                time.sleep(float(rng.uniform(0, duration)))
            kill(server, pid)
            if out.exists():  # never half of it
                assert content(out) == reference
        n_finished = len(finished(out))
        report = extract_photos(photos, out, FEATURES)
        assert report.n_new + report.n_kept == N
        assert report.n_kept == (N if report.n_new == 0 else n_finished)
        n_resumed += n_finished > 0 and report.n_new > 0
        assert content(out) == reference
        assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.h5", "photos", "x.h5"]
        out.unlink()
    assert n_resumed, "no kill hit the middle of an extraction"


def test_a_kill_while_a_file_grows_leaves_the_old_or_the_new_one(tmp_path, photos, server):
    """The last moments, when the file is put together, are the ones to hit."""
    rng = np.random.default_rng()
    out = tmp_path / "x.h5"
    few = sorted(photos.glob("*.png"))[: N - 4]
    extract_photos(few, tmp_path / "old.h5", FEATURES)
    extract_photos(photos, tmp_path / "new.h5", FEATURES)
    old, new = content(tmp_path / "old.h5"), content(tmp_path / "new.h5")
    for _ in range(ROUNDS):
        out.write_bytes((tmp_path / "old.h5").read_bytes())
        before = out.stat().st_ino
        pid = start(server, photos, out)
        deadline = time.monotonic() + 60
        while not parts_of(out) and out.stat().st_ino == before and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(float(rng.uniform(0, 0.02)))
        kill(server, pid)
        assert content(out) in (old, new)
        extract_photos(photos, out, FEATURES)
        assert content(out) == new
        assert sorted(path.name for path in tmp_path.iterdir()) == ["new.h5", "old.h5", "photos", "x.h5"]


def pixels(width=120, height=90, seed=0):
    """Colours with blobs of many sizes, (height, width, 3) uint8."""
    return np.stack([noise(height, width, seed=seed + i) for i in range(3)], axis=2)


def large_photo():
    """60 megapixels of large discs on grey."""
    image = Image.new("RGB", (9000, 6667), (90, 120, 150))
    draw = ImageDraw.Draw(image)
    for x, y, radius, *colour in np.random.default_rng(0).integers(
        (0, 0, 60, 0, 0, 0), (9000, 6667, 500, 256, 256, 256), (60, 6)
    ):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(int(value) for value in colour))
    return image


@pytest.fixture
def odd_photos(tmp_path):
    """What users' folders hold: name -> the pixels a viewer shows, None where it shows none."""
    folder = tmp_path / "odd"
    folder.mkdir()
    rgb = pixels()
    grey = rgb[..., 0]
    alpha = np.where(np.arange(120) < 60, 0, 255).astype(np.uint8) * np.ones((90, 1), np.uint8)
    exif = Image.Exif()
    exif[0x112] = 6
    frames = [Image.fromarray(frame).convert("P") for frame in (rgb[..., 1], 255 - grey)]
    Image.fromarray(rgb).save(folder / "truncated.jpg", quality=95)
    whole = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("these are no pixels")
    Image.fromarray(rgb[:1, :1]).save(folder / "pixel.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "grey16.png")
    Image.fromarray(rgb).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(np.dstack([rgb, alpha])).save(folder / "rgba.png")
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(rgb).save(folder / "turned.jpg", exif=exif, quality=95)
    large_photo().save(folder / "large.jpg")
    with Image.open(folder / "turned.jpg") as turned, Image.open(folder / "cmyk.jpg") as cmyk:
        shown = {"turned.jpg": np.rot90(np.asarray(turned), -1), "cmyk.jpg": np.asarray(cmyk.convert("RGB"))}
    with Image.open(folder / "large.jpg") as large:
        shown["large.jpg"] = np.asarray(large)
    shown |= {
        "truncated.jpg": None,
        "text.jpg": None,
        "pixel.png": rgb[:1, :1],
        "grey16.png": np.stack([grey] * 3, axis=2),
        "rgba.png": np.where(alpha[..., None] == 255, rgb, 255).astype(np.uint8),
        "animated.gif": np.stack([rgb[..., 1]] * 3, axis=2),
    }
    return folder, shown


def test_a_folder_of_odd_photos(tmp_path, odd_photos, capsys):
    from metricsearch.features.cnn import is_at_hand

    folder, shown = odd_photos
    out = tmp_path / "odd.h5"
    names = ["sift", "hsv", *(["pool5"] if is_at_hand("googlenet") else [])]
    with pytest.raises(SystemExit) as info:
        main(["extract", str(folder), "--out", str(out), "--feature", ",".join(names)])
    assert not info.value.code
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith("7 new, 0 kept, 2 not readable")
    assert f"{folder / 'text.jpg'}: not a photo" in told.err
    assert f"{folder / 'truncated.jpg'}: damaged photo" in told.err
    assert "Warning" not in told.err
    with FeatureFile.open(out) as file:
        assert [path for path, _ in file.failures] == [str(folder / name) for name in ("text.jpg", "truncated.jpg")]
        rows = {path.removeprefix(f"{folder}/"): row for row, path in enumerate(file.paths)}
        assert sorted(rows) == sorted(name for name, pixels in shown.items() if pixels is not None)
        for name, row in rows.items():
            expected = shown[name]
            assert file.sizes[row].tolist() == [expected.shape[1], expected.shape[0]]
            as_shown = Photo(b"")
            as_shown.once("rgb", lambda expected=expected: np.ascontiguousarray(expected))
            for feature in map(get_feature, names[1:]):
                vector = file.vectors(feature.name)[row]
                assert np.isfinite(vector).all()
                assert np.array_equal(vector, feature.extract(as_shown)), f"{name}: {feature.name}"
            n_found = len(file.local().features(row))
            assert n_found == 0 if name == "pixel.png" else n_found > 10, name
        for name in ("grey16.png", "animated.gif"):
            found, same = file.local().features(rows[name]), extract_local(shown[name][..., 0])
            assert np.array_equal(found.descriptors, same.descriptors)
