"""Standardises postal addresses of the US, the UK, Germany, France and Brazil; others stay as they are.

Belongs here: abbreviations of streets, case, the form of postal codes and states, and whether state and postal code
agree. Does not belong here: whether a street exists (``streets``: what the table's other rows say of it).

The abbreviations stand in small tables of the countries' posts, looked for only where such a word stands in a street
line: a general parser (usaddress) knows one country.
Only lines that a cheap expression over all cells finds suspicious are looked at one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl

from shopsphere_assets.corrections.base import (
    CITY,
    COUNTRY,
    POSTAL_CODE,
    REGION,
    STREET,
    Columns,
    Proposal,
    Rule,
    cells,
    no_cells,
)
from shopsphere_assets.corrections.regions import BR_STATES, US_STATES, state_of

CASE = Rule("address.case", "writes a street or town that is all in capitals or small letters in the country's way")
BLANKS = Rule("address.blanks", "takes out blanks around and doubled blanks within a street or town")
ABBREVIATION = Rule("address.abbreviation", "writes the kind of street and its direction in full")
POSTAL_FORM = Rule("address.postal_code", "writes a postal code in the country's form")
STATE = Rule("address.state", "writes a state of the US or Brazil as its two letters")
DISAGREES = Rule(
    "address.state_of_postal_code", "the state that the postal code lies in, where another is given", False
)
RULES = (CASE, BLANKS, ABBREVIATION, POSTAL_FORM, STATE, DISAGREES)

COUNTRIES = ("US", "GB", "DE", "FR", "BR")

US_KINDS = {
    "aly": "Alley", "ave": "Avenue", "av": "Avenue", "blvd": "Boulevard", "cir": "Circle", "ct": "Court",
    "dr": "Drive", "expy": "Expressway", "hwy": "Highway", "ln": "Lane", "pkwy": "Parkway", "pl": "Place",
    "plz": "Plaza", "rd": "Road", "sq": "Square", "st": "Street", "ter": "Terrace", "trl": "Trail", "tpke": "Turnpike",
}  # fmt: skip
_GB_KINDS = {
    "ave": "Avenue", "cl": "Close", "cres": "Crescent", "ct": "Court", "dr": "Drive", "gdns": "Gardens",
    "gro": "Grove", "ln": "Lane", "pl": "Place", "rd": "Road", "sq": "Square", "st": "Street", "terr": "Terrace",
    "ter": "Terrace",
}  # fmt: skip
_FR_KINDS = {
    "av": "avenue", "ave": "avenue", "bd": "boulevard", "bld": "boulevard", "blvd": "boulevard", "boul": "boulevard",
    "r": "rue", "pl": "place", "all": "allée", "ch": "chemin", "che": "chemin", "chem": "chemin", "imp": "impasse",
    "rte": "route", "fbg": "faubourg", "sq": "square",
}  # fmt: skip
_BR_KINDS = {
    "r": "Rua", "av": "Avenida", "al": "Alameda", "tv": "Travessa", "trav": "Travessa", "pç": "Praça", "pça": "Praça",
    "pca": "Praça", "rod": "Rodovia", "estr": "Estrada", "lgo": "Largo",
}  # fmt: skip
DIRECTIONS = {
    "n": "North", "s": "South", "e": "East", "w": "West",
    "ne": "Northeast", "nw": "Northwest", "se": "Southeast", "sw": "Southwest",
}  # fmt: skip
_UNITS = r"(?:apt|apartment|unit|suite|ste|floor|fl|room|rm|bldg|building|flat|#)"
_KEPT_CAPITALS = re.compile(r"^(?:PO|P\.O\.|US|USA|UK|[IVX]{2,5}|[NS][EW]|ZAC|ZI|BP|RN|BR|SQ|CJ|QD|LT|[A-Z]|\d+[A-Z])$")
_SMALL = {
    "US": {"of", "the", "and", "at"},
    "GB": {"upon", "on", "under", "of", "in", "le", "by", "with", "and"},
    "DE": {
        *("am", "an", "der", "die", "das", "dem", "den", "des", "im", "in", "auf", "ob", "bei", "von", "zum", "zur"),
        *("zu", "und", "unter", "vor"),
    },
    "FR": {
        *("de", "du", "des", "la", "le", "les", "sur", "sous", "en", "aux", "au", "lès", "et", "bis", "ter"),
        *_FR_KINDS.values(),
    },
    "BR": {"de", "da", "do", "das", "dos", "e"},
}  # fmt: skip
_ELISION = re.compile(r"^(d|l)(['’])(.+)$", re.IGNORECASE)

# Which cells are looked at one by one.
_CASE = r"^[^\p{Ll}]*\p{Lu}{3,}[^\p{Ll}]*$|^[^\p{Lu}]*\p{Ll}{3,}[^\p{Lu}]*$"
_CAPITALS = r"^[^\p{Ll}]*\p{Lu}{3,}[^\p{Ll}]*$"
_BLANKS = r"^\s|\s$|\s\s"
_ABBREVIATED = {
    "US": r"(?i:\b(?:aly|ave?|blvd|cir|ct|dr|expy|hwy|ln|pkwy|plz?|rd|sq|st|ter|trl|tpke|[nsew]|[ns][ew])\b)",
    "GB": r"(?i:\b(?:ave|cl|cres|ct|dr|gdns|gro|ln|pl|rd|sq|st|terr?)\b)",
    "DE": r"(?i:str(?:\.|\s|\d|$|asse)|\bpl\.)",
    "FR": r"(?i:^[^\p{L}]*(?:(?:bis|ter)\W+)?(?:ave?|bl?v?d|boul|r|pl|all|che?m?|imp|rte|fbg|sq)[. ])",
    "BR": r"(?i:^(?:r|av|al|tv|trav|pça?|pca|rod|estr|lgo)[. ])",
}
_STREETS = {
    country: f"{abbreviated}|{_CAPITALS if country == 'FR' else _CASE}|{_BLANKS}"
    for country, abbreviated in _ABBREVIATED.items()
}
_TOWNS = dict.fromkeys(COUNTRIES, f"{_CASE}|{_BLANKS}")
_GOOD_POSTAL_CODES = {
    "US": r"^[0-9]{5}(?:-[0-9]{4})?$",
    "GB": r"^[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}$",
    "DE": r"^[0-9]{5}$",
    "FR": r"^[0-9]{5}$",
    "BR": r"^[0-9]{5}-[0-9]{3}$",
}
_GOOD_STATES = dict.fromkeys(("US", "BR"), "^(?:[A-Z]{2})?$")
_GB_CODE = re.compile(r"^([A-Z]{1,2}\d[A-Z\d]?)(\d[A-Z]{2})$")


def standardise(rows: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Proposals for the addresses among ``rows``: for all rows, whether they keep their contract or not."""
    country = columns.one(COUNTRY)
    if country is None:
        return no_cells()
    found = [no_cells()]
    countries = rows.get_column(country)
    rows_of = {code: (countries == code).arg_true() for code in COUNTRIES}
    for column in columns.by_name.values():
        if column.kind not in _LOOKED_AT:
            continue
        patterns, is_good, correct = _LOOKED_AT[column.kind]
        texts = rows.get_column(column.name)
        for code, pattern in patterns.items():
            found.append(_corrected(column.name, texts, rows_of[code], code, pattern, is_good, correct))
    region, postal_code = columns.one(REGION), columns.one(POSTAL_CODE)
    if region and postal_code:
        found.append(_disagreeing(rows, country, region, postal_code))
    return pl.concat(found)


