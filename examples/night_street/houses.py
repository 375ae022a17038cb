"""Example: house fronts, painted on canvases."""

from __future__ import annotations

import numpy as np

from night_street.canvas import (
    BLACK,
    Array,
    Canvas,
    Color,
    blank,
    box,
    ellipse,
    noise,
    noise_grid,
    paint,
    shade,
    stroke,
    text,
    tube,
)

WARM: Color = (1.0, 0.60, 0.26)
COOL: Color = (0.62, 0.82, 1.0)
CREAM: Color = (1.0, 0.78, 0.48)


def scaled(color: Color, factor: float) -> Color:
    """Return a color at another brightness."""
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def brick_wall(
    width: float, height: float, density: float, color: Color, rng: np.random.Generator
) -> Canvas:
    """Lay bricks of 22 x 7 cm in running bond, each burnt a little differently."""
    wall = blank(width, height, density, color)
    x, y = wall.grid()
    row = np.floor(y / 0.078)
    shifted = x / 0.23 + 0.5 * (row % 2)
    column = np.floor(shifted)
    burnt = rng.random((64, 512), np.float32)
    tone = 0.55 + 0.75 * burnt[row.astype(int) % 64, column.astype(int) % 512]
    joint = np.minimum((shifted - column) * 0.23, y - row * 0.078)
    mortar = np.clip((0.013 - joint) * density + 0.5, 0, 1)
    stain = 0.75 + 0.5 * noise(noise_grid(rng), x * 0.9 + 0 * y, y * 0.6 + 0 * x)
    shade(wall, tone * stain * (1 - mortar))
    paint_over = mortar[..., None] * np.array((0.20, 0.18, 0.16), np.float32)
    wall.samples[..., :3] += paint_over * stain[..., None]
    return wall


def plaster_wall(
    width: float, height: float, density: float, color: Color, rng: np.random.Generator
) -> Canvas:
    """Smooth a wall with plaster, weathered in patches and streaks."""
    wall = blank(width, height, density, color)
    x, y = wall.grid()
    x, y = x + 0 * y, y + 0 * x
    patches = noise(noise_grid(rng), x * 0.8, y * 0.5)
    streaks = noise(noise_grid(rng), x * 6.0, y * 0.4)
    grain = noise(noise_grid(rng), x * 45, y * 45)
    shade(wall, 0.65 + 0.35 * patches + 0.2 * streaks + 0.12 * grain)
    return wall


def room_light(pane: Canvas, light: Color, rng: np.random.Generator) -> None:
    """Light a room behind a pane: brighter toward its lamp, curtains at the sides."""
    x, y = pane.grid()
    lamp_x, lamp_y = pane.width * rng.uniform(0.25, 0.75), pane.height * rng.uniform(0.6, 0.85)
    squared = (x - lamp_x) ** 2 + (y - lamp_y) ** 2
    glow = 0.25 + 0.95 / (1 + 2.2 * squared)
    folds = 0.75 + 0.25 * np.sin(x * 55 + 2 * np.sin(x * 9))
    drawn = pane.width * rng.uniform(0.12, 0.34)
    curtain = np.clip(np.maximum(drawn - x, x - pane.width + drawn) / 0.06 + 0.5, 0, 1)
    level = glow * (1 - curtain * (1 - 0.55 * folds))
    paint(pane, 1.0, BLACK, level[..., None] * np.array(light, np.float32))
    if rng.random() < 0.5:
        pot = pane.width * rng.uniform(0.35, 0.65)
        paint(pane, ellipse(pane, pot, 0.18, 0.16, 0.22, soft=0.3), (0.03, 0.05, 0.02))


def dark_glass(pane: Canvas, rng: np.random.Generator) -> None:
    """Paint an unlit pane: a faint slanted reflection of the street."""
    x, y = pane.grid()
    slant = np.clip(1 - np.abs(x + 0.5 * y - pane.width * rng.uniform(0.3, 0.9)) / 0.35, 0, 1)
    sheen = (0.006 + 0.016 * slant)[..., None] * np.array((0.9, 0.8, 0.75), np.float32)
    paint(pane, 1.0, (0.012, 0.013, 0.016), sheen)


def window(
    wall: Canvas,
    x: float,
    y: float,
    size: tuple[float, float],
    light: Color | None,
    *,
    rng: np.random.Generator,
) -> None:
    """Set a sash window with frame, bars, lintel and sill into a wall."""
    width, height = size
    outer = wall.part(x - 0.18, y - 0.12, width + 0.36, height + 0.34)
    paint(outer, box(outer, 0, 0, width + 0.36, 0.11), (0.34, 0.32, 0.29))
    paint(outer, box(outer, 0.04, height + 0.14, width + 0.28, 0.16), (0.30, 0.28, 0.25))
    pane = wall.part(x, y, width, height)
    if light is None:
        dark_glass(pane, rng)
    else:
        room_light(pane, light, rng)
    frame: Color = (0.30, 0.29, 0.27)
    for bar in (0.0, width / 2 - 0.025, width - 0.06):
        paint(pane, box(pane, bar, 0, 0.06, height), frame)
    for rail in (0.0, height * 0.62, height - 0.06):
        paint(pane, box(pane, 0, rail, width, 0.05), frame)
    paint(pane, 0.5 * box(pane, 0, height - 0.14, width, 0.14), BLACK)


