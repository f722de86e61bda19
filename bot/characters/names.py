"""Names: which ones platforms take, which ones look alike, and how a name becomes a slug.

Knows no character and no platform's API; the rules are the strictest of the platforms we speak to, so that a bad
name is refused when it is registered and not when the first reply is sent.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

from bot.errors import CardError

NAME_CHARACTERS = 80  # Discord's limit for the name of a webhook message
MARKS_IN_A_ROW = 4  # enough for every script in use; more is text that climbs over its neighbours
SLUG_CHARACTERS = 48

REFUSED_INSIDE = ("clyde", "discord")  # Discord refuses a webhook message whose name contains these
REFUSED_WHOLE = ("here", "everyone")

# Drawn as nothing or as a blank, though Unicode calls them letters, marks or symbols.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_UNSHOWN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Letters of other scripts that most fonts draw like a Latin one, already folded to lower case.
_LOOKS_LIKE = str.maketrans(
    {
        **dict(zip("асԁеһіјӏорԛѕԝхуѵьвкмнтгэ", "acdehijlopqswxyvbbkmhtre", strict=True)),  # Cyrillic
        **dict(zip("αβγεηικνορτυχωςϲϳ", "abyenikvoptuxwscj", strict=True)),  # Greek
        **dict(zip("օսոցհքյտ", "ouughqjs", strict=True)),  # Armenian
        **dict(zip("ɑɡıɩʟɴʀꜱʏᴀʙᴄᴅᴇɢʜᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢłøđħŧß", "agiilnrsyabcdeghjkmoptuvwzlodhts", strict=True)),  # Latin, other shapes
        **dict(zip("013i", "olel", strict=True)),  # a capital I is drawn as l
    }
)


def tidy_name(name: str) -> str:
    """The name as it is shown: composed, without blanks around it, and with single blanks inside."""
    return re.sub(r"[ \u00a0\u2000-\u200a\u202f\u205f\u3000]+", " ", unicodedata.normalize("NFC", name)).strip()


def check_name(name: str, where: str) -> None:
    """Refuse a name that a platform would refuse, or that shows as something else than it is.

    ``where`` names card and field for the sentence. ``name`` has been through :func:`tidy_name`.

    Raises:
        CardError
    """
    if not name:
        raise CardError(f"{where} is empty; a name has 1 to {NAME_CHARACTERS} characters")
    if len(name) > NAME_CHARACTERS:
        raise CardError(f"{where} has {len(name)} characters; a name has at most {NAME_CHARACTERS}")
    hidden = next((c for c in name if c in _INVISIBLE or unicodedata.category(c) in _UNSHOWN_CATEGORIES), None)
    if hidden is not None:
        raise CardError(f"{where} contains U+{ord(hidden):04X}, which is not shown (a control or zero-width character); remove it")
    if not any(unicodedata.category(c)[0] in "LNS" for c in name):
        raise CardError(f"{where} has no letter, number or symbol in it; a name needs at least 1")
    run = _longest_run_of_marks(name)
    if run > MARKS_IN_A_ROW:
        raise CardError(f"{where} stacks {run} accents on one letter; at most {MARKS_IN_A_ROW} are shown properly")
    lowered = name.casefold()
    for part in REFUSED_INSIDE:
        if part in lowered:
            raise CardError(f"{where} contains {part!r}, which Discord refuses in names; choose another spelling")
    if lowered in REFUSED_WHOLE:
        raise CardError(f"{where} is {name!r}, which Discord keeps for itself; choose another name")


def _longest_run_of_marks(name: str) -> int:
    longest = run = 0
    for character in name:
        run = run + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        longest = max(longest, run)
    return longest


def name_warnings(name: str, where: str) -> tuple[str, ...]:
    """What may go wrong later with a name that is accepted.

    Discord's documents forbid the whole names "here" and "everyone", yet its API was seen to reject "groundsphere"
    for the "here" inside. Refusing every Theresa for that would be worse than a fallback: the name is accepted, this
    warning is shown, and the Discord connector speaks as the bot with the name in front if the API does refuse.
    """
    inside = [word for word in REFUSED_WHOLE if word in name.casefold()]
    if not inside:
        return ()
    return (f"{where} contains {inside[0]!r}; Discord has refused such names, and {name} would then speak under the bot's own name",)


@lru_cache(maxsize=8192)
def fold_name(name: str) -> str:
    """A name for looking up: case, accents, width, hyphens and blanks do not count."""
    spread = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(c for c in spread if not "\u0300" <= c <= "\u036f")  # accents; not the voicing marks of kana
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", kept))) or kept.strip()


@lru_cache(maxsize=8192)
def skeleton(name: str) -> str:
    """A name for asking whether two names could be taken for each other: look-alike letters are one letter."""
    shown = "".join(c for c in name if c not in _INVISIBLE and unicodedata.category(c) not in _UNSHOWN_CATEGORIES)
    return "".join(fold_name(fold_name(shown).translate(_LOOKS_LIKE)).split()).replace("rn", "m").replace("vv", "w")


def looks_like(one: str, other: str) -> bool:
    """Whether a reader could take one name for the other."""
    return skeleton(one) == skeleton(other)


def slugify(name: str) -> str:
    """The name as a folder's name: ``Mara Quill`` -> ``mara-quill``, ``周美兰`` -> ``周美兰``.

    Letters of any script are kept, so the slug stays readable; a name without letters or numbers gets a short hash.
    The same name always gives the same slug.
    """
    slug = "-".join(fold_name(name).split())
    if not re.search(r"[^\W_]", slug):
        return f"character-{_short_hash(name)}"
    if len(slug) > SLUG_CHARACTERS:
        return f"{slug[: SLUG_CHARACTERS - 9].rstrip('-')}-{_short_hash(name)}"
    return slug


def is_slug(text: str) -> bool:
    """Whether this may be a slug: it becomes a folder's name, so it can never lead out of one."""
    return (
        len(text) <= SLUG_CHARACTERS and re.fullmatch(r"[^\W_]+(?:-[^\W_]+)*", text) is not None and text in (text.lower(), text.casefold())
    )


def _short_hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
