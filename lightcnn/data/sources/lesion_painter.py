"""The built-in data set `synthetic-lesions`: spots on skin, drawn by code. A stand-in, never data of patients.

What tells the classes apart is the outline, the border and the texture of the spots. Everything else (skin, light,
background, hair, and the spots' number, size, place, contrast and hue) is drawn from the same distributions for all.

Patient k's pictures depend on (seed, k) alone: a larger count extends a smaller one. Pixels come from uniform draws by
sums, products, quotients, roots and look-ups of single numbers, which IEEE 754 rounds alike everywhere, and from no
sine, exponential, matrix product or unordered sum: the same arguments give the same bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lightcnn.errors import DataError

Field = NDArray[np.floating[Any]]
"""float32: one number a pixel (side, side), or three (side, side, 3)."""

LEAST_SIDE = 128
"""Pictures are drawn on a grid of at least this many pixels a side and averaged down to the size asked for."""
TONES = (0.93, 0.77, 0.68), (0.68, 0.48, 0.37), (0.32, 0.21, 0.16)
"""Light, middle and dark skin: red, green and blue from 0 to 1. What lies between is mixed."""
STICKER = (0.10, 0.35, 0.80)
STICKER_CENTRE, STICKER_RADIUS = 0.11, 0.085
"""From the upper and the left edge, in shares of the picture's side."""
Spot = tuple[float, float, float]
"""Centre x and y, and radius, in shares of the picture's side."""


@dataclass(frozen=True)
class Lesions:
    """N pictures (N, size, size, 3), labels and patients ('p001' and on) (N,), where the spots are (N, size, size)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    patients: NDArray[np.str_]
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class _Kind:
    """A class: how far noise moves its outline and how wide its border is, in radii; its grains a radius; its surface.

    The surface takes the distance from the middle (the outline is at 1) and grain from -1 to 1, and gives how strongly
    the spot is coloured and how high it stands.
    """

    name: str
    warp: float
    border: float
    grain: float
    surface: Callable[[Field, Field], tuple[Field, Field]]


@dataclass(frozen=True)
class _Patient:
    """What the photographs of one patient share. `tint` is the spots' colour: a factor on skin, less 1."""

    tone: Field
    tint: Field
    flush: float
    radius: float
    hairs: int
    hair: Field
    roughness: float
    freckles: float
    relief: float
    border: float


def paint_lesions(
    count: int = 300, size: int = 128, classes: int = 2, seed: int = 0, shortcut: bool = False
) -> Lesions:
    """`count` pictures in `classes` classes, which take turns; one to five photographs a patient, all of one class.

    With `shortcut`, every picture of the first class, and no other, has a coloured sticker in its upper left corner.

    Raises: DataError where an argument is out of range.
    """
    _check(count, size, classes, seed)
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    masks = np.empty((count, size, size), dtype=np.bool_)
    patients = []
    for index, (number, photograph) in zip(range(count), _turns(classes, seed), strict=False):
        patient = _patient(np.random.default_rng([seed, number, 0]))
        random = np.random.default_rng([seed, number, 1 + photograph])
        marked = shortcut and index % classes == 0
        images[index], masks[index] = _photograph(patient, KINDS[index % classes], random, size, marked)
        patients.append(f"p{number + 1:03d}")
    labels = np.arange(count, dtype=np.int64) % classes
    return Lesions(images, labels, tuple(kind.name for kind in KINDS[:classes]), np.array(patients), masks)


def _check(count: int, size: int, classes: int, seed: int) -> None:
    where = "data synthetic-lesions"
    if not 2 <= classes <= len(KINDS):
        raise DataError(f"{where}: classes is {classes}; give 2 to {len(KINDS)}")
    if count < 2 * classes:
        raise DataError(f"{where}: count is {count}, under two pictures a class; give at least {2 * classes}")
    if size < 16:
        raise DataError(f"{where}: size is {size} pixels, too few to show a border; give at least 16")
    if seed < 0:
        raise DataError(f"{where}: seed is {seed}; give 0 or more")


def _turns(classes: int, seed: int) -> Iterator[tuple[int, int]]:
    """Patient and photograph of each picture, without end: patients come in rounds, one a class, equally often each."""
    rounds = 0
    while True:
        for photographs in np.random.default_rng([seed, rounds, 0, 1]).permutation(5) + 1:
            for photograph in range(photographs):
                yield from ((rounds * classes + label, photograph) for label in range(classes))
            rounds += 1


