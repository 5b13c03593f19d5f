"""MSER with ellipses turned into circles: right by construction on drawn shapes, useful on real views."""

import cv2
import numpy as np
import pytest
from oracle.features import noise, right_matches

from metricsearch.features import LocalFeatureOptions, extract_local, mser, read_photo

MSER = LocalFeatureOptions(kind="mser-sift", max_side=None)


def drawn_ellipse(axes=(40, 20), degrees=30.0, centre=(120, 90)):
    image = np.full((180, 240), 60, dtype=np.uint8)
    cv2.ellipse(image, centre, axes, degrees, 0, 360, 200, -1)
    return image


@pytest.mark.parametrize("axes", [(40, 20), (30, 30), (60, 12)])
@pytest.mark.parametrize("degrees", [0.0, 30.0, 115.0])
def test_an_ellipse_is_found_with_its_moments(axes, degrees):
    centres, moments, areas = mser._regions(drawn_ellipse(axes, degrees))
    assert len(areas)
    a, b = axes
    turn = np.array(
        [
            [np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))],
            [np.sin(np.radians(degrees)), np.cos(np.radians(degrees))],
        ]
    )
    expected = turn @ np.diag([a**2 / 4, b**2 / 4]) @ turn.T
    for centre, moment, area in zip(centres, moments, areas, strict=True):
        assert np.allclose(centre, (120, 90), atol=1)
        assert np.allclose(moment, expected, atol=0.1 * a * a / 4)
        assert area == pytest.approx(np.pi * a * b, rel=0.1)
    roots = mser._square_roots(moments)
    assert np.allclose(roots @ roots, moments)
    assert np.allclose(roots, roots.swapaxes(1, 2))
    found = extract_local(drawn_ellipse(axes, degrees), MSER)
    assert np.allclose(found.keypoints[:, 2], 2 * np.sqrt(a * b), rtol=0.1)


def test_moments_are_those_of_the_pixels():
    image = noise()
    centres, moments, areas = mser._regions(image)
    regions, _ = cv2.MSER_create(
        delta=mser.DELTA, min_area=mser.MIN_AREA, max_area=int(mser.MAX_AREA_SHARE * image.size)
    ).detectRegions(image)
    expected = {}
    for region in regions:
        moment = np.cov(region.T.astype(float), bias=True) + np.eye(2) / 12
        low, high = np.linalg.eigvalsh(moment)
        if np.sqrt(high / low) <= mser.MAX_ELONGATION:
            expected[(*np.round(region.mean(axis=0), 6), len(region))] = moment
    found = {
        (*np.round(c, 6), int(n)): moment
        for c, moment, n in zip(centres.tolist(), moments, areas.tolist(), strict=True)
    }
    assert found.keys() == expected.keys()
    assert len(found) > 20
    for key, moment in found.items():
        assert np.allclose(moment, expected[key])


def test_a_line_is_no_region():
    image = np.full((100, 200), 60, dtype=np.uint8)
    image[50:52, 20:180] = 200
    assert len(mser._regions(image)[0]) == 0


def test_a_tile_shows_the_ellipse_as_a_circle():
    image = drawn_ellipse((40, 20), 30.0)
    centres, moments, _ = mser._regions(image)
    tile = mser._Levels(image).tiles(centres[:1], mser._square_roots(moments[:1]) * 2 / mser._RADIUS)[0]
    y, x = np.mgrid[-24:25, -24:25]
    inside = np.hypot(x, y) < mser._RADIUS - 1.5
    outside = np.hypot(x, y) > mser._RADIUS + 1.5
    assert tile[inside].min() > 180
    assert tile[outside].max() < 80


def test_a_tile_of_a_large_region_does_not_alias():
    """A fine checkerboard averages to grey where a tile cannot resolve it."""
    y, x = np.mgrid[:512, :512]
    image = np.where((x + y) % 2, 255, 0).astype(np.uint8)
    tile = mser._Levels(image).tiles(np.array([[256.0, 256.0]]), np.eye(2)[None] * 7.3)[0]
    assert np.abs(tile.astype(int) - 127).max() < 20


def test_descriptors_of_the_sheet_are_those_of_single_tiles():
    rng = np.random.default_rng(0)
    n = mser._TILES_PER_ROW + 3
    tiles = rng.integers(0, 256, (n, mser._TILE, mser._TILE)).astype(np.uint8)
    tiles = np.stack([cv2.GaussianBlur(tile, (0, 0), 2) for tile in tiles])
    rows, angles = np.repeat(np.arange(n), 2), rng.uniform(0, 360, 2 * n)
    sift = cv2.SIFT_create()
    middle = float(mser._TILE // 2)
    expected = [
        sift.compute(tiles[row], [cv2.KeyPoint(middle, middle, mser._DIAMETER, float(angle))])[1][0]
        for row, angle in zip(rows, angles, strict=True)
    ]
    assert np.array_equal(mser._describe(tiles, rows, angles), np.array(expected))


@pytest.mark.parametrize("degrees", [0, 5, 44, 90, 133, 181, 299, 359.5])
def test_the_angle_is_that_of_the_gradient(degrees):
    y, x = np.mgrid[-24:25, -24:25]
    ramp = 128 + 3 * (x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees)))
    rows, angles = mser._angles(np.rint(ramp).astype(np.uint8)[None])
    assert rows.tolist() == [0]
    assert abs((angles[0] - degrees + 180) % 360 - 180) < 1.5


def test_two_equal_directions_give_two_angles_and_none_gives_none():
    y, x = np.mgrid[-24:25, -24:25]
    ridge = np.clip(200 - 6 * np.abs(x), 0, 255).astype(np.uint8)
    plain = np.full_like(ridge, 9)
    rows, angles = mser._angles(np.stack([plain, ridge]))
    assert rows.tolist() == [1, 1]
    assert np.allclose(np.sort(angles), [0, 180], atol=1) or np.allclose(np.sort(angles), [180, 360], atol=1)


def test_many_regions_are_described_as_in_small_lots(monkeypatch):
    image = noise(240, 320)
    whole = extract_local(image, MSER)
    monkeypatch.setattr(mser, "_TILES_AT_ONCE", 7)
    lots = extract_local(image, MSER)
    assert len(whole) > 100
    assert np.array_equal(whole.keypoints, lots.keypoints)
    assert np.array_equal(whole.descriptors, lots.descriptors)


@pytest.mark.parametrize(
    ("sequence", "number", "least", "share"), [("graf", 3, 300, 0.8), ("graf", 5, 150, 0.7), ("boat", 4, 120, 0.7)]
)
def test_real_changes_of_viewpoint_and_scale_are_survived(data_dir, sequence, number, least, share):
    folder = data_dir / "oxford_affine" / sequence
    a, b = (extract_local(read_photo(folder / f"img{i}.png"), MSER) for i in (1, number))
    n, right, chance = right_matches(a, b, np.loadtxt(folder / f"H1to{number}p"))
    assert right >= least
    assert right >= share * n
    assert right > 30 * max(chance, 1)


def test_a_steep_view_is_matched_better_than_by_blobs(data_dir):
    """60 degrees: this is what the ellipses are for."""
    folder = data_dir / "oxford_affine" / "graf"
    homography = np.loadtxt(folder / "H1to5p")
    photos = [read_photo(folder / f"img{i}.png") for i in (1, 5)]
    found = {
        kind: right_matches(*(extract_local(photo, LocalFeatureOptions(kind=kind)) for photo in photos), homography)
        for kind in ("sift", "mser-sift")
    }
    assert found["mser-sift"][1] > 5 * found["sift"][1]
