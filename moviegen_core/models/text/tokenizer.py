"""Tokenizers behind one small interface: text -> ids with their start and end tokens.

UL2 reads a Hugging Face `tokenizer.json` or a SentencePiece `spiece.model`, CLIP a `tokenizer.json` or
`vocab.json` with `merges.txt`; ByT5 needs no file.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from ...errors import CheckpointError

_NAMES = {
    "t5": "tokenizer.json or spiece.model",
    "clip": "tokenizer.json, or vocab.json with merges.txt",
}


class TextTokenizer(Protocol):
    """Text -> ids, the last of which is the end token."""

    pad_id: int

    def encode(self, text: str) -> list[int]: ...


class ByteTokenizer:
    """ByT5: UTF-8 bytes + 3; 0 pads, 1 ends, 2 is unused."""

    pad_id = 0

    def encode(self, text: str) -> list[int]:
        """Text -> byte values + 3 and the end token; a lone surrogate reads as "?"."""
        return [byte + 3 for byte in text.encode("utf-8", "replace")] + [1]


class LibraryTokenizer:
    """A tokenizer of the `tokenizers` library, with the start and end tokens of its family."""

    def __init__(self, tokenizer: Any, family: str) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        start, end = ("<|startoftext|>", "<|endoftext|>") if family == "clip" else (None, "</s>")
        self.start = [] if start is None else [self._id(start)]
        self.end = [self._id(end)]
        self.pad_id = 0

    @classmethod
    def from_json(cls, text: str, family: str) -> LibraryTokenizer:
        """Read the text of a tokenizer.json; CheckpointError when it is none."""
        from tokenizers import Tokenizer

        try:
            return cls(Tokenizer.from_str(text), family)
        except CheckpointError:
            raise
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"the tokenizer cannot be read: {error}; use an undamaged tokenizer.json") from error

    def _id(self, token: str) -> int:
        index = self.tokenizer.token_to_id(token)
        if index is None:
            raise CheckpointError(f"the tokenizer has no token {token}; use the tokenizer that belongs to the encoder")
        return index

    def encode(self, text: str) -> list[int]:
        """Text -> ids with start (CLIP) and end tokens."""
        clean = text.encode("utf-8", "replace").decode()
        return [*self.start, *self.tokenizer.encode(clean, add_special_tokens=False).ids, *self.end]


class SentencePieceTokenizer:
    """T5's `spiece.model`, read by the sentencepiece library."""

    def __init__(self, path: Path) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise CheckpointError(
                f"{path} needs the sentencepiece package; install it or put the model's tokenizer.json beside it"
            ) from error
        try:
            self.processor = SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            raise CheckpointError(f"{path} is no SentencePiece model: {error}; use the model's own file") from error
        self.pad_id = 0

    def encode(self, text: str) -> list[int]:
        """Text -> ids and the end token."""
        return [*self.processor.encode(text.encode("utf-8", "replace").decode()), self.processor.eos_id()]


def find_tokenizer(folder: Path, role: str, family: str) -> TextTokenizer:
    """The tokenizer in a model's folder (or its `tokenizer` subfolder); CheckpointError names what is needed."""
    if role == "byt5":
        return ByteTokenizer()
    for place in (folder, folder / "tokenizer"):
        if (place / "tokenizer.json").is_file():
            return LibraryTokenizer.from_json((place / "tokenizer.json").read_text("utf-8"), family)
        if family == "t5" and (place / "spiece.model").is_file():
            return SentencePieceTokenizer(place / "spiece.model")
        if family == "clip" and (place / "vocab.json").is_file() and (place / "merges.txt").is_file():
            clip = importlib.import_module("transformers").CLIPTokenizerFast
            tokenizer = clip.from_pretrained(str(place), local_files_only=True)
            return LibraryTokenizer(tokenizer.backend_tokenizer, family)
    raise CheckpointError(f"{folder} holds no tokenizer for {role}; put {_NAMES[family]} beside the weights")