def _corrected(
    column: str,
    texts: pl.Series,
    rows: pl.Series,
    country: str,
    pattern: str,
    is_good: bool,
    correct: Callable[[str, str], Proposal | None],
) -> pl.DataFrame:
    """What ``correct`` says of those cells that match ``pattern``; or that do not, where it describes good ones."""
    given = texts.gather(rows)
    matches = given.str.contains(pattern)
    is_suspect = (~matches if is_good else matches).fill_null(False)
    if not is_suspect.any():
        return no_cells()
    given = given.filter(is_suspect)
    known: dict[str, Proposal | None] = {}
    for text in given.to_list():
        if text not in known:
            known[text] = correct(country, text)
    return cells(column, rows.filter(is_suspect), given, [known[text] for text in given])


def _disagreeing(rows: pl.DataFrame, country: str, region: str, postal_code: str) -> pl.DataFrame:
    """Suggestions where the state is not the one that the postal code lies in."""
    prefixes = rows.lazy().select(
        pl.concat_str(pl.col(country), pl.col(postal_code).str.slice(0, 3)).alias("prefix"),
        pl.col(region).alias("state"),
    )
    is_there = pl.col("state").is_not_null() & (pl.col("state") != "")
    groups = prefixes.with_row_index("_row").filter(is_there & pl.col("prefix").str.contains("^(?:US|BR)[0-9]{3}"))
    pairs = groups.select("prefix", "state").unique().collect()
    wrong = [
        (prefix, state, right)
        for prefix, state in pairs.rows()
        if (right := state_of(prefix[:2], prefix[2:])) and right != _state(prefix[:2], state)
    ]
    if not wrong:
        return no_cells()
    table = pl.LazyFrame(wrong, schema=["prefix", "state", "right"], orient="row")
    hits = groups.join(table, on=["prefix", "state"], how="inner", maintain_order="left").collect()
    proposals: list[Proposal | None] = [Proposal(right, DISAGREES) for right in hits.get_column("right")]
    return cells(region, hits.get_column("_row"), hits.get_column("state"), proposals)


