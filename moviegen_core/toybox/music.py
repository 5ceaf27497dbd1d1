"""Music by mood: calm, cheerful or tense, with real chords, a melody made of one motif, bass and rhythm.

A piece has a key, a tempo, a progression of four chords and a motif, all drawn from the seed; bar n is a function of
n alone, so the piece can be entered anywhere and never ends. Pitches are MIDI numbers (69 is 440 Hz).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .acoustics import RATE, cut, ring
from .actions import Grain

_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
# Progressions as scale degrees counted from 0; with the raised seventh in minor where a dominant is meant (4 there).
_PROGRESSIONS = {
    "calm": ((0, 5, 3, 4), (0, 3, 0, 3), (3, 0, 3, 4), (0, 2, 3, 0)),
    "cheerful": ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4)),
    "tense": ((0, 5, 0, 4), (0, 3, 5, 4), (0, 0, 5, 4), (0, 5, 3, 4)),
}
_TEMPO = {"calm": (66, 76), "cheerful": (116, 132), "tense": (84, 96)}  # beats a minute
_BEATS = 4  # a bar
_LEVEL = np.float32(1.0)  # beside the other sounds
# Melody rhythms: the beats of a bar at which a note begins.
_RHYTHMS = {
    "calm": ((0.0, 1.5, 2.0), (0.0, 1.0, 3.0), (0.0, 2.0, 3.0)),
    "cheerful": ((0.0, 0.5, 1.0, 2.0, 2.5, 3.5), (0.0, 1.0, 1.5, 2.0, 3.0, 3.5), (0.0, 0.75, 1.5, 2.0, 3.0)),
    "tense": ((0.0, 2.5), (0.5, 3.0), (0.0, 1.5, 3.5)),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One endless piece of music."""

    mood: str
    key: int  # MIDI number of the tonic between 48 and 59
    beat_seconds: float
    progression: tuple[int, ...]
    rhythm: tuple[float, ...]
    motif: tuple[int, ...]  # steps in the scale above the chord's root, one a note
    seed: tuple[int, ...]

    @property
    def bar_seconds(self) -> float:
        """Duration of a bar."""
        return _BEATS * self.beat_seconds

    def pitch(self, degree: int) -> int:
        """MIDI number of a scale degree (0 the tonic, 7 the tonic an octave above)."""
        scale = _MINOR if self.mood == "tense" else _MAJOR
        octave, step = divmod(degree, 7)
        return self.key + 12 * octave + scale[step]

    def chord(self, bar: int) -> tuple[int, ...]:
        """MIDI numbers of the bar's chord in close position, from the root upwards."""
        root = self.progression[bar % len(self.progression)]
        steps = (0, 2, 4, 6) if self.mood == "calm" else (0, 2, 4)
        notes = [self.pitch(root + step) for step in steps]
        if self.mood == "tense" and root == 4:
            notes[1] += 1  # the leading note: a minor key's dominant is a major chord
        return tuple(note - 12 if note > self.key + 15 else note for note in notes)


