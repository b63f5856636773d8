"""A file's content as UTF-8: decompressed, decoded, cut into blocks of whole lines, in bounded memory.

What the lines mean is the readers' business (the modules beside this one).
"""

from __future__ import annotations

import codecs
import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_GZIP_MAGIC = b"\x1f\x8b"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_INPUT_BYTES = 1 << 18
_SURE_OF_LINE_ENDS_BYTES = 1 << 16


def _c1_control(error: UnicodeError) -> tuple[str, int]:
    """The five bytes that Windows-1252 leaves undefined become C1 controls, as in browsers: none is lost."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("shopsphere_c1_control", _c1_control)


@dataclass(frozen=True)
class Lines:
    """Some whole lines: UTF-8 bytes (possibly damaged), each line ended by a newline.

    ``first_line``: physical number of the first one, counted from 1. ``is_last``: nothing follows.
    ``is_cut``: the last line of a file had no line end of its own (one was added here).
    """

    data: bytes
    first_line: int
    is_last: bool = False
    is_cut: bool = False


class Content:
    """The first ``size_bytes`` bytes of a file (what was listed; a log may have grown since).

    After the iteration ``damage`` says in which way the compressed data is broken, if it is, and
    ``severed`` is the piece of a line before the break.
    """

    def __init__(self, path: Path, size_bytes: int, *, encoding: str = "auto", block_bytes: int = 1 << 24) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.encoding = encoding
        self.block_bytes = block_bytes
        self.damage: str | None = None
        self.severed = b""
        self.bytes_read = 0
        self._bytes_taken = 0

    def take_bytes_read(self) -> int:
        """Bytes of the file consumed since the last call: what the next chunk reports."""
        taken = self.bytes_read - self._bytes_taken
        self._bytes_taken = self.bytes_read
        return taken

    # Bytes ----------------------------------------------------------------------------------------------

    def raw(self) -> Iterator[bytes]:
        """Decompressed bytes as they stand, in pieces of any size."""
        self.bytes_read = self._bytes_taken = 0
        self.damage = None
        with self.path.open("rb") as file:
            pieces = self._pieces(file)
            first = next(pieces, b"")
            if first.startswith(_GZIP_MAGIC):
                yield from self._gunzip(first, pieces)
            elif first:
                yield first
                yield from pieces

    def _pieces(self, file: BinaryIO) -> Iterator[bytes]:
        # Compressed input is taken in small pieces: it grows a hundredfold and more.
        is_compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        step = _INPUT_BYTES if is_compressed else self.block_bytes
        while self.bytes_read < self.size_bytes:
            piece = file.read(min(step, self.size_bytes - self.bytes_read))
            if not piece:
                return
            self.bytes_read += len(piece)
            yield piece

    def _gunzip(self, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        inflate = zlib.decompressobj(wbits=31)
        piece: bytes | None = first
        while piece is not None:
            while piece:
                if inflate.eof:
                    piece = piece.lstrip(b"\0")  # tapes and some tools pad with zeros
                    if not piece:
                        break
                    inflate = zlib.decompressobj(wbits=31)
                before = inflate.copy()
                try:
                    out = inflate.decompress(piece, self.block_bytes)
                except zlib.error as error:
                    # What the piece still gives before the break, byte by byte.
                    yield self._until_broken(before, piece)
                    self.damage = f"the gzip data is corrupt ({error})"
                    return
                if out:
                    yield out
                piece = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            piece = next(rest, None)
        if not inflate.eof:
            self.damage = "the gzip data ends before its end marker"

    @staticmethod
    def _until_broken(inflate: zlib._Decompress, piece: bytes) -> bytes:
        out = bytearray()
        for index in range(len(piece)):
            try:
                out += inflate.decompress(piece[index : index + 1])
            except zlib.error:
                break
        return bytes(out)

    # Text -----------------------------------------------------------------------------------------------

    def utf8(self) -> Iterator[bytes]:
        """The content as UTF-8 without byte order mark, in pieces that may cut a line or a character.

        Of a file that is mostly UTF-8 but damaged in places, the damaged bytes stay as they are; the readers
        reject the lines that hold them.
        """
        pieces = self.raw()
        first = next(pieces, b"")
        while 0 < len(first) < 4 and (more := next(pieces, b"")):
            first += more
        transcode = self._transcoder(first)
        if transcode is None:
            yield from self._utf8_or_windows(first.removeprefix(codecs.BOM_UTF8), pieces)
            return
        yield transcode(first, False)
        for piece in pieces:
            yield transcode(piece, False)
        yield transcode(b"", True)

    def _transcoder(self, first: bytes) -> Callable[[bytes, bool], bytes] | None:
        """The way into UTF-8, ``None`` where the content may be UTF-8 already."""
        mark = first[:2]
        if mark in _UTF16:
            self.encoding = _UTF16[mark]
            decode = codecs.getincrementaldecoder(_UTF16[mark])(errors="surrogatepass").decode
            skipped = [2]

            def from_utf16(piece: bytes, final: bool) -> bytes:
                piece, skipped[0] = piece[skipped[0] :], 0
                try:
                    return decode(piece, final).encode("utf-8", "surrogatepass")
                except UnicodeDecodeError:  # an odd byte at the end
                    return b"\xff"

            return from_utf16
        if self.encoding == "auto" or codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig"):
            return None
        return _decoding_of(self.encoding)

    def _utf8_or_windows(self, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        """Pass ASCII through; at the first other character decide for the whole file."""
        piece = first
        while piece.isascii():
            yield piece
            if not (piece := next(rest, b"")):
                return
        if self.encoding == "auto":
            self.encoding = "windows-1252" if self._is_windows_1252() else "utf-8"
        if self.encoding != "windows-1252":
            yield piece
            yield from rest
            return
        transcode = _decoding_of("windows-1252")
        yield transcode(piece, False)
        for piece in rest:
            yield transcode(piece, False)

    def _is_windows_1252(self) -> bool:
        """Whether the file is no UTF-8, and fewer of its characters are true UTF-8 sequences than stray bytes.

        Text in Windows-1252 hardly ever forms a valid sequence (``Ã`` before ``©``); a damaged UTF-8 file has
        many valid ones beside the damage.
        """
        probe = Content(self.path, self.size_bytes, block_bytes=self.block_bytes)
        strict = codecs.getincrementaldecoder("utf-8")()
        try:
            for piece in probe.raw():
                strict.decode(piece)
            strict.decode(b"", final=probe.damage is None)
        except UnicodeDecodeError:
            pass
        else:
            return False
        lenient = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        valid = stray = 0
        for piece in probe.raw():
            text = lenient.decode(piece)
            stray += len(piece) - len(text.encode())
            valid += len(text) - len(text.encode("ascii", "ignore"))
        return valid <= stray

    # Lines ----------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[Lines]:
        """Blocks of whole lines. A file with carriage returns and no newline has its lines ended by those."""
        self.severed = b""
        waiting: list[bytes] = []
        waiting_bytes = 0
        number = 1
        for piece in _ended_by_newlines(self.utf8()):
            waiting.append(piece)
            waiting_bytes += len(piece)
            if waiting_bytes < self.block_bytes:
                continue
            end = piece.rfind(b"\n") + 1
            if not end:
                continue
            data = b"".join([*waiting[:-1], piece[:end]])
            waiting, waiting_bytes = [piece[end:]], len(piece) - end
            yield Lines(data, number)
            number += data.count(b"\n")
        data = b"".join(waiting)
        if self.damage is not None:
            end = data.rfind(b"\n") + 1
            data, self.severed = data[:end], data[end:]
        is_cut = bool(data) and not data.endswith(b"\n")
        yield Lines(data + b"\n" if is_cut else data, number, is_last=True, is_cut=is_cut)


def _ended_by_newlines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Text whose lines end in newlines, as most do, as it is; with carriage returns alone, these as newlines."""
    head = b""
    for piece in pieces:
        head += piece
        if b"\n" in head or len(head) >= _SURE_OF_LINE_ENDS_BYTES:
            break
    is_ended_by_returns = b"\n" not in head and b"\r" in head
    for piece in itertools.chain((head,), pieces):
        yield piece.replace(b"\r", b"\n") if is_ended_by_returns else piece


def _decoding_of(encoding: str) -> Callable[[bytes, bool], bytes]:
    is_windows = codecs.lookup(encoding).name == "cp1252"
    decoder = codecs.getincrementaldecoder(encoding)("shopsphere_c1_control" if is_windows else "strict")
    return lambda piece, final: decoder.decode(piece, final).encode()
