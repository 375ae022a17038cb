"""Example: the street, from its far end to what stands closest.

x runs to the right, y up, z into the street, in meters; the camera stands at x = z = 0.
"""

from __future__ import annotations

import numpy as np

from night_street import houses, things
from night_street.canvas import (
    Array,
    Canvas,
    Color,
    blank,
    box,
    ellipse,
    noise_grid,
    paint,
    polygon,
    stroke,
)
from night_street.car import Car
from night_street.ground import Ground
from night_street.render import Blob, Light, Panel, Scene, Surface, Vector

LEFT, RIGHT = -5.2, 5.8
_ALONG: Vector = (0.0, 0.0, 1.0)
_BACK: Vector = (0.0, 0.0, -1.0)
_ACROSS: Vector = (1.0, 0.0, 0.0)

SODIUM: Color = (1.0, 0.58, 0.24)
LED: Color = (0.80, 0.92, 1.0)

#: Lamps as x, z and color, far to near.
_LAMPS: tuple[tuple[float, float, Color], ...] = (
    (4.45, 46.0, SODIUM),
    (-3.9, 40.0, SODIUM),
    (4.45, 31.0, SODIUM),
    (-3.9, 25.0, SODIUM),
    (4.45, 18.5, SODIUM),
    (-3.75, 11.6, SODIUM),
)


def left_row(density: float, rng: np.random.Generator) -> list[Surface]:
    """Build the houses on the left, seen at a slant: cafe, bookshop, and on."""
    sheets: list[tuple[float, Canvas]] = []
    for start, width, height, color, share in (
        (44.0, 14.0, 9.5, (0.20, 0.18, 0.17), 0.4),
        (32.0, 12.0, 11.5, (0.26, 0.22, 0.17), 0.3),
        (21.5, 10.5, 8.6, (0.30, 0.25, 0.20), 0.5),
    ):
        house = houses.simple_house(width, height, density * 0.4, color, rng, lit=share)
        houses.shop_window(house, 1.2, 3.2, houses.scaled(houses.CREAM, 0.55), "BAKERY", rng=rng)
        houses.shutter(house, 5.6, 3.0)
        sheets.append((start, house))
    books = houses.simple_house(7.2, 10.4, density * 0.75, (0.33, 0.30, 0.25), rng, lit=0.35)
    houses.book_front(books, 1.0, rng)
    cafe = houses.simple_house(9.3, 8.4, density, (0.30, 0.12, 0.075), rng, lit=0.5, bricks=True)
    houses.cafe_front(cafe, 4.35, rng)
    sheets += [(14.3, books), (5.0, cafe)]
    row: list[Surface] = []
    for z, sheet in sheets:
        row.append(Panel(corner=(LEFT - 9.0, 0.0, z), right=_ACROSS, canvas=gable(sheet, density)))
        row.append(Panel(corner=(LEFT, 0.0, z), right=_ALONG, canvas=sheet))
    return row


def gable(front: Canvas, density: float) -> Canvas:
    """Build the blind side of a house, with its roof and a chimney, to go with a front."""
    side = blank(9.0, front.height + 3.5, density * 0.2)
    eaves = front.height
    paint(side, box(side, 2.2, eaves, 0.7, 3.3), (0.10, 0.06, 0.05))
    roof = [(0.0, eaves), (4.5, eaves + 2.6), (9.0, eaves)]
    paint(side, polygon(side, roof), (0.13, 0.11, 0.10))
    paint(side, box(side, 0.0, 0.0, 9.0, eaves), (0.14, 0.12, 0.11))
    return side


def right_row(density: float, rng: np.random.Generator) -> list[Surface]:
    """Build the houses on the right, seen from farther away."""
    row: list[Surface] = []
    for end, width, height, color, name in (
        (58.0, 14.0, 12.0, (0.22, 0.20, 0.18), "WINE"),
        (44.0, 11.0, 9.0, (0.28, 0.17, 0.12), "SHOES"),
        (33.0, 10.0, 11.0, (0.30, 0.27, 0.22), "PHARMACY"),
        (23.0, 9.0, 8.8, (0.25, 0.13, 0.09), "FLOWERS"),
    ):
        light = houses.COOL if name == "PHARMACY" else houses.WARM
        house = houses.simple_house(
            width, height, density * 0.35, color, rng, lit=0.38, bricks=name in ("SHOES", "FLOWERS")
        )
        houses.shop_window(house, width - 5.5, 4.0, houses.scaled(light, 0.6), name, rng=rng)
        side = gable(house, density)
        row.append(Panel(corner=(RIGHT, 0.0, end - width), right=_ACROSS, canvas=side))
        row.append(Panel(corner=(RIGHT, 0.0, end), right=_BACK, canvas=house))
    return row


