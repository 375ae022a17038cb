"""Example: what stands and hangs in the street, each painted on a canvas of its own."""

from __future__ import annotations

import math

import numpy as np

from night_street.canvas import (
    BLACK,
    Canvas,
    Color,
    Point,
    blank,
    box,
    ellipse,
    paint,
    polygon,
    shade,
    stroke,
    text,
    tube,
)

IRON: Color = (0.035, 0.038, 0.042)

#: A face from back to front: x, y, half width, half height [share of the poster],
#: softness and color.
_FACE: tuple[tuple[float, float, float, float, float, Color], ...] = (
    (0.50, 0.52, 0.60, 0.38, 1.00, (0.10, 0.26, 0.34)),
    (0.50, 0.53, 0.275, 0.270, 0.10, (0.045, 0.022, 0.018)),
    (0.50, 0.40, 0.260, 0.220, 0.10, (0.040, 0.020, 0.016)),
    (0.50, 0.15, 0.360, 0.150, 0.10, (0.300, 0.030, 0.045)),
    (0.50, 0.30, 0.090, 0.140, 0.30, (0.400, 0.215, 0.140)),
    (0.50, 0.480, 0.185, 0.178, 0.16, (0.560, 0.330, 0.220)),
    (0.45, 0.500, 0.130, 0.150, 0.95, (0.720, 0.460, 0.330)),
    (0.615, 0.470, 0.075, 0.140, 1.00, (0.380, 0.205, 0.140)),
    (0.39, 0.430, 0.060, 0.040, 1.00, (0.740, 0.380, 0.290)),
    (0.61, 0.430, 0.055, 0.040, 1.00, (0.600, 0.290, 0.210)),
    (0.52, 0.450, 0.022, 0.050, 1.00, (0.500, 0.285, 0.185)),
    (0.485, 0.470, 0.012, 0.060, 1.00, (0.800, 0.540, 0.410)),
    (0.50, 0.426, 0.036, 0.010, 0.80, (0.380, 0.180, 0.120)),
    (0.42, 0.505, 0.042, 0.016, 0.30, (0.620, 0.560, 0.520)),
    (0.58, 0.505, 0.042, 0.016, 0.30, (0.560, 0.500, 0.460)),
    (0.424, 0.505, 0.017, 0.016, 0.30, (0.050, 0.090, 0.080)),
    (0.584, 0.505, 0.017, 0.016, 0.30, (0.050, 0.085, 0.075)),
    (0.418, 0.510, 0.005, 0.004, 0.40, (0.900, 0.900, 0.900)),
    (0.578, 0.510, 0.005, 0.004, 0.40, (0.900, 0.900, 0.900)),
    (0.42, 0.522, 0.048, 0.007, 0.60, (0.060, 0.030, 0.025)),
    (0.58, 0.522, 0.048, 0.007, 0.60, (0.060, 0.030, 0.025)),
    (0.415, 0.552, 0.055, 0.009, 0.80, (0.130, 0.070, 0.050)),
    (0.585, 0.552, 0.055, 0.009, 0.80, (0.130, 0.070, 0.050)),
    (0.50, 0.372, 0.058, 0.013, 0.40, (0.520, 0.085, 0.090)),
    (0.50, 0.386, 0.050, 0.008, 0.40, (0.440, 0.065, 0.075)),
    (0.495, 0.367, 0.022, 0.004, 0.90, (0.720, 0.260, 0.240)),
    (0.50, 0.680, 0.205, 0.085, 0.35, (0.050, 0.025, 0.020)),
    (0.44, 0.715, 0.120, 0.050, 1.00, (0.120, 0.062, 0.045)),
)


def poster(density: float) -> Canvas:
    """Paint a singer's face on a poster, lit from behind by its case."""
    width, height = 1.2, 1.75
    sheet = blank(width, height, density, (0.030, 0.080, 0.115))
    for x, y, rx, ry, soft, color in _FACE:
        shape = ellipse(sheet, x * width, y * height, rx * width, ry * height, soft=soft)
        paint(sheet, shape, color)
    cream: Color = (0.80, 0.68, 0.46)
    paint(sheet, text(sheet, "LUNA", width / 2, 1.44, 0.34, bold=0.008), cream)
    paint(sheet, text(sheet, "live at the Lantern Hall", width / 2, 0.145, 0.098), cream)
    paint(sheet, text(sheet, "21 June, doors 19:30", width / 2, 0.045, 0.080), cream)
    sheet.samples[..., 3:6] = 1.15 * sheet.samples[..., 0:3]
    case = blank(width + 0.16, height + 0.16, density, IRON)
    edge = round(0.08 * density)
    rows, columns = sheet.samples.shape[:2]
    case.samples[edge : edge + rows, edge : edge + columns] = sheet.samples
    return case


