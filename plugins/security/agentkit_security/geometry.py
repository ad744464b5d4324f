"""Polygons and lines over a picture. Knows points, nothing of what they stand for."""

import math
from collections.abc import Sequence
from itertools import combinations, pairwise

Point = tuple[float, float]  # x to the right, y down


def area(points: Sequence[Point]) -> float:
    """Return the signed area of a polygon (shoelace formula)."""
    pairs = pairwise([*points, points[0]])
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs) / 2


def crossed(points: Sequence[Point]) -> tuple[int, int] | None:
    """Return two sides of a polygon that meet where they should not; None if it is simple."""
    sides = list(pairwise([*points, points[0]]))
    last = len(sides) - 1
    for one, other in combinations(range(len(sides)), 2):
        if other == one + 1 or (one == 0 and other == last):
            shared, far = _corner(sides[one], sides[other])
            if _turns_back(shared, *far):
                return one, other
        elif meet(*sides[one], *sides[other]):
            return one, other
    return None


def _corner(
    one: tuple[Point, Point], other: tuple[Point, Point]
) -> tuple[Point, tuple[Point, Point]]:
    """Return the corner that two neighbouring sides share, and their other ends."""
    if one[1] == other[0]:
        return one[1], (one[0], other[1])
    return one[0], (one[1], other[0])


def _turns_back(corner: Point, one: Point, other: Point) -> bool:
    """Say whether two sides of a corner lie on each other."""
    (x1, y1), (x2, y2) = ((p[0] - corner[0], p[1] - corner[1]) for p in (one, other))
    return abs(x1 * y2 - x2 * y1) < 1e-12 and x1 * x2 + y1 * y2 > 0


def side_of(start: Point, end: Point, point: Point) -> float:
    """Return how far right of a line (positive) or left of it a point is, as y goes down."""
    (ax, ay), (bx, by), (x, y) = start, end, point
    cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return cross / max(math.hypot(bx - ax, by - ay), 1e-12)


def meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Say whether the stretches a-b and c-d touch."""
    sides = [side_of(a, b, c), side_of(a, b, d), side_of(c, d, a), side_of(c, d, b)]
    if sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(
        abs(side) < 1e-12 and _is_between(start, end, point)
        for side, (start, end, point) in zip(sides, ends, strict=True)
    )


def _is_between(a: Point, b: Point, point: Point) -> bool:
    return all(min(a[i], b[i]) - 1e-12 <= point[i] <= max(a[i], b[i]) + 1e-12 for i in range(2))


def depth(polygon: Sequence[Point], point: Point) -> float:
    """Return how deep inside a polygon a point is; negative: how far outside."""
    x, y = point
    inside, nearest = False, math.inf
    for (ax, ay), (bx, by) in pairwise([*polygon, polygon[0]]):
        if (ay > y) != (by > y) and x < ax + (bx - ax) * (y - ay) / (by - ay):
            inside = not inside
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / max(
            (bx - ax) ** 2 + (by - ay) ** 2, 1e-18
        )
        share = min(max(along, 0.0), 1.0)
        nearest = min(nearest, math.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay)))
    return nearest if inside else -nearest
