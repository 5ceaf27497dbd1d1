"""Vocabulary of the nano tokenizers: whole words of the toybox and of plain English, then pieces, then bytes.

The same kind of model as UL2's own tokenizer (a unigram model with byte fallback), with words chosen
rather than learned: every word of the captions is one token, and nothing a user types can fail.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError

SENTINELS = 32  # the last ids; they mark the removed spans of the denoising objective
_BYTES = 256
_CHARACTERS = "▁’“”" + "".join(chr(code) for code in range(33, 127) if not chr(code).isupper())
_PIECE_TEXT = """
s es ed d ing in ly er ers est y al ion tion ness ment ful less able ous ive ish 's n't th st nd re an on or ar en at
it is as le el ck ch sh ee ea oo ou ow ai ay oa ie igh ght ll ss tt pp rr mm nn ff gg dd bb ra ro ri ru la lo li lu ma
mo mi me na no ni ne ta to ti te ca co ci ce ba bo bi be pa po pi pe da do di de fa fo fi fe ga go gi ge ha ho hi he
sa so si se va vi ve wa wo wi we ▁un ▁re ▁in ▁de ▁pre ▁con ▁com ▁be ▁st ▁sp ▁tr ▁br ▁bl ▁gr ▁gl ▁fl ▁fr ▁cl ▁cr ▁pl
▁pr ▁sh ▁ch ▁th ▁wh ▁sc ▁sk ▁sn ▁sw ▁sl ▁sm
"""
_PIECES = tuple(_PIECE_TEXT.split())
_COMMON = """
the a an and or but of to in on at by for from with without into onto over under above below behind between beside
near around through across along against toward towards away off out up down left right front back top bottom side
middle center centre inside outside is are was were be being been am it its he she they them his her their this that
these those there here who which what when where while as if then than so not no yes very too more most less least
much many some any all every each both few several other another same different one two three four five six seven
eight nine ten first second last next again once twice always never often slowly quickly fast slow gently softly
smoothly suddenly quietly brightly calmly has have had do does did can could will would may might shows show showing
seen see sees look looks looking watch watches move moves moving movement motion go goes going come comes coming run
runs running walk walks walking jump jumps jumping fall falls falling fell drop drops dropping dropped bounce bounces
bouncing roll rolls rolling slide slides sliding spin spins spinning turn turns turning rotate rotates rotating swing
swings swinging hop hops hopping float floats floating fly flies flying orbit orbits orbiting circle circles circling
collide collides colliding hit hits hitting crash crashes bump bumps stop stops stopping start starts starting rise
rises rising rest rests stand stands standing sit sits sitting hang hangs hanging swim swims swimming drive drives
driving sail sails sailing drift drifts drifting glide glides gliding wave waves waving throw throws thrown push
pushes pull pulls follow follows following hold holds holding stay stays still pass passes passing cross crosses
crossing camera shot scene video clip film picture image frame view background foreground close wide zoom zooms
zooming pan pans panning tilt tilts tilting truck pedestal arc tracking tracks track static handheld steady fixed
aerial angle low high person shoulder distance closer further light dark bright shadow red orange yellow green blue
purple violet pink white black grey gray brown gold silver cyan turquoise teal colour color colored coloured colourful
colorful small little tiny big large huge giant medium tall short long round square flat soft hard heavy old young new
happy sad smiling face eyes hair hat man woman boy girl child baby people crowd friend dog cat bird fish horse cow
sheep rabbit mouse bear lion tiger elephant monkey duck chicken frog snake turtle butterfly bee insect animal pet
robot toy ball cube box block sphere cone pyramid ring star heart car bus train bike bicycle boat ship plane airplane
rocket balloon kite wheel cup bottle book chair table lamp bed door window wall floor house building tower bridge road
street path city town village park garden field grass meadow flower flowers tree trees leaf leaves forest wood hill
mountain mountains river lake sea ocean water underwater beach sand island sky cloud clouds sun moon stars planet
earth space night day morning evening sunset sunrise rain raining rainy snow snowing snowy wind windy storm fog
weather clear sunny cloudy summer winter spring autumn ice fire smoke room kitchen office school shop indoors outdoors
ground air surface edge corner sign signs letter letters word words text reads reading says say saying written writing
painted board banner open closed hello welcome exit love music playing play plays game food cake apple banana bread
eat eating drink coffee cook cooking sleep sleeping dance dances dancing sing singing talk talking laugh hand hands
head arm leg foot body tail wing wings ear nose mouth eye string rope metal wooden glass plastic paper stone rock
rocks brick shiny smooth fluffy cute funny beautiful pretty lovely cool warm hot cold wet dry clean empty full half
part end beginning whole set pair group number time seconds minute moment style cartoon realistic drawing animation
simple plain cinematic slow-motion close-up fps-16 fps-24 fps-8 fps-12 fps-30 fps made make makes making like just
only also about after before until during because how why me my you your we our us i
"""
COMMON_WORDS = tuple(_COMMON.split())
_WORD = re.compile(r"[^\s.,:;!?\"“”()/]+")


def words_of(captions: Iterable[str]) -> list[str]:
    """Lower-case words of the captions, the most frequent first."""
    counts = Counter(word for caption in captions for word in _WORD.findall(caption.lower()))
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def build_tokenizer(captions: Iterable[str], family: str, vocab_size: int) -> Any:
    """Captions -> a `tokenizers.Tokenizer` of exactly `vocab_size` tokens.

    family "t5": 0 <pad>, 1 </s>, 2 <unk>. family "clip": 0 <pad>, 1 <|startoftext|>, 2 <|endoftext|>,
    3 <unk>. The last 32 ids are sentinels <extra_id_0> (the very last) and down. ConfigError for a size without room
    for words.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    special = ["<pad>", "<|startoftext|>", "<|endoftext|>", "<unk>"] if family == "clip" else ["<pad>", "</s>", "<unk>"]
    fixed = [*special, *(f"<0x{byte:02X}>" for byte in range(_BYTES))]
    wanted = [*_CHARACTERS, *_PIECES, *(f"▁{word}" for word in (*words_of(captions), *COMMON_WORDS))]
    room = vocab_size - SENTINELS - len(fixed)
    pieces = list(dict.fromkeys(wanted))
    if room < len(_CHARACTERS) + len(set(_PIECES)):
        raise ConfigError(f"a vocabulary of {vocab_size} has no room for words; use at least 1024")
    pieces = pieces[:room]
    spare = [f"<unused_{index}>" for index in range(room - len(pieces))]
    sentinels = [f"<extra_id_{index}>" for index in reversed(range(SENTINELS))]
    # A piece costs about the same whatever its length, so the fewest pieces win; longer ones win ties.
    # What must never be found in a user's text costs more than any text.
    vocabulary = [(token, -1e6) for token in fixed]
    vocabulary += [(piece, -10.0 + 0.01 * len(piece) if len(piece) > 1 else -14.0) for piece in pieces]
    vocabulary += [(token, -1e6) for token in (*spare, *sentinels)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=special.index("<unk>"), byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer
