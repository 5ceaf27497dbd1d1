"""Fit nodes/preview.json: the linear map from latent channels to colours that live previews use.

Least squares over toybox clips: 16 latent channels and a constant against the mean colour of the pixels they stand for.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from moviegen_core import toybox, weights
from moviegen_core.media.files import replacing
from moviegen_core.media.frames import from_uint8
from moviegen_core.models import loading
from moviegen_core.pipelines.decode import encode_video

TARGET = Path(__file__).parents[1] / "nodes" / "preview.json"
FRAMES, SIZE = 32, 128


def main() -> None:
    """Fit and write the table; print how much of the colours it explains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tae", default="nano/tae", help="shipped name or file (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=24, help="toybox clips (default: %(default)s)")
    arguments = parser.parse_args()
    tae = loading.load(weights.resolve(arguments.tae), network="tae", dtype=torch.float32)
    rows, colours = [], []
    for seed in range(arguments.clips):
        scene = toybox.sample_scene(seed, duration_seconds=FRAMES / 16)
        frames = toybox.render(scene, num_frames=FRAMES, fps=16, height=SIZE, width=SIZE)
        pixels = from_uint8(frames)[None]
        rows.append(encode_video(tae, pixels).movedim(1, -1).flatten(0, -2))
        colours.append(torch.nn.functional.avg_pool3d(pixels, 8).movedim(1, -1).flatten(0, -2))
    latents, wanted = torch.cat(rows), torch.cat(colours)
    known = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
    solution = torch.linalg.lstsq(known, wanted).solution
    left = (known @ solution - wanted).var() / wanted.var()
    table = {
        "factors": [[round(value, 4) for value in row] for row in solution[:-1].tolist()],
        "bias": [round(value, 4) for value in solution[-1].tolist()],
    }
    with replacing(TARGET) as partial:
        partial.write_text(json.dumps(table) + "\n", encoding="utf-8")
    print(f"{TARGET}: explains {100 * (1 - left):.1f} % of the colours of {len(latents)} latents", file=sys.stderr)


if __name__ == "__main__":
    main()
