"""Reads back what our PDFs say, as far as the fonts of every reader go."""

import re
import zlib

_STREAM = re.compile(rb"stream\n(.*?)\nendstream", re.DOTALL)
_SHOWN = re.compile(rb"\(((?:[^()\\]|\\.)*)\) ?Tj", re.DOTALL)


def text_of(pdf: bytes) -> str:
    """The texts of all pages, one a line."""
    assert pdf.startswith(b"%PDF-")
    shown = []
    for stream in _STREAM.findall(pdf):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue  # not one of the compressed pages
        shown += [re.sub(rb"\\(.)", rb"\1", text) for text in _SHOWN.findall(content)]
    return b"\n".join(shown).decode("latin-1")
