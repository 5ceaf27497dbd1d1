"""Sound as a picture: a spectrogram above its waveform, for people who look rather than play.

Shape letters: C channels, S samples, W columns, H rows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import MediaError
from .waveform import checked, to_mono

if TYPE_CHECKING:
    from PIL import Image

WINDOW = 2048  # samples of a spectrum
LOOKS = 4  # spectra in a column
LOWEST_HERTZ, HIGHEST_HERTZ = 50.0, 20_000.0
FLOOR_DB, TOP_DB = -90.0, -10.0  # of a full-scale sine: black and white
HERTZ = (100, 300, 1000, 3000, 10_000)
LEFT, BOTTOM = 40, 16  # pixels for the labels
COLOURS = ((0, 0, 4), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
BACKGROUND, INK, TRACE = "#202124", "#c8c8c8", "#8ab4f8"


def levels(waveform: Tensor, sample_rate: int, columns: int, rows: int) -> Tensor:
    """Level [H, W] in dB of a full-scale sine, high tones in the first row; rows widen as pitch does.

    A column is the mean of a few spectra within its share of the sound [C, S]; memory does not grow with S. MediaError
    for an empty sound.
    """
    mono = to_mono(checked(waveform, sample_rate))[0]
    if not len(mono):
        raise MediaError("the sound is empty (0 samples); give one that lasts longer than 0 seconds")
    highest = min(HIGHEST_HERTZ, sample_rate / 2)
    edges = torch.logspace(math.log10(LOWEST_HERTZ), math.log10(highest), rows + 1, dtype=torch.float64)
    places = (edges * WINDOW / sample_rate).clamp(max=WINDOW / 2 - 1e-6)
    below = places.floor().long()
    window = torch.hann_window(WINDOW)
    starts = ((torch.arange(columns * LOOKS) + 0.5) / (columns * LOOKS) * len(mono)).long() - WINDOW // 2
    # Spectra stay inside: a sound that is cut off would end in a bright line otherwise.
    starts = starts.clamp(0, max(0, len(mono) - WINDOW))
    found = []
    for chunk in starts.split(64 * LOOKS):
        at = chunk[:, None] + torch.arange(WINDOW)
        pieces = mono[at.clamp(max=len(mono) - 1)] * (at < len(mono)) * window
        power = (torch.fft.rfft(pieces).abs() * 4 / WINDOW).square().double()
        power = power.unflatten(0, (-1, LOOKS)).mean(dim=1)
        total = torch.nn.functional.pad(power.cumsum(dim=1), (1, 0))
        # The power up to any tone, between two lines of the spectrum in proportion.
        upto = total[:, below] + (places - below) * power[:, below]
        # Rows narrower than a line of the spectrum show that line, wider ones all that lies in them.
        row = (upto[:, 1:] - upto[:, :-1]) / (places[1:] - places[:-1]).clamp(max=1)
        found.append(10 * row.clamp(1e-12).log10())
    return torch.cat(found).T.flip(0).float()


def sound_picture(waveform: Tensor, sample_rate: int, width: int = 1200, height: int = 320) -> Image.Image:
    """Spectrogram (50 Hz to 20 kHz) above the waveform of [C, S], with seconds and hertz along the sides."""
    from PIL import Image, ImageDraw, ImageFont

    columns, inner = max(16, width - LEFT), max(32, height - BOTTOM)
    rows = inner * 7 // 10
    level = ((levels(waveform, sample_rate, columns, rows) - FLOOR_DB) / (TOP_DB - FLOOR_DB)).clamp(0, 1)
    image = Image.new("RGB", (LEFT + columns, inner + BOTTOM), BACKGROUND)
    image.paste(Image.fromarray(_coloured(level).numpy()), (LEFT, 0))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default()
    seconds = waveform.shape[-1] / sample_rate
    highest = min(HIGHEST_HERTZ, sample_rate / 2)
    for hertz in HERTZ:
        y = rows * (1 - math.log(hertz / LOWEST_HERTZ) / math.log(highest / LOWEST_HERTZ))
        if 6 <= y <= rows - 6:
            label = f"{hertz // 1000} kHz" if hertz >= 1000 else f"{hertz} Hz"
            draw.text((LEFT - 4, y), label, INK, font, anchor="rm")
            draw.line((LEFT - 3, y, LEFT, y), fill=INK)
    _draw_trace(draw, waveform, LEFT, rows, columns, inner - rows)
    step = next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120) if seconds / step <= columns / 60), 300)
    for index in range(int(seconds / step) + 1):
        x = LEFT + columns * index * step / seconds
        draw.line((x, inner, x, inner + 3), fill=INK)
        if x < LEFT + columns - 20:
            draw.text((x + 3, inner + 2), f"{index * step:g} s", INK, font)
    return image


def _draw_trace(draw: Any, waveform: Tensor, left: int, top: int, columns: int, height: int) -> None:
    """Lowest and highest sample of every column."""
    middle, half = top + height / 2, height / 2 - 2
    length = waveform.shape[-1]
    for column in range(columns):
        begin = column * length // columns
        part = waveform[..., begin : max(begin + 1, (column + 1) * length // columns)].nan_to_num(0.0).clamp(-1, 1)
        low, high = float(part.min()), float(part.max())
        draw.line((left + column, middle - high * half, left + column, middle - low * half), fill=TRACE)


def _coloured(level: Tensor) -> Tensor:
    """Levels [H, W] from 0 to 1 -> uint8 [H, W, 3]."""
    anchors = torch.tensor(COLOURS, dtype=torch.float32)
    place = level * (len(anchors) - 1)
    below = place.floor().long().clamp(max=len(anchors) - 2)
    mixed = torch.lerp(anchors[below], anchors[below + 1], (place - below)[..., None])
    return mixed.round().to(torch.uint8).contiguous()