def cafe_sign(density: float) -> Canvas:
    """Bend the cafe's name from neon, with a crescent moon beside it."""
    board = blank(4.6, 0.82, density, (0.030, 0.035, 0.045))
    paint(board, tube(board, "NIGHT CAFE", 2.52, 0.20, 0.66, width=0.022), BLACK, (15.0, 3.2, 0.9))
    moon = ellipse(board, 0.36, 0.42, 0.26, 0.26) * (1 - ellipse(board, 0.47, 0.48, 0.22, 0.22))
    paint(board, moon, BLACK, (7.0, 8.5, 13.0))
    for edge in (0.03, 0.77):
        paint(board, stroke(board, [(0.05, edge), (4.55, edge)], 0.02), BLACK, (1.2, 3.4, 6.5))
    return board


def hotel_sign(density: float) -> Canvas:
    """Stack the letters of a hotel's sign, framed by a red tube."""
    board = blank(0.9, 4.0, density, (0.04, 0.03, 0.03))
    for place, letter in enumerate("HOTEL"):
        y = 3.22 - 0.75 * place
        paint(board, text(board, letter, 0.45, y, 0.78, bold=0.012), BLACK, (9.0, 7.4, 5.2))
    frame = [(0.06, 0.06), (0.84, 0.06), (0.84, 3.94), (0.06, 3.94), (0.06, 0.06)]
    paint(board, stroke(board, frame, 0.045), BLACK, (17.0, 0.9, 1.3))
    return board


def pharmacy_cross(density: float) -> Canvas:
    """Light a green cross, one tube within the other."""
    board = blank(1.0, 1.0, density)
    for arm, light in (
        (0.34, (0.6, 9.0, 2.4)),
        (0.22, (0.02, 0.12, 0.05)),
        (0.12, (0.6, 9.0, 2.4)),
    ):
        paint(board, box(board, 0.5 - arm / 2, 0.5 - arm * 1.4, arm, arm * 2.8), BLACK, light)
        paint(board, box(board, 0.5 - arm * 1.4, 0.5 - arm / 2, arm * 2.8, arm), BLACK, light)
    return board


def street_plate(density: float) -> Canvas:
    """Letter an enamel plate with the street's name."""
    plate = blank(1.15, 0.30, density, (0.55, 0.55, 0.52))
    paint(plate, box(plate, 0.018, 0.018, 1.114, 0.264), (0.018, 0.040, 0.150))
    paint(plate, text(plate, "Lantern Street", 0.575, 0.105, 0.155, bold=0.001), (0.70, 0.70, 0.67))
    paint(plate, text(plate, "7 - 31", 0.575, 0.035, 0.060), (0.70, 0.70, 0.67))
    return plate


def menu_board(density: float) -> Canvas:
    """Chalk the evening's menu on a board that stands on the pavement."""
    board = blank(0.66, 1.10, density)
    paint(
        board,
        polygon(board, [(0.0, 0.0), (0.05, 1.1), (0.61, 1.1), (0.66, 0.0)]),
        (0.22, 0.11, 0.05),
    )
    paint(
        board,
        polygon(board, [(0.06, 0.16), (0.09, 1.04), (0.57, 1.04), (0.60, 0.16)]),
        (0.02, 0.022, 0.022),
    )
    chalk: Color = (0.62, 0.60, 0.56)
    paint(board, text(board, "TONIGHT", 0.33, 0.89, 0.115), (0.70, 0.52, 0.20))
    lines = ("soup 4.50", "coffee 2.20", "apple pie 3.80", "hot punch 5.00", "until 2 am")
    for place, line in enumerate(lines):
        paint(board, text(board, line, 0.33, 0.765 - 0.125 * place, 0.075), chalk)
    return board