def _state(country: str, text: str) -> str:
    proposal = state(country, text)
    return proposal.corrected if proposal else text


def state(country: str, text: str) -> Proposal | None:
    """A state's two letters."""
    plain = " ".join(text.replace(".", "").split())
    states = {"US": US_STATES, "BR": BR_STATES}.get(country, {})
    if plain.upper() in states.values():
        return Proposal(plain.upper(), STATE)
    code = states.get(plain.casefold())
    return Proposal(code, STATE) if code else None


def postal_code(country: str, text: str) -> Proposal | None:
    """A postal code in the form of its country; None where it cannot be one."""
    plain = re.sub(r"[\s.\-‐‑–—]", "", text).upper()
    corrected = None
    if country == "GB":
        found = _GB_CODE.match(plain)
        corrected = f"{found[1]} {found[2]}" if found else None
    else:
        plain = re.sub(r"^(?:US|USA|D|DE|F|FR|BR|CEP:?)(?=\d)", "", plain)
        # No letters stand in these codes, so they are the digits that they look like.
        digits = plain.translate(str.maketrans("OIL", "011"))
        if digits.isdecimal():
            length = len(digits)
            if country == "BR":
                corrected = f"{digits[:5]}-{digits[5:]}" if length == 8 else None
            elif length == 5:
                corrected = digits
            elif country == "US" and length == 9:
                corrected = f"{digits[:5]}-{digits[5:]}"
            elif length == 4 and text.strip().isdecimal():
                # What a spreadsheet took for a number lost the zero that it began with.
                corrected = "0" + digits
    return Proposal(corrected, POSTAL_FORM) if corrected else None


def city(country: str, text: str) -> Proposal | None:
    """A town's name in the country's case."""
    plain = " ".join(text.split())
    cased = _cased(country, plain) if _is_of_one_case(plain, country) else plain
    return Proposal(cased, CASE if cased != plain else BLANKS)


def street(country: str, text: str) -> Proposal | None:
    """A street line with the kind of street in full, in the country's case."""
    plain = " ".join(text.split())
    rule = BLANKS
    line = plain
    if _is_of_one_case(plain, country):
        line = _cased(country, plain)
        rule = CASE if line != plain else rule
    full = _IN_FULL[country](line)
    return Proposal(full, ABBREVIATION if full != line else rule)


def _is_of_one_case(text: str, country: str) -> bool:
    letters = [c for c in text if c.isalpha()]
    if len(letters) < 4 or not re.search(r"[^\W\d_]{3}", text):
        return False
    return all(c.isupper() for c in letters) or (country != "FR" and all(c.islower() for c in letters))


def _cased(country: str, text: str) -> str:
    words = text.split(" ")
    is_upper = text.upper() == text
    cased = [_cased_word(country, word, is_first=i == 0, is_upper=is_upper) for i, word in enumerate(words)]
    for i, word in enumerate(words):
        # A state where one stands: at the end, or before the postal code.
        if country == "US" and word in US_STATES.values() and (i + 1 == len(words) or words[i + 1][:5].isdecimal()):
            cased[i] = word
    return " ".join(cased)


def _cased_word(country: str, word: str, *, is_first: bool, is_upper: bool) -> str:
    if is_upper and _KEPT_CAPITALS.match(word):
        return word
    low = word.lower()
    if not is_first and low.strip(".,") in _SMALL[country]:
        return low
    if (found := _ELISION.match(low)) and country == "FR":
        rest = "-".join(map(_capital, found[3].split("-")))
        return f"{found[1] if not is_first else found[1].upper()}{found[2]}{rest}"
    parts = low.split("-")
    inner = [part if i and part in _SMALL[country] else _capital(part) for i, part in enumerate(parts)]
    return "-".join(inner)


def _capital(word: str) -> str:
    if re.match(r"^\d+(st|nd|rd|th)\b", word):
        return word
    found = re.match(r"^(\W*)(o['’]|mc(?=[^aeiou\W]|[aio]\w{4}))?(\w)(.*)$", word)
    if not found:
        return word
    before, prefix, first, rest = found.groups()
    return before + (prefix or "").capitalize() + first.upper() + rest