def far_end(density: float, rng: np.random.Generator) -> list[Surface]:
    """Close the street by a house across it and a church tower behind."""
    tower = blank(5.0, 26.0, density * 0.2)
    paint(tower, box(tower, 0.6, 0, 3.8, 17.5), (0.10, 0.09, 0.085))
    paint(tower, polygon(tower, [(0.3, 17.5), (2.5, 26.0), (4.7, 17.5)]), (0.05, 0.055, 0.06))
    paint(tower, ellipse(tower, 2.5, 14.8, 0.9, 0.9), (0.1, 0.1, 0.1), (0.95, 0.80, 0.50))
    paint(tower, stroke(tower, [(2.5, 15.4), (2.5, 14.8), (2.9, 14.5)], 0.12))
    house = houses.simple_house(30.0, 8.0, density * 0.2, (0.24, 0.21, 0.18), rng, lit=0.45)
    return [
        Panel(corner=(1.6, 0.0, 82.0), right=_ACROSS, canvas=tower),
        Panel(corner=(-15.0, 0.0, 58.0), right=_ACROSS, canvas=house),
    ]


def furniture(density: float, rng: np.random.Generator) -> list[Surface]:
    """Place everything between the house rows, far to near."""
    placed: list[tuple[Vector, Canvas]] = [
        ((LEFT, 5.6, 34.0), things.wire(RIGHT - LEFT, density * 0.5)),
        ((4.7, 3.5, 29.0), things.pharmacy_cross(density * 0.6)),
        ((LEFT, 4.6, 27.0), things.light_chain(RIGHT - LEFT, density * 0.5, rng)),
        ((LEFT + 0.1, 3.3, 23.0), things.hotel_sign(density * 0.6)),
        ((LEFT, 4.7, 16.2), things.light_chain(RIGHT - LEFT, density, rng)),
    ]
    for x, z, color in _LAMPS:
        lamp = things.street_lamp(density * (1.4 if z < 20 else 0.7), color)
        placed.append(((x - 0.35, 0.0, z), lamp))
    placed += [
        ((-3.75, 3.12, 11.5), things.street_plate(density * 2.2)),
        ((-0.85, 0.0, 9.6), things.walker(density * 1.6)),
        ((-4.15, 0.0, 9.1), things.menu_board(density * 2.2)),
    ]
    placed.sort(key=lambda item: -item[0][2])
    return [
        Panel(corner=corner, right=_ACROSS, canvas=sheet, soft=0.25) for corner, sheet in placed
    ]


def on_the_wall(density: float) -> list[Surface]:
    """Hang what is parallel to the left house row: signs, poster, railing, a bicycle."""
    placed: tuple[tuple[Vector, Canvas], ...] = (
        ((LEFT + 0.30, 0.0, 15.0), things.bicycle(density * 1.2)),
        ((LEFT + 0.12, 3.02, 9.2), things.cafe_sign(density * 1.6)),
        ((LEFT + 0.06, 0.55, 7.80), things.poster(density * 2.0)),
    )
    return [Panel(corner=corner, right=_ALONG, canvas=sheet) for corner, sheet in placed]


def balcony(density: float) -> list[Surface]:
    """Hang a balcony over the cafe's sign: a slab from below, then its railing."""
    out, start, width, floor = 0.75, 9.75, 1.75, 3.98
    slab = blank(out, width, density, (0.16, 0.15, 0.14))
    edge = blank(width, 0.12, density, (0.20, 0.19, 0.17))
    end = blank(out, 0.12, density, (0.20, 0.19, 0.17))
    side, front = things.railing(out, density * 1.5), things.railing(width, density * 1.5)
    return [
        Panel(corner=(LEFT, floor, start), right=_ACROSS, up=_ALONG, canvas=slab),
        Panel(corner=(LEFT, floor, start + width), right=_ACROSS, canvas=side),
        Panel(corner=(LEFT + out, floor, start), right=_ALONG, canvas=edge),
        Panel(corner=(LEFT + out, floor + 0.1, start), right=_ALONG, canvas=front),
        Panel(corner=(LEFT, floor, start), right=_ACROSS, canvas=end),
        Panel(corner=(LEFT, floor + 0.1, start), right=_ACROSS, canvas=side),
    ]