def upper_floors(
    wall: Canvas, rng: np.random.Generator, *, first: float, lit: float, spacing: float = 1.95
) -> None:
    """Fill a wall with windows from a height up, a share of them lit warm or cool."""
    columns = int((wall.width - 0.5) / spacing)
    margin = (wall.width - columns * spacing) / 2
    for level in np.arange(first, wall.height - 1.9, 3.0):
        for column in range(columns):
            color = WARM if rng.random() < 0.72 else COOL
            light = scaled(color, rng.uniform(0.12, 0.62)) if rng.random() < lit else None
            x = margin + column * spacing + (spacing - 1.05) / 2
            window(wall, x, float(level), (1.05, 1.65), light, rng=rng)
        paint(wall, box(wall, 0, float(level) - 0.75, wall.width, 0.16), (0.26, 0.24, 0.21))
    paint(wall, box(wall, 0, wall.height - 0.35, wall.width, 0.35), (0.24, 0.22, 0.19))


def cafe_room(pane: Canvas, rng: np.random.Generator) -> None:
    """Look into the cafe: a warm back wall, shelves of bottles, lamps, guests at tables."""
    x, y = pane.grid()
    level = 0.50 + 0.55 * y / pane.height + 0 * x
    for lamp in (0.5, 1.55, 2.6):
        level = level + 0.35 / (0.12 + (x - lamp) ** 2 + (y - 1.55) ** 2)
    wall = np.array((1.0, 0.58, 0.25), np.float32)
    paint(pane, 1.0, BLACK, 0.26 * level[..., None] * wall)
    for shelf in (0.95, 1.25):
        paint(pane, box(pane, 0.2, shelf, pane.width - 0.5, 0.035), BLACK, (0.10, 0.05, 0.02))
        for bottle in np.arange(0.28, pane.width - 0.4, 0.095):
            tint = (0.30, 0.36, 0.14) if rng.random() < 0.5 else (0.50, 0.20, 0.06)
            paint(
                pane,
                box(pane, float(bottle), shelf + 0.03, 0.06, rng.uniform(0.13, 0.24)),
                BLACK,
                scaled(tint, rng.uniform(0.3, 1.2)),
            )
    for guest, coat in (
        (0.58, (0.05, 0.03, 0.03)),
        (1.28, (0.03, 0.035, 0.06)),
        (2.42, (0.07, 0.03, 0.02)),
    ):
        paint(pane, ellipse(pane, guest, 0.20, 0.23, 0.45, soft=0.15), BLACK, coat)
        paint(pane, ellipse(pane, guest, 0.74, 0.078, 0.105, soft=0.3), BLACK, (0.15, 0.075, 0.04))
        paint(pane, ellipse(pane, guest, 0.79, 0.085, 0.075, soft=0.2), BLACK, (0.03, 0.015, 0.01))
    for table in (0.93, 2.05):
        paint(pane, box(pane, table - 0.22, 0.40, 0.44, 0.03), BLACK, (0.20, 0.10, 0.04))
        paint(pane, ellipse(pane, table, 0.47, 0.03, 0.045), BLACK, (1.6, 0.9, 0.3))
    paint(pane, box(pane, 0, 0, pane.width, 0.30), BLACK, (0.09, 0.045, 0.018))
    for lamp in (0.5, 1.55, 2.6):
        paint(pane, stroke(pane, [(lamp, 1.6), (lamp, pane.height)], 0.012), BLACK)
        paint(pane, ellipse(pane, lamp, 1.55, 0.10, 0.085), BLACK, (16.0, 10.5, 5.5))


def cafe_front(wall: Canvas, x: float, rng: np.random.Generator) -> None:
    """Build the cafe's window, door, awning edge and lettering into a wall."""
    front = wall.part(x - 0.15, 0, 4.75, 3.05)
    paint(front, box(front, 0, 0, 4.75, 3.05), (0.035, 0.055, 0.045))
    pane = wall.part(x, 0.55, 3.1, 2.05)
    cafe_room(pane, rng)
    paint(pane, box(pane, 1.02, 0, 0.05, 2.05), (0.035, 0.055, 0.045))
    paint(pane, box(pane, 2.05, 0, 0.05, 2.05), (0.035, 0.055, 0.045))
    gold: Color = (0.9, 0.62, 0.25)
    paint(pane, text(pane, "coffee", 0.52, 0.12, 0.22), gold, scaled(gold, 0.5))
    paint(pane, text(pane, "cake & tea", 1.56, 0.12, 0.19), gold, scaled(gold, 0.5))
    paint(pane, tube(pane, "OPEN", 2.57, 1.02, 0.26, width=0.018), BLACK, (14.0, 1.0, 2.6))
    door = wall.part(x + 3.3, 0.05, 1.05, 2.55)
    paint(door, 1.0, (0.09, 0.03, 0.02))
    glass = wall.part(x + 3.45, 0.75, 0.75, 1.7)
    room_light(glass, (0.95, 0.52, 0.22), rng)
    paint(door, box(door, 0.06, 0.95, 0.04, 0.3), (0.5, 0.4, 0.2))


