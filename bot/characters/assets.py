"""What a card's ``assets`` may still name once the file it came in is gone. Source: Character Card V3, "assets"."""

from __future__ import annotations

from typing import Any

EMBEDDED = ("embeded://", "embedded://")  # in a CHARX; the specification spells it the first way
IN_CHUNKS = ("__asset:",)  # in a PNG's own text chunks


def without_files(document: dict[str, Any], schemes: tuple[str, ...], portrait: str | None = None) -> tuple[dict[str, Any], int]:
    """The document without the assets that lie in the file it came in, and how many went.

    The icon whose address is ``portrait`` stays, as the card's own picture: that one is kept, as a PNG of our own.
    """
    data = document.get("data")
    assets = data.get("assets") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(assets, list):
        return document, 0
    kept: list[Any] = []
    for asset in assets:
        uri = asset.get("uri") if isinstance(asset, dict) else None
        if portrait is not None and uri == portrait and asset.get("type") == "icon":
            kept.append({**asset, "uri": "ccdefault:", "ext": "png"})
        elif not (isinstance(uri, str) and uri.startswith(schemes)):
            kept.append(asset)
    gone = len(assets) - len(kept)
    return ({**document, "data": {**data, "assets": kept}} if kept != assets else document), gone


def gone_assets(where: str, gone: int) -> tuple[str, ...]:
    """The warning about them."""
    if not gone:
        return ()
    return (f"{where}: {gone} of the card's assets name files that came with it and are not kept; they are taken out of the card",)
