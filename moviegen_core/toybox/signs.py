"""Signs: a board on two posts with one word."""

from __future__ import annotations

from .raster import Pen

HEIGHT, LETTER, FOOT = 0.2, 0.125, 0.4  # of the board, its letters and its posts, in world units


def half_width(word: str) -> float:
    """Half the width of the board for `word`, in world units."""
    return 0.05 + 0.047 * max(len(word), 2)


def board(pen: Pen, word: str) -> None:
    """The sign in world units, standing on y = 0."""
    half = half_width(word)
    for x in (-0.6 * half, 0.6 * half):
        pen.box(x - 0.018, 0.0, x + 0.018, FOOT + 0.05, (122, 84, 56))
    pen.box(-half, FOOT, half, FOOT + HEIGHT, (132, 92, 60), 0.03)
    if pen.rim is None:
        pen.box(-half + 0.018, FOOT + 0.018, half - 0.018, FOOT + HEIGHT - 0.018, (255, 250, 232), 0.02)
        pen.text(0.0, FOOT + HEIGHT / 2, LETTER, word, (40, 34, 60))
