"""Endings of film, picture and sound files: which are written, which are read."""

from __future__ import annotations

MP4_ENDINGS = (".mp4", ".m4v", ".mov")  # one family of containers
TS_ENDINGS = (".ts", ".m2ts", ".mts", ".m2t")
# Ending -> container in ffmpeg's words, of films that get another sound track.
CONTAINERS = {
    **{ending: "mov" if ending == ".mov" else "mp4" for ending in MP4_ENDINGS},
    ".webm": "webm",
    ".mkv": "matroska",
    **dict.fromkeys(TS_ENDINGS, "mpegts"),
}
ENCODED_ENDINGS = (*MP4_ENDINGS, ".mkv")  # of films that are made from pixels
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
READ_ENDINGS = (*CONTAINERS, ".avi")
SOUND_ENDINGS = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus")  # of sounds that are read
PACKET_SAMPLES = {"aac": 1024, "opus": 960}  # of one channel, where a file does not say
