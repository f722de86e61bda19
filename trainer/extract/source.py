"""A text file read bit by bit: however long it is, a block and a line of it are in memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import SourceRefused

BLOCK_BYTES = 1 << 16
LINE_CHARACTERS = 1 << 20  # a longer line is no line of a dialogue, and would have to be held whole
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read from. ``encoding`` is how it is written unless its first bytes say otherwise."""

    path: Path
    encoding: str = "utf-8"

    def blocks(self) -> Iterator[str]:
        """The text in blocks of no meaning.

        Raises:
            SourceRefused: it cannot be read, or is written in another encoding; names the byte.
        """
        try:
            with self.path.open("rb") as file:
                block = file.read(BLOCK_BYTES)
                mark, encoding = next(((m, e) for m, e in _MARKS if block.startswith(m)), (b"", self.encoding))
                decoder = codecs.getincrementaldecoder(encoding)()
                block, at = block[len(mark) :], len(mark)
                while block:
                    pending = len(decoder.getstate()[0])
                    try:
                        text = decoder.decode(block)
                    except UnicodeDecodeError as error:
                        raise self._wrong_encoding(encoding, at - pending + error.start) from error
                    if "\0" in text:
                        raise SourceRefused(f"{self.path}: holds zero bytes, so it is no text in {encoding}; say its --encoding")
                    yield text
                    at += len(block)
                    block = file.read(BLOCK_BYTES)
                try:
                    yield decoder.decode(b"", final=True)
                except UnicodeDecodeError as error:
                    raise self._wrong_encoding(encoding, at) from error
        except LookupError as error:
            raise SourceRefused(f"{self.encoding!r:.40} is no encoding that Python knows; try utf-8, cp1252, gb18030 or utf-16") from error
        except OSError as error:
            raise SourceRefused(f"{self.path}: cannot be read ({error.strerror}); check the path") from error

    def lines(self) -> Iterator[str]:
        """The lines without their ends.

        Raises:
            SourceRefused: as :meth:`blocks`, or one line is longer than a million characters.
        """
        rest = ""
        for block in self.blocks():
            rest += block
            *whole, rest = rest.replace("\r\n", "\n").split("\n")
            yield from whole
            if len(rest) > LINE_CHARACTERS:
                raise SourceRefused(f"{self.path}: has a line of more than {LINE_CHARACTERS:,} characters, so it is no text of this format")
        if rest:
            yield rest

    def _wrong_encoding(self, encoding: str, at: int) -> SourceRefused:
        return SourceRefused(f"{self.path}: is not {encoding} at byte {at}; say how it is written, like --encoding cp1252 or gb18030")
