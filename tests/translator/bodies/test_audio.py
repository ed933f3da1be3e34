from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import example, given, strategies as st

from translator.bodies.audio import milliseconds

DAY_MS = 24 * 3_600_000


def wav(seconds: float, rate: int = 16_000, *, streamed: bool = False) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * int(seconds * rate)))
    sound = written.getvalue()
    return sound[:40] + b"\xff\xff\xff\xff" + sound[44:] if streamed else sound


def flac(samples: int, rate: int, size: int) -> bytes:
    info = bytes(10) + (rate << 44 | 15 << 36 | samples).to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\x00\x00\x22" + info + bytes(size)


def ogg(samples: int, size: int, codec: bytes = b"OpusHead\x01\x01") -> bytes:
    def page(granule: int, content: bytes) -> bytes:
        return b"OggS\x00\x00" + struct.pack("<qIIIB", granule, 1, 0, 0, 1) + content

    return page(0, codec) + page(samples // 2, bytes(size)) + page(samples, bytes(100))


def mp4(duration: int, scale: int, size: int, *, at_end: bool = False, long: bool = False) -> bytes:
    times = struct.pack(">QQIQ" if long else ">IIII", 0, 0, scale, duration)
    moov = b"\x00\x00\x00\x6cmvhd" + bytes([long, 0, 0, 0]) + times
    start = b"\x00\x00\x00\x18ftypM4A " + bytes(12)
    return start + bytes(size) + moov if at_end else start + moov + bytes(size)


def mp3(frames: int, *, tagged: bool = False, counted: int = 0) -> bytes:
    """Returns a sound of 128 kbit/s at 44.1 kHz."""
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    first = b"\xff\xfb\x90\x00" + bytes(32) + b"Xing\x00\x00\x00\x01" + struct.pack(">I", counted) + bytes(369)
    head = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256) if tagged else b""
    return head + (first if counted else b"") + frame * frames


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        (wav(3.5), 3_500),
        (wav(2, 44_100), 2_000),
        (wav(1.25, streamed=True), 1_250),
        (flac(44_100 * 7, 44_100, 100_000), 7_000),
        (ogg(48_000 * 12, 30_000), 12_000),
        (ogg(44_100 * 12, 30_000, b"\x01vorbis" + struct.pack("<IBI", 0, 2, 44_100)), 12_000),
        (mp4(90_500, 1_000, 400_000), 90_500),
        (mp4(90_500, 1_000, 400_000, at_end=True), 90_500),
        (mp4(44_100 * 5, 44_100, 40_000, long=True), 5_000),
        (mp3(100, counted=1_000), 26_123),
    ],
)
def test_a_container_says_how_long_its_sound_is(sound: bytes, expected: int) -> None:
    assert milliseconds(sound) == (expected, True)


@pytest.mark.parametrize("tagged", [False, True])
def test_an_mp3_of_one_bit_rate(tagged: bool) -> None:
    length, known = milliseconds(mp3(1_000, tagged=tagged))
    assert known
    assert length == pytest.approx(1000 * 1152 / 44.1, rel=0.01)


def test_what_is_not_known_counts_by_its_bytes() -> None:
    assert milliseconds(b"\x1aE\xdf\xa3" + bytes(39_996)) == (10_000, False)
    assert milliseconds(b"") == (0, False)


@pytest.mark.parametrize(
    "sound",
    [
        flac(1, 44_100, 11_520_000),
        ogg(1, 640_000),
        mp4(1, 1_000, 11_520_000),
        mp3(1_000, counted=1),
        wav(400)[:28] + struct.pack("<I", 1 << 31) + wav(400)[32:],
    ],
)
def test_a_sound_is_not_shorter_than_its_bytes_allow(sound: bytes) -> None:
    assert milliseconds(sound)[0] >= 10_000


@given(
    st.sampled_from([b"", b"RIFF0000WAVE", b"fLaC", b"OggS", b"0000ftyp", b"ID3", b"\xff\xfb\x90", b"\xff\xf3"]),
    st.binary(max_size=300) | st.sampled_from([b"mvhd", b"fmt \xff\xff\xff\xff", b"Xing\x00\x00\x00\x01"]),
)
@example(b"RIFF0000WAVE", b"fmt \x00\x00\x00\x00data\x00\x00\x00\x00")
@example(b"\xff\xfb", b"\xf0\xff")
def test_a_damaged_container_has_some_length(head: bytes, rest: bytes) -> None:
    assert 0 <= milliseconds(head + rest)[0] <= DAY_MS