def _english(kinds: dict[str, str], *, directions: bool) -> Callable[[str], str]:
    """Street lines whose kind stands last: before a direction, a unit, a comma or the end, behind a name."""
    ending = rf"\s*(?:,|$)|\s{_UNITS}"
    kind = re.compile(
        rf"(?<=\s)({'|'.join(kinds)})\.?(?={ending}|\s(?:[NSEW]|[NS][EW]|North|South|East|West)\.?(?:{ending}))",
        re.IGNORECASE,
    )
    before = re.compile(r"^(\d\S*\s+)([NSEW]|[NS][EW])\.?(?=\s+\S+\s+\S)", re.IGNORECASE)
    after = re.compile(rf"(?<=\s)([NSEW]|[NS][EW])\.?(?=\s*(?:,|$|\s{_UNITS}))", re.IGNORECASE)

    full = {word.lower() for word in kinds.values()}

    def in_full(line: str) -> str:
        found = kind.search(line)
        if found and _is_a_kind(line[: found.start()], found[1]):
            line = line[: found.start()] + kinds[found[1].lower()] + line[found.end() :]
        if not directions or not _words(line) & full:
            return line
        ending = after.search(line)
        # Behind another direction a letter is rather a flat's, and without a name before it the street's own name.
        if ending and not before.match(line):
            street = line[: ending.start()].split()
            if street[-1].lower() in full and _has_a_name(" ".join(street[:-1])):
                line = line[: ending.start()] + DIRECTIONS[ending[1].lower()] + line[ending.end() :]
        return before.sub(lambda m: m[1] + DIRECTIONS[m[2].lower()], line)

    return in_full


def _has_a_name(before: str) -> bool:
    """Whether something stands before the kind of street that can be its name, beside number and direction."""
    words = [word.strip(".,").lower() for word in before.split()]
    return any(word and not word[0].isdigit() and word not in DIRECTIONS for word in words) or bool(
        re.search(r"\d(?:st|nd|rd|th)\s*$", before, re.IGNORECASE)
    )


def _is_a_kind(before: str, word: str) -> bool:
    """Whether ``word`` is the kind of the street whose line has ``before`` in front of it."""
    # Behind a street it is Connecticut.
    is_state = word.lower() == "ct" and (
        before.rstrip().endswith(",") or _words(before) & {w for pair in US_KINDS.items() for w in map(str.lower, pair)}
    )
    return not is_state and _has_a_name(before)


def _words(line: str) -> set[str]:
    return {word.strip(".").lower() for word in line.replace(",", " ").split()}


def _german(line: str) -> str:
    line = re.sub(r"([sS])tr(?:\.|(?=\s+\d|\d|$))\s*(?=(\S?))", lambda m: m[1] + "traße" + (" " if m[2] else ""), line)
    line = re.sub(r"([sS])trasse\b", r"\1traße", line)
    return re.sub(r"(?<=\w\s)Pl\.", "Platz", line)


def _leading(kinds: dict[str, str]) -> Callable[[str], str]:
    """Street lines whose kind stands first, behind the number if there is one."""
    number = r"(?:\d+\s*(?:bis|ter|quater|[A-Da-d])?\s*,?\s+)?"
    words = "|".join(sorted(kinds, key=len, reverse=True))
    pattern = re.compile(rf"^({number})({words})(\.\s*|\s+)(?=[^\W\d_]{{2}}|\d+ de)", re.IGNORECASE)

    def in_full(line: str) -> str:
        found = pattern.match(line)
        if not found:
            return line
        full = kinds[found[2].lower()]
        # A kind of one letter without its point may be an initial.
        if len(found[2]) == 1 and "." not in found[3] and not found[1] and found[2].islower():
            return line
        return f"{found[1]}{full} {line[found.end() :]}"

    return in_full


_IN_FULL: dict[str, Callable[[str], str]] = {
    "US": _english(US_KINDS, directions=True),
    "GB": _english(_GB_KINDS, directions=False),
    "DE": _german,
    "FR": _leading(_FR_KINDS),
    "BR": _leading(_BR_KINDS),
}
_LOOKED_AT: dict[str, tuple[dict[str, str], bool, Callable[[str, str], Proposal | None]]] = {
    STREET: (_STREETS, False, street),
    CITY: (_TOWNS, False, city),
    POSTAL_CODE: (_GOOD_POSTAL_CODES, True, postal_code),
    REGION: (_GOOD_STATES, True, state),
}
"""By kind of column: a pattern per country, whether it describes the good cells, and what corrects one."""
