"""Bodies that are made to take long: every form that is known to cost more than its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_BEGIN, _END = b'{"model":"m","x":[', b"0]}"


def _filled(unit: bytes, begin: bytes = _BEGIN, end: bytes = _END) -> Callable[[int], bytes]:
    return lambda size: begin + unit * max(1, (size - len(begin) - len(end)) // len(unit)) + end


def _keys(size: int, begin: bytes, end: bytes) -> bytes:
    return begin + b",".join(b'"%x":0' % number for number in range(size // 10)) + end


_TEXT, _TEXT_END = b'{"model":"m","messages":[{"role":"user","content":"', b'"}]}'
_PART = b'{"type":"image_url","image_url":{"url":""}},'
#: Functions that make a body of about this many bytes, by name.
JSON: dict[str, Callable[[int], bytes]] = {
    "lists": _filled(b"[],"),
    "objects": _filled(b'{"a":0},'),
    "keys": lambda size: _keys(size, b'{"model":"m","x":{', b"}}"),
    "keys on top": lambda size: _keys(size, b'{"model":"m",', b"}"),
    "deep": lambda size: b'{"model":"m","x":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}",
    "nested": _filled(b"[" * 50 + b"]" * 50 + b","),
    "integers": _filled(b"1,"),
    "long numbers": _filled(b"1." + b"7" * 300 + b"e-300,"),
    "strings": _filled(b'"",'),
    "escapes": _filled(b"\\u0061", _TEXT, _TEXT_END),
    "escaped control characters": _filled(b"\\u0000", _TEXT, _TEXT_END),
    "quotes": _filled(b'\\"', _TEXT, _TEXT_END),
    "a long model": _filled(b'\\"', b'{"model":"', b'"}'),
    "a long user": _filled("é".encode(), b'{"model":"m","user":"', b'"}'),
    "names": _filled(b'{"n":0},'),
    "escaped names": _filled(b'{"\\u006e":0},'),
    "repeated names": _filled(b'{"n":0},', b'{"model":"m","n":1,"x":['),
    "escaped repeated names": _filled(b'{"mod\\u0065l":0},', b'{"mode\\u006c":"m","x":['),
    "values that are names": _filled(b'"model",'),
    "invalid at the end": _filled(b"[],", _BEGIN, b"0]"),
    "invalid UTF-8 at the end": _filled("é".encode(), _TEXT, b'\xff"}]}'),
    "parts": _filled(_PART, b'{"model":"m","messages":[{"role":"user","content":[', b"{}]}]}"),
    "messages": _filled(b'{"content":[' + _PART + b"{}]},", b'{"model":"m","messages":[', b"{}]}"),
    "numbers of tokens": _filled(b"1,", b'{"model":"m","prompt":[', b"1]}"),
    "lists of tokens": _filled(b"[1],", b'{"model":"m","prompt":[', b"[1]]}"),
    "base64": _filled(b"QUFB", _TEXT[:-1] + b'[{"type":"file","file":{"file_data":"', b'"}}]}]}'),
    "text": _filled(b"All work and no play. ", _TEXT, _TEXT_END),
}
FORM_TYPE = "multipart/form-data; boundary=b"
_FORM, _FORM_END = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n', b"--b--\r\n"
_FIELD = b"--b\r\nContent-Disposition:form-data;name=%b\r\n%b\r\n\r\n"
FORMS: dict[str, Callable[[int], bytes]] = {
    "parts of a form": _filled(_FIELD % (b"\xff", b""), _FORM, _FORM_END),
    "escapes in a form": _filled(_FIELD % (b"%65%65%65", b""), _FORM, _FORM_END),
    "headers in a form": _filled(_FIELD % (b"a", b"a:\r\n" * 2_000), _FORM, _FORM_END),
    "parameters in a form": _filled(
        _FIELD % (b"a" + b"".join(b";a%d=1" % number for number in range(700)), b""), _FORM, _FORM_END
    ),
    "half boundaries": _filled(
        b"\r\n--", _FORM + b"--b\r\nContent-Disposition: form-data; name=f\r\n\r\n", b"\r\n" + _FORM_END
    ),
}


def shapes(size: int) -> Iterator[tuple[str, str, str, bytes]]:
    """Yields name, endpoint, content-type and body of every attack, of about `size` bytes each."""
    for name, made in JSON.items():
        yield (
            name,
            "/v1/completions" if "tokens" in name else "/v1/chat/completions",
            "application/json",
            made(size),
        )
    for name, made in FORMS.items():
        yield name, "/v1/audio/transcriptions", FORM_TYPE, made(size)