def book_front(wall: Canvas, x: float, rng: np.random.Generator) -> None:
    """Build the bookshop: cool light, rows of spines, letters lit from behind."""
    paint(wall, box(wall, x - 0.15, 0, 4.9, 3.5), (0.05, 0.06, 0.08))
    pane = wall.part(x, 0.6, 3.3, 1.95)
    height = pane.grid()[1]
    paint(pane, 1.0, BLACK, (0.30 + 0.25 * height)[..., None] * np.array(COOL, np.float32))
    for shelf in (0.08, 0.52, 0.96, 1.40):
        edge = 0.1
        while edge < 3.15:
            thick = rng.uniform(0.03, 0.075)
            spine = box(pane, edge, shelf, thick - 0.006, rng.uniform(0.24, 0.36))
            hue = rng.random(3) * np.array((0.7, 0.5, 0.5))
            paint(pane, spine, BLACK, (float(hue[0]), float(hue[1]), float(hue[2])))
            edge += thick
        paint(pane, box(pane, 0, shelf - 0.04, 3.3, 0.04), BLACK, (0.10, 0.11, 0.12))
    paint(pane, box(pane, 1.62, 0, 0.06, 1.95), (0.05, 0.06, 0.08))
    glass = wall.part(x + 3.5, 0.6, 0.95, 1.9)
    room_light(glass, (0.40, 0.50, 0.62), rng)
    paint(wall, text(wall, "BOOKS", x + 2.3, 2.78, 0.78, bold=0.02), BLACK, (3.1, 3.7, 4.4))


def shutter(wall: Canvas, x: float, width: float) -> None:
    """Close a shop with a rolling shutter, its slats catching light."""
    gate = wall.part(x, 0.1, width, 2.6)
    slats = 0.6 + 0.4 * np.sin(gate.grid()[1] * 2 * np.pi / 0.09) + 0 * gate.grid()[0]
    paint(gate, 1.0, slats[..., None] * np.array((0.16, 0.17, 0.18), np.float32))
    tag: Array = text(gate, "nite", width * 0.5, 0.8, 0.9, bold=0.02)
    paint(gate, 0.8 * tag, (0.30, 0.08, 0.22))


def shop_window(
    wall: Canvas, x: float, width: float, light: Color, name: str, *, rng: np.random.Generator
) -> None:
    """Light a shop window with goods on two shelves and a lettered board above it."""
    pane = wall.part(x, 0.5, width, 2.0)
    columns, rows = pane.grid()
    level = 0.35 + 0.45 * rows / 2 + 0.12 * np.sin(columns * 4)
    paint(pane, 1.0, BLACK, level[..., None] * np.array(light, np.float32))
    for shelf in (0.05, 0.75):
        for place in np.arange(0.2, width - 0.1, 0.24):
            size = rng.uniform(0.06, 0.12)
            tint = (0.08 + 0.6 * rng.random(3)) * np.array(light)
            thing = ellipse(pane, float(place), shelf + 1.6 * size, size, 1.7 * size, soft=0.2)
            paint(pane, thing, BLACK, (float(tint[0]), float(tint[1]), float(tint[2])))
        paint(pane, box(pane, 0, shelf - 0.04, width, 0.04), BLACK, scaled(light, 0.12))
    for bar in np.arange(0, width, 1.3):
        paint(pane, box(pane, float(bar), 0, 0.06, 2.0), (0.05, 0.05, 0.06))
    board = wall.part(x - 0.1, 2.65, width + 0.2, 0.6)
    paint(board, 1.0, (0.05, 0.05, 0.06))
    paint(board, text(board, name, width / 2 + 0.1, 0.14, 0.45), BLACK, scaled(light, 2.2))


def simple_house(
    width: float,
    height: float,
    density: float,
    color: Color,
    rng: np.random.Generator,
    *,
    lit: float,
    bricks: bool = False,
) -> Canvas:
    """Build a house of plaster or brick with windows from the first floor up."""
    make = brick_wall if bricks else plaster_wall
    wall = make(width, height, density, color, rng)
    upper_floors(wall, rng, first=3.9, lit=lit)
    return wall