def street_lamp(density: float, color: Color) -> Canvas:
    """Cast an old lantern on a fluted post: a core far above white behind frosted glass."""
    lamp = blank(0.7, 4.75, density)
    paint(lamp, box(lamp, 0.315, 0.0, 0.07, 3.95), IRON)
    paint(lamp, polygon(lamp, [(0.22, 0.0), (0.28, 0.8), (0.42, 0.8), (0.48, 0.0)]), IRON)
    paint(lamp, box(lamp, 0.16, 3.62, 0.38, 0.03), IRON)
    glass = polygon(lamp, [(0.25, 3.95), (0.13, 4.45), (0.57, 4.45), (0.45, 3.95)])
    level = 2.5 + 9.0 * ellipse(lamp, 0.35, 4.19, 0.24, 0.30, soft=1.6)
    paint(lamp, glass, BLACK, level[..., None] * np.array(color, np.float32))
    core = (48 * color[0], 48 * color[1], 48 * color[2])
    paint(lamp, ellipse(lamp, 0.35, 4.19, 0.055, 0.095, soft=0.3), BLACK, core)
    for x0, x1 in ((0.25, 0.13), (0.45, 0.57)):
        paint(lamp, stroke(lamp, [(x0, 3.95), (x1, 4.45)], 0.025), IRON)
    paint(lamp, polygon(lamp, [(0.10, 4.45), (0.35, 4.70), (0.60, 4.45)]), IRON)
    return lamp


def hanging(span: float, sag: float, x: float) -> float:
    """Return how far a cable hangs below its ends at x (a parabola, close to a catenary)."""
    return 4 * sag * (x / span) * (1 - x / span)


def light_chain(span: float, density: float, rng: np.random.Generator) -> Canvas:
    """Hang a cable with colored bulbs between two houses."""
    chain = blank(span, 1.3, density)
    xs = np.linspace(0, span, 61)
    points: list[Point] = [(float(x), 1.2 - hanging(span, 0.85, float(x))) for x in xs]
    for first in range(0, 60, 6):
        piece = points[first : first + 7]
        low = min(y for _, y in piece) - 0.05
        strip = chain.part(piece[0][0], low, piece[-1][0] - piece[0][0], 1.3 - low)
        local = [(x - piece[0][0], y - low) for x, y in piece]
        paint(strip, stroke(strip, local, 0.014), (0.02, 0.02, 0.02))
    colors: tuple[Color, ...] = ((20, 12, 5), (22, 7.5, 2.8), (19, 13, 6.5))
    for x in np.arange(0.35, span, 0.62):
        y = 1.2 - hanging(span, 0.85, float(x)) - 0.09
        spot = chain.part(float(x) - 0.1, y - 0.1, 0.2, 0.2)
        paint(
            spot, ellipse(spot, 0.1, 0.1, 0.042, 0.055, soft=0.25), BLACK, colors[rng.integers(3)]
        )
        paint(spot, box(spot, 0.085, 0.15, 0.03, 0.05), (0.02, 0.02, 0.02))
    return chain


def wire(span: float, density: float) -> Canvas:
    """Hang a bare wire between two houses."""
    sheet = blank(span, 0.6, density)
    xs = np.linspace(0, span, 41)
    points: list[Point] = [(float(x), 0.55 - hanging(span, 0.45, float(x))) for x in xs]
    paint(sheet, stroke(sheet, points, 0.016), (0.01, 0.01, 0.01))
    return sheet


def railing(width: float, density: float) -> Canvas:
    """Forge a balcony's railing: thin bars between two rails, a ring in every third gap."""
    bars = blank(width, 1.0, density)
    for rail in (0.06, 0.80, 0.96):
        paint(bars, box(bars, 0, rail, width, 0.035), IRON)
    for place, x in enumerate(np.arange(0.02, width, 0.115)):
        paint(bars, box(bars, float(x), 0.0, 0.018, 0.97), IRON)
        ring = bars.part(float(x), 0.80, 0.13, 0.2)
        if place % 3 == 0 and min(ring.samples.shape) > 0:
            edge = ellipse(ring, 0.066, 0.095, 0.05, 0.05) - ellipse(
                ring, 0.066, 0.095, 0.034, 0.034
            )
            paint(ring, np.clip(edge, 0, 1), IRON)
    return bars


