"""Corrections of telephone numbers to E.164, the international form (+49301234567).

Does not belong here: which form of writing a contract accepts as typed.
"""

from __future__ import annotations

import re
import unicodedata

from shopsphere_assets.contracts.base import PHONE_PATTERN
from shopsphere_assets.corrections.base import Column, Neighbours, Proposal, Rule, visible

CHARACTERS = Rule("phone.characters", "writes digits, dashes and blanks of other scripts and keyboards in plain ones")
WITHIN_TEXT = Rule("phone.e164", "takes the only valid number out of words that name it, in international form")
GUESS = Rule(
    "phone.guess", "takes the first number of several, without its extension, or letters as keys", is_sure=False
)
RULES = (CHARACTERS, WITHIN_TEXT, GUESS)

_PHONE = re.compile(PHONE_PATTERN)
_DASHES = re.compile("[‐‑‒–—―−]")
# Words that only say what the number is; any other may be a condition or a name.
_LABELS = {
    "tel",
    "telephone",
    "telefon",
    "telefone",
    "téléphone",
    "telefono",
    "teléfono",
    "phone",
    "ph",
    "fon",
    "fone",
    "p",
    "t",
    "m",
    "c",
    "mob",
    "mobile",
    "mobil",
    "móvel",
    "celular",
    "cell",
    "cellphone",
    "handy",
    "portable",
    "fixe",
    "office",
    "work",
    "home",
    "büro",
    "privat",
    "private",
    "no",
    "nr",
    "number",
    "nummer",
    "num",
    "número",
    "call",
    "whatsapp",
    "main",
    "direct",
}


def correct(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The number that was surely meant, in E.164, or a guess at it."""
    del column
    plain = _DASHES.sub("-", visible(unicodedata.normalize("NFKC", text)))
    plain = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in plain)
    if _PHONE.match(plain):
        return Proposal(plain, CHARACTERS)
    if sum(c.isdecimal() for c in plain) < 5 and not re.search(r"\d.*[A-Za-z]{4}", plain):
        return None
    return _found_within(plain, about.country)


def _found_within(text: str, country: str | None) -> Proposal | None:
    # Loads the numbering plans of all countries.
    import phonenumbers
    from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher

    region = country if country and len(country) == 2 else None
    found = list(PhoneNumberMatcher(text, region, leniency=Leniency.VALID))
    if found:
        first = found[0]
        number = phonenumbers.format_number(first.number, PhoneNumberFormat.E164)
        rest = text[: first.start] + " " + text[first.end :]
        words = re.findall(r"[^\W\d_]+", rest.casefold())
        is_alone = not re.search(r"\d", rest) and not first.number.extension and set(words) <= _LABELS
        return Proposal(number, WITHIN_TEXT if is_alone else GUESS)
    if re.search("[A-Za-z]", text):
        keyed = phonenumbers.convert_alpha_characters_in_number(text)
        try:
            meant = phonenumbers.parse(keyed, region)
        except phonenumbers.NumberParseException:
            return None
        if phonenumbers.is_valid_number(meant):
            return Proposal(phonenumbers.format_number(meant, PhoneNumberFormat.E164), GUESS)
    return None
