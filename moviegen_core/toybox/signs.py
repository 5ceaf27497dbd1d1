"""Signs: a board on two posts with one word."""

from __future__ import annotations

from .raster import Pen

HEIGHT, LETTER = 0.24, 0.15  # of the board and of its letters, in world units


def half_width(word: str) -> float:
    """Half the width of the board for `word`, in world units."""
    return 0.05 + 0.056 * max(len(word), 2)


def board(pen: Pen, word: str) -> None:
    """The sign in world units, standing on y = 0."""
    half = half_width(word)
    for x in (-0.6 * half, 0.6 * half):
        pen.box(x - 0.018, 0.0, x + 0.018, 0.3, (122, 84, 56))
    pen.box(-half, 0.2, half, 0.2 + HEIGHT, (132, 92, 60), 0.03)
    if pen.rim is None:
        pen.box(-half + 0.018, 0.218, half - 0.018, 0.182 + HEIGHT, (255, 250, 232), 0.02)
        pen.text(0.0, 0.2 + HEIGHT / 2, LETTER, word, (40, 34, 60))