def piece(mood: str, seed: tuple[int, ...]) -> Piece:
    """The piece of `seed` in `mood` ("calm", "cheerful" or "tense")."""
    rng = np.random.default_rng((*seed, 404, len(mood)))
    tempo = rng.uniform(*_TEMPO[mood])
    rhythm = _RHYTHMS[mood][int(rng.integers(3))]
    chord_steps = (0, 2, 4)
    motif, here = [], int(rng.integers(3))
    for _ in rhythm:
        motif.append(chord_steps[here % 3] + 7 * (here // 3))
        here = int(np.clip(here + rng.choice((-1, 1, 1, 2) if here < 2 else (-2, -1, -1, 1)), 0, 4))
    return Piece(
        mood=mood,
        key=int(rng.integers(48, 57)),
        # A whole number of samples a beat keeps every bar alike.
        beat_seconds=round(60 / tempo * RATE) / RATE,
        progression=_PROGRESSIONS[mood][int(rng.integers(4))],
        rhythm=rhythm,
        motif=tuple(motif),
        seed=seed,
    )


def grains(music: Piece, block: int) -> list[Grain]:
    """Notes that begin within second `block`."""
    first, last = math.floor(block / music.bar_seconds), math.floor((block + 1) / music.bar_seconds)
    found = []
    for bar in range(first, last + 1):
        for beat, grain in _bar(music, bar):
            start = round((bar * music.bar_seconds + beat * music.beat_seconds) * RATE) + grain.start
            if block * RATE <= start < (block + 1) * RATE:
                found.append(Grain(start, grain.wave, grain.pan, grain.echo))
    return found


@lru_cache(maxsize=16)
def _bar(music: Piece, bar: int) -> tuple[tuple[float, Grain], ...]:
    """(beat, grain) of one bar; the grain's start is an offset in samples."""
    notes = {"calm": _calm, "cheerful": _cheerful, "tense": _tense}[music.mood](music, bar)
    return tuple((beat, Grain(0, _LEVEL * level * wave, pan, echo)) for beat, wave, level, pan, echo in notes)


_Note = tuple[float, np.ndarray, float, float, float]  # beat, wave, level, pan, echo


def _melody(music: Piece, bar: int, octave: int) -> list[tuple[float, int]]:
    """(beat, pitch): the motif on the bar's chord; every fourth bar answers with its own ending."""
    root = music.progression[bar % len(music.progression)]
    steps = list(music.motif)
    if bar % 4 == 3:
        steps = steps[: max(len(steps) - 2, 1)] + [0]
    elif bar % 2 == 1:
        steps[-1] = music.motif[0]
    found = []
    for beat, step in zip(music.rhythm, steps, strict=False):
        note = music.pitch(root + step)
        if music.mood == "tense" and (root + step) % 7 == 6 and root == 4:
            note += 1
        while note > music.key + 19:
            note -= 12
        found.append((beat, note + 12 * octave))
    return found


def _calm(music: Piece, bar: int) -> list[_Note]:
    notes: list[_Note] = []
    chord = music.chord(bar)
    length = music.bar_seconds + 0.5
    for number, note in enumerate(chord):
        notes.append((0.0, pad(note, length), 0.05, 0.3 * (-1) ** number, 1.0))
    notes.append((0.0, pluck(chord[0] - 12, 1.9), 0.13, 0.0, 0.4))
    for beat, note in _melody(music, bar, 1):
        notes.append((beat, bell(note), 0.11, 0.15, 1.2))
    return notes


def _cheerful(music: Piece, bar: int) -> list[_Note]:
    notes: list[_Note] = []
    chord = music.chord(bar)
    for beat, note in ((0.0, chord[0]), (1.0, chord[2] - 12), (2.0, chord[0]), (3.0, chord[2] - 12)):
        notes.append((beat, pluck(note - 12, 0.5), 0.17, 0.0, 0.2))
        notes.append((beat + 0.5, marimba(chord[1]), 0.07, -0.35, 0.6))
        notes.append((beat + 0.5, marimba(chord[2]), 0.07, -0.35, 0.6))
        notes.append((beat + 0.5, shaker(bar * 4 + int(beat)), 0.03, 0.4, 0.3))
    notes += [(beat, drum(62.0, 0.09), 0.2, 0.0, 0.1) for beat in (0.0, 2.0)]
    notes += [(beat, drum(175.0, 0.05), 0.09, 0.1, 0.5) for beat in (1.0, 3.0)]
    for beat, note in _melody(music, bar, 1):
        notes.append((beat, marimba(note), 0.16, 0.2, 0.9))
    return notes


def _tense(music: Piece, bar: int) -> list[_Note]:
    notes: list[_Note] = []
    chord = music.chord(bar)
    for half in range(8):  # a low pulse of eighths, stressed on the beat
        low = chord[0] - 12 + (1 if half == 7 else 0)
        notes.append((half / 2, pluck(low, 0.22), 0.15 if half % 2 == 0 else 0.09, 0.0, 0.3))
    for number, note in enumerate(chord):
        notes.append((0.0, tremolo(note, music.bar_seconds + 0.2), 0.055, 0.4 * (-1) ** number, 0.9))
    # A heart: two soft beats.
    notes += [(0.0, drum(52.0, 0.12), 0.22, 0.0, 0.2), (0.35, drum(48.0, 0.1), 0.14, 0.0, 0.2)]
    for beat, note in _melody(music, bar, 1):
        notes.append((beat, bell(note, 0.5), 0.09, -0.2, 1.4))
    return notes


def hertz(note: float) -> float:
    """Frequency of a MIDI number in equal temperament, 440 Hz at 69."""
    return 440.0 * 2 ** ((note - 69) / 12)


def _faded(sound: np.ndarray, attack: float, release: float) -> np.ndarray:
    size, tail = int(attack * RATE), int(release * RATE)
    sound[:size] *= np.sin(0.5 * math.pi * np.linspace(0, 1, size, dtype=np.float32)) ** 2
    sound[-tail:] *= np.cos(0.5 * math.pi * np.linspace(0, 1, tail, dtype=np.float32)) ** 2
    return sound.astype(np.float32)


@lru_cache(maxsize=64)
def pad(note: int, seconds: float) -> np.ndarray:
    """[S]: two soft, slightly detuned tones that swell and fade: the calm chords."""
    samples, tone = int(seconds * RATE), hertz(note)
    sound = ring(tone * 1.0015, 60.0, samples) + ring(tone * 0.9985, 60.0, samples)
    return _faded(sound + 0.15 * ring(2 * tone, 60.0, samples), 0.45, 0.7)


@lru_cache(maxsize=64)
def tremolo(note: int, seconds: float) -> np.ndarray:
    """[S]: a low, nervous string tone whose loudness trembles seven times a second."""
    samples, tone = int(seconds * RATE), hertz(note)
    sound = sum(ring(tone * n, 60.0, samples) / n**1.3 for n in (1, 2, 3, 4))
    shake = 0.65 + 0.35 * ring(7.0, 60.0, samples)
    return _faded(np.asarray(sound) * shake * np.linspace(0.5, 1.0, samples, dtype=np.float32), 0.15, 0.15)


@lru_cache(maxsize=64)
def pluck(note: int, seconds: float) -> np.ndarray:
    """[S]: a plucked low string: harmonics that die away the faster the higher they are."""
    samples, tone = int(seconds * RATE), hertz(note)
    sound = sum(ring(tone * n, seconds * 0.35 / n**0.6, samples) / n**1.2 for n in (1, 2, 3, 4, 5))
    return _faded(np.asarray(sound), 0.004, 0.05)


@lru_cache(maxsize=64)
def marimba(note: int) -> np.ndarray:
    """[S]: a tuned wooden bar; its second mode is two octaves up, as makers tune it."""
    samples, tone = int(0.75 * RATE), hertz(note)
    sound = ring(tone, 0.16, samples) + 0.16 * ring(4 * tone, 0.03, samples)
    return _faded(sound, 0.002, 0.1)


@lru_cache(maxsize=64)
def bell(note: int, seconds: float = 0.6) -> np.ndarray:
    """[S]: a soft music box: a tone, its octave and a faint twelfth."""
    samples, tone = int(3 * seconds * RATE), hertz(note)
    sound = ring(tone, seconds, samples) + 0.3 * ring(2.003 * tone, seconds / 2, samples)
    return _faded(sound + 0.06 * ring(3.01 * tone, seconds / 4, samples), 0.006, 0.2)


@lru_cache(maxsize=8)
def drum(tone: float, seconds: float) -> np.ndarray:
    """[S]: a soft drum whose pitch drops by half an octave as it is struck."""
    samples = int(6 * seconds * RATE)
    time = np.arange(samples) / RATE
    turn = tone * (time + 0.012 * (1 - np.exp(-time / 0.025)))
    return _faded((np.sin(math.tau * turn) * np.exp(-time / seconds)).astype(np.float32), 0.003, 0.02)


def shaker(number: int) -> np.ndarray:
    """[S]: a short, soft rustle."""
    samples = int(0.07 * RATE)
    return cut(1000.0, 0.6, (number % 16, 6), samples) * np.hanning(samples).astype(np.float32)
