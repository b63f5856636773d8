"""Corrections of codes: countries, currencies, languages, listed values, true and false.

Does not belong here: which codes a column may have (the contracts). Names and former codes come from the Unicode CLDR
(Babel), in the languages of :data:`LANGUAGES`.
"""

from __future__ import annotations

from functools import cache

from babel import Locale
from babel.core import get_global

from shopsphere_assets.corrections.base import Column, Neighbours, Proposal, Rule, folded, visible

COUNTRY_CODE = Rule(
    "country.code", "writes a country's other codes (UK, USA, DEU, 276) and cases as ISO 3166-1 alpha-2"
)
COUNTRY_NAME = Rule("country.name", "turns a country's name in one of many languages into its code")
CURRENCY_CODE = Rule("currency.code", "writes a currency's code in its proper case, without what surrounds it")
CURRENCY_NAME = Rule("currency.name", "turns a currency's name or its unmistakable sign (€, £, US$, R$) into its code")
CURRENCY_SIGN = Rule("currency.sign", "turns the sign of several currencies ($, ¥) into the usual one", is_sure=False)
LANGUAGE = Rule("language.code", "turns a language's name, longer code or region (english, eng, pt-BR) into its code")
SPELLING = Rule("allowed_value.spelling", "writes a listed value in its own case, blanks and signs")
TYPING = Rule("allowed_value.typing", "mends one letter of a listed value of at least six, where only one is that near")
MEANING = Rule("allowed_value.meaning", "takes the only listed value of the same stem or beginning", is_sure=False)
BOOLEAN = Rule("boolean.word", "turns yes and no in other languages into true and false")
RULES = (
    *(COUNTRY_CODE, COUNTRY_NAME, CURRENCY_CODE, CURRENCY_NAME, CURRENCY_SIGN, LANGUAGE),
    *(SPELLING, TYPING, MEANING, BOOLEAN),
)

LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "pl", "cs", "hu", "ro", "tr", "el")

# What the CLDR does not call a country, but people do.
_MORE_COUNTRIES = {
    "EL": "GR",
    "UNITED STATES OF AMERICA": "US",
    "UNITED STATES AMERICA": "US",
    "U S": "US",
    "U S A": "US",
    "GREAT BRITAIN": "GB",
    "ENGLAND": "GB",
    "SCOTLAND": "GB",
    "WALES": "GB",
    "NORTHERN IRELAND": "GB",
    "U K": "GB",
    "HOLLAND": "NL",
    "THE NETHERLANDS": "NL",
    "CZECH REPUBLIC": "CZ",
    "REPUBLIC OF IRELAND": "IE",
    "EIRE": "IE",
    "BRD": "DE",
    "KOREA REPUBLIC OF": "KR",
    "REPUBLIC OF KOREA": "KR",
    "UAE": "AE",
    "VIET NAM": "VN",
}
_SIGNS = {
    "€": "EUR",
    "£": "GBP",
    "US$": "USD",
    "U$S": "USD",
    "$US": "USD",
    "R$": "BRL",
    "ZŁ": "PLN",
    "GBP£": "GBP",
    "C$": "CAD",
    "CA$": "CAD",
    "CAN$": "CAD",
    "A$": "AUD",
    "AU$": "AUD",
    "€UR": "EUR",
    "SFR": "CHF",
    "SFR.": "CHF",
    "USD$": "USD",
    "$USD": "USD",
    "EUR€": "EUR",
    "€EUR": "EUR",
    "£GBP": "GBP",
    "NZ$": "NZD",
    "HK$": "HKD",
}
_USUAL_SIGNS = {"$": "USD", "¥": "JPY"}
_SURROUNDING = " \t.,;:()[]{}'\"`´"
_TRUE = ("on", "ja", "oui", "si", "sim", "wahr", "vrai", "verdadero", "verdadeiro", "checked")
_FALSE = ("off", "nein", "non", "nao", "falsch", "faux", "falso", "unchecked")
_ENDINGS = ("ed", "d", "ing", "s", "es", "er", "led", "ment", "ion")


@cache
def _countries() -> dict[str, str]:
    """Folded names, former and longer codes of countries; those that stand for several are left out."""
    meant: dict[str, set[str]] = {}
    for language in LANGUAGES:
        for code, name in Locale(language).territories.items():
            if len(code) == 2 and code.isalpha():
                meant.setdefault(folded(name), set()).add(code)
    names = {name: codes.pop() for name, codes in meant.items() if len(codes) == 1 and len(name) > 3}
    return names | {folded(name): code for name, code in _MORE_COUNTRIES.items()}