def _patient(random: Generator) -> _Patient:
    (light, middle, dark), step = (_colour(*tone) for tone in TONES), _between(random, -1, 1)
    tone = middle + max(step, 0.0) * (dark - middle) + max(-step, 0.0) * (light - middle)
    lightness = _between(random, 0.18, 0.32) * (1 if random.random() < 0.5 else -1)
    redness = _between(random, -0.05, 0.22)
    hairs = int(_between(random, 2, 14)) if random.random() < 0.35 else 0
    shade = _between(random, 0.05, 0.35)
    return _Patient(
        tone=tone * _between(random, 0.93, 1.03),
        tint=lightness + redness * _colour(0.5, -0.7, -0.5),
        flush=_between(random, 0, 0.12),
        radius=_between(random, 0.12, 0.18),
        hairs=hairs,
        hair=shade * _colour(1, 0.75, 0.55),
        roughness=_between(random, 0.02, 0.07),
        freckles=max(0.0, _between(random, -0.4, 0.3)),
        relief=_between(random, 0.14, 0.28),
        border=_between(random, 0.6, 1.6),
    )


def _photograph(
    patient: _Patient, kind: _Kind, random: Generator, size: int, marked: bool
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One picture (size, size, 3) and its mask (size, size)."""
    factor = -(-LEAST_SIDE // size)
    side = size * factor
    centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    x, y = centres[None], centres[:, None]
    scene = _skin(patient, random, (x, y))
    behind = _behind(random, x, y)
    scene, cover = _with_spots(scene, patient, kind, random, (x, y))
    scene = _with_hair(scene, patient, random, (x, y))
    scene += (_ground(random, side) - scene) * behind[..., None]
    if marked:
        outwards = _distance(x - STICKER_CENTRE, y - STICKER_CENTRE) - STICKER_RADIUS
        scene += (_colour(*STICKER) - scene) * _smooth(-100 * outwards)[..., None]
        # The camera spreads the sticker by a pixel: the mask keeps clear of that too.
        cover = np.where(outwards > 2 / size, cover, 0)
    scene *= _light(random, x, y)
    cover = _reduced(cover * (1 - behind), factor)
    return _camera(_reduced(scene, factor), random), cover >= min(0.5, float(cover.max()))


def _skin(patient: _Patient, random: Generator, at: tuple[Field, Field]) -> Field:
    """Skin without spots (side, side, 3): blotches, the fine relief of its lines, freckles."""
    side = at[0].size
    blotch, fine = _noise(random, side, 3, 3), _noise(random, side, 22, 2)
    lines = np.abs(_noise(random, side, 16, 1)) + np.abs(_noise(random, side, 27, 1))
    shade = 1 + 0.06 * blotch + patient.roughness * (fine + lines - 0.5)
    if patient.freckles > 0:
        dots = [(random.random(), random.random(), _between(random, 0.006, 0.02)) for _ in range(24)]
        shade -= patient.freckles * _smooth(1.5 - _nearest(random, dots, at))
    flush = 0.05 * _noise(random, side, 4, 2)[..., None] * _colour(0.3, -1, -0.8)
    skin: Field = patient.tone * (shade[..., None] + flush)
    return skin


def _with_spots(
    skin: Field, patient: _Patient, kind: _Kind, random: Generator, at: tuple[Field, Field]
) -> tuple[Field, Field]:
    """The skin with its spots, and how much of each pixel they cover."""
    side = len(skin)
    radius = patient.radius * _between(random, 0.85, 1.2)
    spots = _places(random, radius)
    if kind.name == "clustered":
        spots = [small for spot in spots for small in _cluster(random, *spot)]
    distance = _nearest(random, spots, at)
    # An outline that moves in and out takes in a little more than it gives up: hence the small constant.
    distance = distance + kind.warp * (0.06 + _between(random, 0.8, 1.2) * _noise(random, side, 0.5 / radius, 4))
    grain = _noise(random, side, kind.grain / radius, 2)
    border = kind.border * patient.border * _between(random, 0.8, 1.2)
    cover = _smooth((1 + border - distance) / (2 * border))
    strength, height = kind.surface(distance, grain)
    # Spots of every class are coloured alike on the whole, however their colour is spread: a mean tells nothing.
    strength = np.minimum(strength, 4) * cover
    strength *= _total(cover) / _total(strength)
    halo = patient.flush * _smooth((2.2 - distance) / 1.2)[..., None] * _colour(0.3, -1, -0.7)
    relief = _relief(height * cover, random, patient.relief * radius * side)
    return skin * (1 + np.minimum(strength, 2.2)[..., None] * patient.tint + halo) * (1 + relief)[..., None], cover


def _places(random: Generator, radius: float) -> list[Spot]:
    """Centre and radius of one to three spots that do not touch, the first in the middle of the picture."""
    wanted = 1 + int(3 * random.random())
    spots = [(_between(random, 0.28, 0.72), _between(random, 0.28, 0.72), radius)]
    for _ in range(24):
        x, y, r = (_between(random, low, high) for low, high in ((0.1, 0.9), (0.1, 0.9), (0.7 * radius, radius)))
        if len(spots) < wanted and _apart((x, y, r), spots, 1.35):
            spots.append((x, y, r))
    return spots


def _cluster(random: Generator, x: float, y: float, radius: float) -> list[Spot]:
    """Small spots for a large one, about as much in area and where it would be."""
    spots: list[Spot] = []
    left = 1.08
    for _ in range(100):
        a, b, r = (_between(random, low, high) for low, high in ((-1.2, 1.2), (-1.2, 1.2), (0.26, 0.46)))
        if left > 0 and a * a + b * b < 1.44 and _apart((a, b, r), spots, 0.95):
            spots.append((a, b, r))
            left -= r * r
    return [(x + radius * a, y + radius * b, radius * r) for a, b, r in spots]


def _apart(spot: Spot, others: list[Spot], times: float) -> bool:
    """Whether a spot's centre is further from all others' than so many times the sum of the radii."""
    x, y, r = spot
    return all(math.sqrt((x - a) * (x - a) + (y - b) * (y - b)) > times * (r + c) for a, b, c in others)


def _nearest(random: Generator, spots: list[Spot], at: tuple[Field, Field]) -> Field:
    """Distance from the nearest spot's middle in radii of it; each is an ellipse of its own."""
    nearest = np.full_like(at[0] * at[1], 9)
    for x, y, radius in spots:
        (c, s), root = _direction(random), math.sqrt(_between(random, 1, 1.25))
        dx, dy = (at[0] - x) / radius, (at[1] - y) / radius
        nearest = np.minimum(nearest, _distance((c * dx + s * dy) * root, (c * dy - s * dx) / root))
    return nearest


def _domed(distance: Field, grain: Field) -> tuple[Field, Field]:
    """A smooth dome with a dent in its middle."""
    dent = _smooth((0.45 - distance) / 0.35)
    return 1.1 + 0.15 * grain - dent, 0.7 * _smooth((1.1 - distance) / 0.8) - 0.35 * dent


def _ragged(distance: Field, grain: Field) -> tuple[Field, Field]:
    """Blotches that fade outwards."""
    return 1.1 + 1.1 * grain - 0.4 * np.minimum(distance, 1), 0.35 * grain + 0.3 * _smooth((1.2 - distance) / 0.8)


def _ringed(distance: Field, grain: Field) -> tuple[Field, Field]:
    """A wall around a flat middle."""
    wall = _smooth(1 - np.abs(distance - 0.8) / 0.32)
    return 0.2 + wall + 0.15 * grain, 0.5 * wall


def _scaled(distance: Field, grain: Field) -> tuple[Field, Field]:
    """Plates with cracks between them."""
    plate = _smooth(np.abs(grain) * 5 - 0.2)
    return 0.45 + 1.1 * plate, 0.5 * plate


def _clustered(distance: Field, grain: Field) -> tuple[Field, Field]:
    """Small beads, strongest in their middle."""
    bead = np.maximum(1 - distance * distance, 0)
    return 0.5 + bead + 0.1 * grain, 0.35 * bead


def _flat(distance: Field, grain: Field) -> tuple[Field, Field]:
    """Even and level."""
    return 1 + 0.1 * grain, np.zeros_like(distance)


KINDS = (
    _Kind("domed", 0.08, 0.1, 0.9, _domed),
    _Kind("ragged", 1.0, 0.22, 0.9, _ragged),
    _Kind("ringed", 0.08, 0.12, 0.9, _ringed),
    _Kind("scaled", 0.25, 0.12, 1.5, _scaled),
    _Kind("clustered", 0.08, 0.12, 0.9, _clustered),
    _Kind("flat", 0.10, 0.07, 0.9, _flat),
)


def _relief(height: Field, random: Generator, strength: float) -> Field:
    """How much lighter a height field is where it faces a light of random direction, and darker where it does not."""
    c, s = _direction(random)
    slope = np.zeros_like(height)
    slope[:, 1:-1] = c * (height[:, 2:] - height[:, :-2])
    slope[1:-1] += s * (height[2:] - height[:-2])
    shading: Field = np.clip(strength * slope, -0.45, 0.6)
    return shading


def _with_hair(scene: Field, patient: _Patient, random: Generator, at: tuple[Field, Field]) -> Field:
    """Strands, each a parabola of its own, in about one direction."""
    c, s = _direction(random)
    for _ in range(patient.hairs):
        x, y, tilt, bend = (_between(random, low, high) for low, high in ((0, 1), (0, 1), (-0.5, 0.5), (-0.8, 0.8)))
        along, across = c * (at[0] - x) + s * (at[1] - y), c * (at[1] - y) - s * (at[0] - x)
        across = across - along * (tilt + bend * along)
        strand = _smooth(1.4 - np.abs(across) / 0.006) * _smooth((_between(random, 0.15, 0.45) - np.abs(along)) / 0.1)
        scene = scene + (patient.hair - scene) * (0.75 * strand)[..., None]
    return scene


def _behind(random: Generator, x: Field, y: Field) -> Field:
    """Where what lies behind the skin is seen, from 0 to 1: in every third picture, past one curved edge."""
    (c, s), reach, bend = _direction(random), _between(random, 0.33, 0.5), _between(random, -0.6, 0.3)
    shown = random.random() < 0.35
    along, across = c * (y - 0.5) - s * (x - 0.5), c * (x - 0.5) + s * (y - 0.5)
    return float(shown) * _smooth((across - reach - bend * along * along) / 0.012)


def _ground(random: Generator, side: int) -> Field:
    """A table or a cloth (side, side, 3), of any colour that is not too strong."""
    colour = _between(random, 0.12, 0.85) + 0.16 * (random.random(3, dtype=np.float32) - 0.5)
    weave = _noise(random, side, 40, 1) if random.random() < 0.5 else _noise(random, side, 5, 3)
    return np.clip(colour * (1 + 0.2 * weave)[..., None], 0.02, 1)


def _light(random: Generator, x: Field, y: Field) -> Field:
    """Exposure, a gradient, a vignette and a colour cast: a factor (side, side, 3)."""
    c, s = _direction(random)
    x, y = x - 0.5, y - 0.5
    slope = _between(random, 0, 0.45) * (c * x + s * y)
    vignette = _between(random, 0, 0.5) * (x * x + y * y)
    cast = _between(random, 0.85, 1.08) * (1 + 0.12 * (random.random(3, dtype=np.float32) - 0.5))
    return ((1 + slope) * (1 - vignette))[..., None] * cast


def _camera(scene: Field, random: Generator) -> NDArray[np.uint8]:
    """Softness, noise and eight bits."""
    soft = _between(random, 0, 0.6)
    wide = np.pad(scene, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
    scene = scene + soft * (around - scene)
    noise = random.random((*scene.shape[:2], 4), dtype=np.float32) - 0.5
    scene = scene + _between(random, 0.01, 0.05) * (noise[..., :1] + 0.5 * noise[..., 1:])
    return np.rint(np.clip(scene, 0, 1) * 255).astype(np.uint8)


def _noise(random: Generator, side: int, cells: float, octaves: int) -> Field:
    """Value noise from -1 to 1: random numbers on a lattice of `cells` a side, smoothly filled; each octave half."""
    total = np.zeros((side, side), dtype=np.float32)
    for octave in range(octaves):
        many = cells * 2**octave
        lattice = random.random((int(many) + 3, int(many) + 3), dtype=np.float32) * 2 - 1
        place = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(many / side)
        rows, columns = (place + np.float32(random.random()) for _ in range(2))
        total += _filled(_filled(lattice, rows).T, columns).T / 2**octave
    return total / np.float32(2 - 2 ** (1 - octaves))


def _filled(lattice: Field, place: Field) -> Field:
    """Rows of a lattice at places between them."""
    low = place.astype(np.int64)
    weight = _smooth(place - low.astype(np.float32))[:, None]
    return lattice[low] * (1 - weight) + lattice[low + 1] * weight


def _smooth(value: Field) -> Field:
    """0 below 0, 1 above 1, and a cubic that is level at both ends between them."""
    share = np.clip(value, 0, 1)
    return share * share * (3 - 2 * share)


def _distance(x: Field, y: Field) -> Field:
    distance: Field = np.sqrt(x * x + y * y)
    return distance


def _direction(random: Generator) -> tuple[float, float]:
    """Cosine and sine of a random angle, rationally: a library's own sine need not be another's."""
    t, sign = _between(random, -1, 1), 1 if random.random() < 0.5 else -1
    return sign * (1 - t * t) / (1 + t * t), sign * 2 * t / (1 + t * t)


def _between(random: Generator, low: float, high: float) -> float:
    return low + (high - low) * random.random()


def _colour(red: float, green: float, blue: float) -> Field:
    return np.array([red, green, blue], dtype=np.float32)


def _total(field: Field) -> float:
    """The sum in 1/4096ths, as integers: exact in any order."""
    return int(np.rint(field * 4096).astype(np.int64).sum()) / 4096


def _reduced(field: Field, factor: int) -> Field:
    """Means over squares of factor × factor pixels."""
    parts = [field[i::factor, j::factor] for i in range(factor) for j in range(factor)]
    return sum(parts[1:], parts[0]) / np.float32(factor * factor)
