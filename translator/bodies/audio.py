"""Measures how long an uploaded sound is, by its container; only a few bytes of it are read.

Providers that charge for seconds do not always report them, so the result must be close to what they count. It is
exact for WAV, FLAC, Ogg (Opus and Vorbis) and MP4, and for MP3 files that have a constant bit rate or state their
number of frames. Everything else counts as speech at 32 kbit/s. A container that claims to be shorter than its
bytes allow is not believed.
"""

from __future__ import annotations

import struct

_UNKNOWN_BYTES_PER_SECOND = 4_000
#: The highest data rates: two channels of 24 bits at 192 kHz; MP3 and similar formats at 320 and 512 kbit/s.
_MAX_UNPACKED, _MOST_MP3, _MAX_OGG = 1_152_000, 40_000, 64_000
_MAX_MS = 24 * 3_600_000
#: kbit/s of MP3 (layer III) by index, MPEG-1 and MPEG-2; samples per second by index, MPEG-1.
_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_SAMPLES = (44_100, 48_000, 32_000, 0)
#: Bytes within which a container states its properties.
_HEAD = 65_536


def milliseconds(sound: bytes) -> tuple[int, bool]:
    """Returns the length in milliseconds, rounded up, and whether the container states it. If it does not, or is
    damaged, the length is guessed from the bytes.
    """
    head = sound[:_HEAD]
    try:
        found = _by_container(head, sound)
    except (struct.error, IndexError, ZeroDivisionError):
        found = 0
    if found > 0:
        return min(found, _MAX_MS), True
    return min(_rounded_up(len(sound), _UNKNOWN_BYTES_PER_SECOND), _MAX_MS), False


def _by_container(head: bytes, sound: bytes) -> int:
    size = len(sound)
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return max(_wav(head, size), _rounded_up(size, _MAX_UNPACKED))
    if head.startswith(b"fLaC"):
        packed = int.from_bytes(head[18:26], "big")  # 20 bits rate, 3 channels, 5 depth, 36 samples
        return max(_rounded_up(packed & (1 << 36) - 1, packed >> 44), _rounded_up(size, _MAX_UNPACKED))
    if head.startswith(b"OggS"):
        return max(_ogg(head, sound[-_HEAD:]), _rounded_up(size, _MAX_OGG))
    if head[4:8] == b"ftyp":  # possibly video
        return max(_mp4(head) or _mp4(sound[-_HEAD:]), _rounded_up(size, _MAX_UNPACKED))
    return max(found, _rounded_up(size, _MOST_MP3)) if (found := _mp3(head, size)) else 0


def _rounded_up(units: int, per_second: int) -> int:
    return -(-units * 1000 // per_second)


def _wav(head: bytes, size: int) -> int:
    """Returns the length by the chunk `fmt ` (bytes per second) and the size of the chunk `data`, which a stream
    omits.
    """
    at = 12
    per_second = 0
    while at + 8 <= len(head):
        name, length = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if name == b"fmt ":
            per_second = struct.unpack_from("<I", head, at + 16)[0]
        if name == b"data":
            return _rounded_up(min(length, size - at - 8), per_second)
        at += 8 + length + length % 2
    return 0


def _ogg(head: bytes, tail: bytes) -> int:
    """Returns the length by the last page, which has the number of samples so far. Opus counts 48,000 a second
    for any input.
    """
    page = tail.rfind(b"OggS")
    samples = struct.unpack_from("<q", tail, page + 6)[0]
    vorbis = head.find(b"\x01vorbis")
    rate = struct.unpack_from("<I", head, vorbis + 12)[0] if vorbis >= 0 else 48_000
    return _rounded_up(samples, rate)


def _mp4(part: bytes) -> int:
    """Returns the length by the box `mvhd`, at the beginning or the end, which has a time scale and a duration."""
    at = part.find(b"mvhd")
    if at < 0:
        return 0
    long = part[at + 4] == 1
    scale, duration = struct.unpack_from(">IQ" if long else ">II", part, at + (24 if long else 16))
    return _rounded_up(duration, scale)


def _mp3(head: bytes, size: int) -> int:
    at = 0
    if head.startswith(b"ID3"):
        at = 10 + sum((head[6 + place] & 0x7F) << 7 * (3 - place) for place in range(4))
    if head[at] != 0xFF or head[at + 1] & 0xE6 != 0xE2:
        return 0
    first = head[at + 1] & 0x08
    rate = (_RATES_1 if first else _RATES_2)[head[at + 2] >> 4]
    samples = _SAMPLES[head[at + 2] >> 2 & 3] // (1 if first else 2 if head[at + 1] & 0x10 else 4)
    counted = max(head.find(b"Xing", at, at + 200), head.find(b"Info", at, at + 200))
    if counted >= 0 and head[counted + 7] & 1:
        frames = struct.unpack_from(">I", head, counted + 8)[0]
        return _rounded_up(frames * (1152 if first else 576), samples)
    return _rounded_up(size - at, rate * 125)
