"""The page's own files, from memory: packed once, and sent only to a browser that does not have them yet.

A page says with its first byte which modules it is going to need: otherwise a browser finds them one import after another.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web

PAGE = Path(__file__).with_name("web_page")

_SCRIPT = re.compile(rb'<script type="module" src="/page/([\w-]+\.js)">')
_IMPORT = re.compile(rb'^(?:import|export) [^;]*?"\./([\w-]+\.js)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes
    kind: str
    tag: str
    modules: str = ""  # of a page: the header that names them


class PageFiles:
    """What lay in the folder at the start: no path is made from a stranger's text. Blocking to make."""

    def __init__(self, folder: Path = PAGE) -> None:
        files = {path.name: _read(path) for path in folder.iterdir() if path.is_file()}
        self._files = {name: replace(file, modules=_modules(file, files)) for name, file in files.items()}

    def answer(self, request: web.Request, name: str) -> web.StreamResponse:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {"Content-Type": file.kind, "Cache-Control": "no-cache", "ETag": f'"{file.tag}"', "Vary": "Accept-Encoding"}
        if file.modules:
            headers["Link"] = file.modules
        if file.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.content, headers=headers)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(content, gzip.compress(content, mtime=0), f"{kind}; charset=utf-8", hashlib.sha256(content).hexdigest()[:16])


def _modules(page: _File, files: dict[str, _File]) -> str:
    """The scripts of a page and everything that they import; "" for what is no page."""
    found: dict[str, None] = {}
    new = [name.decode() for name in _SCRIPT.findall(page.content)]
    while new:
        name = new.pop(0)
        if name not in found:
            found[name] = None
            new += [imported.decode() for imported in _IMPORT.findall(files[name].content)]
    return ", ".join(f"</page/{name}>; rel=modulepreload" for name in found)