def lights() -> tuple[Light, ...]:
    """Return what shines: lamps, two of them behind the camera, windows, signs, bulbs."""
    found = [
        Light(position=(x, 4.1, z), intensity=houses.scaled(color, 62.0), hooded=True)
        for x, z, color in _LAMPS
    ]
    others: tuple[tuple[Vector, Color, float], ...] = (
        ((-2.5, 4.2, 0.0), SODIUM, 15.0),
        ((-1.0, 4.6, 52.0), SODIUM, 75.0),
        ((3.6, 4.6, 3.0), LED, 13.0),
        ((LEFT + 0.35, 1.7, 10.2), houses.WARM, 5.0),
        ((LEFT + 0.35, 1.7, 12.0), houses.WARM, 5.0),
        ((LEFT + 0.35, 1.8, 17.0), houses.COOL, 4.5),
        ((LEFT + 0.45, 3.4, 10.4), (1.0, 0.22, 0.08), 3.2),
        ((LEFT + 0.45, 3.4, 12.6), (1.0, 0.22, 0.08), 3.2),
        ((LEFT + 0.8, 5.2, 22.5), (1.0, 0.35, 0.22), 9.0),
        ((LEFT + 0.4, 1.8, 24.3), houses.CREAM, 4.0),
        ((RIGHT - 0.4, 1.8, 17.6), houses.WARM, 6.0),
        ((RIGHT - 0.4, 1.8, 27.0), houses.COOL, 6.0),
        ((RIGHT - 0.7, 3.9, 28.6), (0.08, 1.0, 0.3), 4.0),
        ((-1.5, 4.9, 16.0), houses.WARM, 4.0),
        ((2.2, 4.9, 16.0), houses.WARM, 4.0),
        ((0.4, 4.6, 27.0), houses.WARM, 6.0),
    )
    found += [
        Light(position=position, intensity=houses.scaled(color, level))
        for position, color, level in others
    ]
    return tuple(found)


def build(detail: float, seed: int) -> Scene:
    """Build the scene.

    Parameters
    ----------
    detail : float
        Width of the picture that it is meant for, over 1200 px: scales all canvases.
    seed : int
        Decides bricks, windows, leaves, puddles, and clouds.
    """
    rng = np.random.default_rng(seed)
    density = 150.0 * detail
    clouds: Array = noise_grid(rng)
    surfaces: list[Surface] = [Ground(grid=noise_grid(rng)), *far_end(density, rng)]
    surfaces += [*right_row(density, rng), *left_row(density, rng)]
    surfaces += [*on_the_wall(density), *balcony(density)]
    standing = furniture(density, rng)
    crown = Panel(
        corner=(2.1, 0.0, 15.6), right=_ACROSS, canvas=things.tree(density, rng), soft=0.85
    )
    car = Car(place=(2.95, 0.0, 10.8), color=(0.035, 0.10, 0.13))
    near = [s for s in standing if isinstance(s, Panel) and s.corner[2] < 15.6]
    far = [s for s in standing if s not in near]
    blobs = (
        Blob(center=(2.95, 0.62, 13.0), radii=(0.86, 0.60, 2.1), opacity=0.95),
        Blob(center=(-0.1, 0.75, 9.6), radii=(0.25, 0.80, 0.22), opacity=0.9),
        Blob(center=(-0.1, 1.95, 9.6), radii=(0.60, 0.22, 0.55), opacity=0.85),
        Blob(center=(4.8, 4.3, 15.6), radii=(1.9, 1.6, 1.6), opacity=0.6),
    )
    return Scene(
        surfaces=(*surfaces, *far, crown, car, *near), lights=lights(), blobs=blobs, clouds=clouds
    )
