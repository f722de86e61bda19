"""The page's own files, from memory: packed once, and sent only to a browser that does not have them yet."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

PAGE = Path(__file__).with_name("web_page")


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes
    kind: str
    tag: str


class PageFiles:
    """What lay in the folder at the start: no path is made from a stranger's text. Blocking to make."""

    def __init__(self, folder: Path = PAGE) -> None:
        self._files = {path.name: _read(path) for path in folder.iterdir() if path.is_file()}

    def answer(self, request: web.Request, name: str) -> web.StreamResponse:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {"Content-Type": file.kind, "Cache-Control": "no-cache", "ETag": f'"{file.tag}"', "Vary": "Accept-Encoding"}
        if file.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.content, headers=headers)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(content, gzip.compress(content, mtime=0), f"{kind}; charset=utf-8", hashlib.sha256(content).hexdigest()[:16])