def bicycle(density: float) -> Canvas:
    """Lean a bicycle: two spoked wheels and a frame of thin tubes."""
    sheet = blank(1.8, 1.1, density)
    for hub in (0.36, 1.42):
        rim = ellipse(sheet, hub, 0.35, 0.345, 0.345) - ellipse(sheet, hub, 0.35, 0.315, 0.315)
        paint(sheet, np.clip(rim, 0, 1), (0.05, 0.05, 0.05))
        for angle in np.arange(0, math.pi, math.pi / 9):
            dx, dy = 0.32 * math.cos(angle), 0.32 * math.sin(angle)
            paint(
                sheet,
                stroke(sheet, [(hub - dx, 0.35 - dy), (hub + dx, 0.35 + dy)], 0.006),
                (0.4, 0.4, 0.4),
            )
    frame: tuple[list[Point], ...] = (
        [(0.36, 0.35), (0.80, 0.33), (0.66, 0.85), (0.36, 0.35)],
        [(0.80, 0.33), (1.26, 0.78), (0.68, 0.78)],
        [(1.42, 0.35), (1.22, 0.98), (1.36, 1.04)],
    )
    for tubes in frame:
        paint(sheet, stroke(sheet, tubes, 0.034), (0.32, 0.05, 0.04))
    paint(sheet, box(sheet, 0.54, 0.85, 0.24, 0.05), (0.03, 0.02, 0.02))
    return sheet


def walker(density: float) -> Canvas:
    """Paint somebody under an umbrella, coming this way in a long coat."""
    figure = blank(1.5, 2.25, density)
    legs: tuple[list[Point], ...] = (
        [(0.70, 0.72), (0.66, 0.38), (0.645, 0.05)],
        [(0.83, 0.72), (0.86, 0.40), (0.835, 0.08)],
    )
    for leg in legs:
        paint(figure, stroke(figure, leg, 0.115), (0.035, 0.035, 0.05))
        foot_x, foot_y = leg[-1]
        paint(
            figure,
            ellipse(figure, foot_x - 0.01, foot_y - 0.015, 0.075, 0.045),
            (0.02, 0.015, 0.012),
        )
    coat = [
        (0.58, 0.52),
        (0.60, 1.10),
        (0.575, 1.38),
        (0.70, 1.47),
        (0.84, 1.47),
        (0.965, 1.38),
        (0.93, 1.10),
        (0.965, 0.52),
    ]
    paint(figure, polygon(figure, coat), (0.34, 0.055, 0.045))
    paint(
        figure,
        stroke(figure, [(0.60, 1.36), (0.545, 1.08), (0.66, 0.98)], 0.105),
        (0.30, 0.048, 0.04),
    )
    paint(
        figure,
        stroke(figure, [(0.935, 1.36), (0.995, 1.12), (0.90, 1.24)], 0.10),
        (0.30, 0.048, 0.04),
    )
    paint(figure, stroke(figure, [(0.765, 0.53), (0.765, 1.40)], 0.012), (0.12, 0.02, 0.02))
    x, y = figure.grid()
    round_body = np.sqrt(np.clip(1 - ((x - 0.80) / 0.26) ** 2, 0.04, 1))
    folds = 1 + 0.16 * np.sin(x * 48 + 2.5 * np.sin(y * 5)) * np.clip(1.15 - y, 0, 0.6)
    shade(figure, (0.15 + 1.05 * round_body) * folds * (0.7 + 0.4 * np.clip(y, 0, 1.4)))
    head(figure)
    umbrella(figure)
    return figure


def head(figure: Canvas) -> None:
    """Paint the walker's head: hair, soft skin, scarf."""
    paint(figure, ellipse(figure, 0.77, 1.615, 0.112, 0.140, soft=0.15), (0.035, 0.020, 0.014))
    paint(figure, ellipse(figure, 0.77, 1.600, 0.082, 0.112, soft=0.25), (0.50, 0.30, 0.21))
    paint(figure, ellipse(figure, 0.79, 1.605, 0.050, 0.075, soft=1.0), (0.62, 0.40, 0.29))
    for eye in (0.738, 0.802):
        paint(figure, ellipse(figure, eye, 1.622, 0.013, 0.008, soft=0.5), (0.05, 0.03, 0.025))
    paint(figure, ellipse(figure, 0.77, 1.552, 0.024, 0.007, soft=0.6), (0.34, 0.09, 0.09))
    paint(figure, ellipse(figure, 0.77, 1.460, 0.135, 0.055, soft=0.2), (0.55, 0.48, 0.30))