@cache
def _currencies() -> dict[str, str]:
    meant: dict[str, set[str]] = {}
    for language in LANGUAGES:
        locale = Locale(language)
        forms = {code: {name} for code, name in locale.currencies.items()}
        for code, plurals in locale._data["currency_names_plural"].items():
            forms.setdefault(code, set()).update(plurals.values())
        for code, names in forms.items():
            for name in names:
                meant.setdefault(folded(name), set()).add(code)
    return {name: codes.pop() for name, codes in meant.items() if len(codes) == 1 and len(name) > 2}


@cache
def _languages() -> dict[str, str]:
    meant: dict[str, set[str]] = {}
    names = [(code, name) for language in LANGUAGES for code, name in Locale(language).languages.items()]
    names += [(code, name) for code in LANGUAGES if (name := Locale(code).get_display_name(code))]
    for code, name in names:
        if len(code) == 2:
            meant.setdefault(folded(name), set()).add(code)
    return {name: codes.pop() for name, codes in meant.items() if len(codes) == 1}


def country(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The ISO 3166-1 code of the country that was surely meant, if the contract knows it."""
    del about
    plain = visible(text).strip(_SURROUNDING).upper()
    compact = plain.replace(".", "").replace(" ", "")
    if compact in column.allowed:
        return Proposal(compact, COUNTRY_CODE)
    aliases = get_global("territory_aliases").get(compact, [])
    if len(aliases) == 1 and aliases[0] in column.allowed:
        return Proposal(aliases[0], COUNTRY_CODE)
    code = _countries().get(folded(plain))
    return Proposal(code, COUNTRY_NAME) if code in column.allowed and code else None


def currency(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The ISO 4217 code of the currency that was surely meant, if the contract knows it."""
    del about
    plain = visible(text).strip(_SURROUNDING).upper()
    if plain in column.allowed:
        return Proposal(plain, CURRENCY_CODE)
    compact = plain.replace(" ", "")
    if compact in column.allowed:
        return Proposal(compact, CURRENCY_CODE)
    code = _SIGNS.get(compact) or _currencies().get(folded(plain))
    if code in column.allowed and code:
        return Proposal(code, CURRENCY_NAME)
    usual = _USUAL_SIGNS.get(compact)
    return Proposal(usual, CURRENCY_SIGN) if usual in column.allowed and usual else None


def language(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The ISO 639-1 code of the language that was surely meant."""
    del column, about
    plain = visible(text).strip(_SURROUNDING).lower()
    first, _, region = plain.replace("_", "-").partition("-")
    code = first if len(first) == 2 and (not region or 2 <= len(region) <= 4) else ""
    code = code or get_global("language_aliases").get(first if not region else "", "")
    code = code or _languages().get(folded(plain), "")
    known = Locale("en").languages
    return Proposal(code, LANGUAGE) if len(code) == 2 and code in known else None


def allowed_value(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The listed value that was surely meant, or one that may have been."""
    del about
    plain = visible(text)
    # A question mark is a doubt, not a slip.
    given = "" if "?" in plain else _squeezed(plain)
    if not given:
        return None
    listed: dict[str, list[str]] = {}
    for value in column.allowed:
        listed.setdefault(_squeezed(value), []).append(value)
    same = listed.get(given, [])
    if same:
        return Proposal(same[0], SPELLING) if len(same) == 1 else None
    near = [values for key, values in listed.items() if len(given) >= 5 and _is_one_slip_apart(given, key)]
    if near:
        return Proposal(near[0][0], TYPING) if len(near) == 1 and len(near[0]) == 1 and len(given) >= 6 else None
    likely = [values[0] for key, values in listed.items() if _is_of_one_stem(given, key)]
    return Proposal(likely[0], MEANING) if len(likely) == 1 else None


def boolean(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """True or false, where a word of another language says so."""
    del column, about
    word = folded(text)
    if word in _TRUE or word in _FALSE:
        return Proposal("true" if word in _TRUE else "false", BOOLEAN)
    return None


def _squeezed(text: str) -> str:
    return folded(text.replace("_", " ")).replace(" ", "")


def _is_of_one_stem(left: str, right: str) -> bool:
    short, long = sorted((left, right), key=len)
    if len(short) < 3 or not long.startswith(short):
        return False
    return long[len(short) :] in _ENDINGS or len(short) >= 4 or long.startswith(short + short[-1])


def _is_one_slip_apart(left: str, right: str) -> bool:
    """Whether one letter more, less, other, or exchanged with its neighbour makes one of the other."""
    if abs(len(left) - len(right)) > 1 or left == right:
        return False
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    a, b = left[start:], right[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
