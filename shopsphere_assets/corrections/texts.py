"""Corrections of texts that people typed: wrong character sets, control characters, surrounding blanks.

Does not belong here: what the words mean.
"""

from __future__ import annotations

import re

from shopsphere_assets.contracts.base import CONTROL_PATTERN, MOJIBAKE_PATTERN
from shopsphere_assets.corrections.base import Column, Neighbours, Proposal, Rule

CHARACTER_SET = Rule("text.character_set", "reads text again in UTF-8 that was read in another character set")
CONTROLS = Rule("text.control_characters", "takes out control characters and a terminal's colour codes")
RULES = (CHARACTER_SET, CONTROLS)

_MOJIBAKE = re.compile(MOJIBAKE_PATTERN)
_CONTROL = re.compile(CONTROL_PATTERN)
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BREAKS = re.compile("[\x0b\x0c]+")
_LOST = "\ufffd"


def correct(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The text as it was surely typed; None where that cannot be told, as where characters are lost."""
    del column, about
    if _LOST in text:
        return None
    now, rule = text, CONTROLS
    # Taking out the controls first would take parts of what was misread; taking them out may show what was.
    for step in (_reread, _without_controls, _reread):
        then = step(now)
        if then != now and step is _reread:
            rule = CHARACTER_SET
        now = then
    if _MOJIBAKE.search(now) or _CONTROL.search(now) or _LOST in now:
        return None
    return Proposal(now, rule)


def has_controls(text: str) -> bool:
    """Whether there are characters in it that nobody types."""
    return bool(_CONTROL.search(text))


def _without_controls(text: str) -> str:
    return _CONTROL.sub("", _BREAKS.sub(" ", _TERMINAL.sub("", text)))


def _reread(text: str) -> str:
    if not _MOJIBAKE.search(text):
        return text
    # Costs a tenth of a second to load, and most runs have no need of it.
    import ftfy

    fixed = ftfy.fix_encoding(text)
    if not _MOJIBAKE.search(fixed):
        return fixed
    for codec in ("sloppy-windows-1252", "latin-1"):
        try:
            return text.encode(codec).decode()
        except UnicodeError:
            continue
    return text