def umbrella(figure: Canvas) -> None:
    """Open the umbrella over the walker, lit through from above."""
    paint(figure, stroke(figure, [(0.93, 1.18), (0.90, 2.18)], 0.016), (0.25, 0.25, 0.26))
    dome = ellipse(figure, 0.80, 1.72, 0.69, 0.45) * box(figure, 0, 1.74, 1.5, 0.6)
    for cell in range(6):
        gap = ellipse(figure, 0.225 + 0.23 * cell, 1.735, 0.115, 0.05)
        dome = dome * (1 - gap)
    x, y = figure.grid()
    cloth = (0.55 + 0.45 * np.clip((y - 1.72) / 0.45, 0, 1)) * (0.8 + 0.2 * np.sin(x * 27.3 + 1))
    paint(figure, dome, cloth[..., None] * np.array((0.10, 0.14, 0.22), np.float32))
    for rib in (-0.46, -0.23, 0.0, 0.23, 0.46):
        points = [
            (0.80 + rib * math.sin(a), 1.72 + 0.45 * math.cos(a)) for a in np.linspace(0, 1.5, 8)
        ]
        paint(figure, dome * stroke(figure, points, 0.008), (0.03, 0.04, 0.06))


def branch(
    tree: Canvas, start: Point, angle: float, length: float, rng: np.random.Generator
) -> list[Point]:
    """Grow a branch and its twigs; return the tips, where the leaves are."""
    end = (start[0] + length * math.sin(angle), start[1] + length * math.cos(angle))
    low = (min(start[0], end[0]) - 0.1, min(start[1], end[1]) - 0.1)
    size = (abs(start[0] - end[0]) + 0.2, abs(start[1] - end[1]) + 0.2)
    near = tree.part(*low, *size)
    local = [(x - low[0], y - low[1]) for x, y in (start, end)]
    if min(near.samples.shape) > 0:
        paint(near, stroke(near, local, max(0.09 * length, 0.012)), (0.055, 0.04, 0.03))
    if length < 0.42:
        return [end, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)]
    tips: list[Point] = []
    for turn in (-0.55, 0.05, 0.5):
        bend = angle + turn + rng.uniform(-0.22, 0.22)
        tips += branch(tree, end, bend, length * rng.uniform(0.62, 0.74), rng)
    return tips


def tree(density: float, rng: np.random.Generator) -> Canvas:
    """Grow a street tree: branches, then thousands of leaves around their tips."""
    crown = blank(5.4, 6.4, density)
    paint(crown, stroke(crown, [(2.7, 0), (2.66, 1.2), (2.72, 2.3)], 0.20), (0.06, 0.045, 0.035))
    tips: list[Point] = []
    for angle in (-0.75, -0.15, 0.55):
        tips += branch(crown, (2.71, 2.2), angle, 1.15, rng)
    for _ in range(6500):
        x, y = tips[rng.integers(len(tips))]
        leaf(crown, (x + rng.normal(0, 0.20), y + rng.normal(0, 0.20)), rng)
    return crown


def leaf(crown: Canvas, center: Point, rng: np.random.Generator) -> None:
    """Paint one leaf: a pointed oval at any angle, young or old, in light or in shade."""
    size = rng.uniform(0.05, 0.085)
    spot = crown.part(center[0] - size, center[1] - size, 2 * size, 2 * size)
    if min(spot.samples.shape) == 0:
        return
    angle = rng.uniform(0, math.pi)
    x, y = spot.grid()
    along = (x - size) * math.cos(angle) + (y - size) * math.sin(angle)
    across = (y - size) * math.cos(angle) - (x - size) * math.sin(angle)
    width = 0.48 * size * np.clip(1 - (along / size) ** 2, 0, 1)
    shape = np.clip((width - np.abs(across)) * crown.density + 0.3, 0, 1)
    tone = rng.uniform(0.15, 1.2) ** 1.5
    age = rng.random() ** 2
    paint(spot, shape, (tone * (0.055 + 0.12 * age), tone * (0.17 - 0.03 * age), tone * 0.03))
