"""Corrections of web addresses and paths that lost their beginning.

Does not belong here: where an address leads.
"""

from __future__ import annotations

import re

from shopsphere_assets.corrections.base import Column, Neighbours, Proposal, Rule, visible

PATH = Rule("url.path", "begins a path with its stroke, or takes it out of a whole address")
SCHEME = Rule("url.scheme", "begins a web address with https:// where only that is missing")
GUESS = Rule("url.guess", "begins what may be a web address with https://", is_sure=False)
RULES = (PATH, SCHEME, GUESS)

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}(?::\d{1,5})?"
_WITH_HOST = re.compile(rf"^(?P<scheme>(?:https?)?:?/{{0,2}})(?P<rest>(?:www\.)?{_HOST}(?:[/?#]\S*)?)$", re.IGNORECASE)
_ABSOLUTE = re.compile(rf"^https?://{_HOST}(?P<path>/\S*)?$", re.IGNORECASE)


def correct_path(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The path, beginning with a stroke."""
    del column, about
    plain = visible(text)
    if found := _ABSOLUTE.match(plain):
        return Proposal(found["path"] or "/", PATH)
    # What a server logs of a path is plain ASCII; anything else is no path.
    is_path = re.fullmatch(r"[!-~]+", plain) and "://" not in plain
    return Proposal("/" + plain.lstrip("/\\"), PATH) if is_path else None


def correct_url(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The web address with its scheme; today's web is https, so a missing one is that."""
    del column, about
    plain = visible(text)
    found = _WITH_HOST.match(plain)
    if not found:
        return None
    has_sign = bool(found["scheme"]) or found["rest"].lower().startswith("www.") or "/" in found["rest"]
    scheme = "http" if re.match("http(?!s)", found["scheme"], re.IGNORECASE) else "https"
    return Proposal(f"{scheme}://{found['rest']}", SCHEME if has_sign else GUESS)
