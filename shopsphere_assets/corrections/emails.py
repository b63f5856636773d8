"""Corrections of e-mail addresses: what surrounds them and what was typed twice.

Does not belong here: whether an address is one (the contracts), and whether somebody reads it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

import polars as pl

from shopsphere_assets.contracts.base import EMAIL_PATTERN
from shopsphere_assets.corrections.base import (
    EMAIL,
    Column,
    Columns,
    Neighbours,
    Proposal,
    Rule,
    cells,
    no_cells,
    visible,
)

UNWRAP = Rule("email.unwrap", "takes an address out of what surrounds it: brackets, quotes, a name, mailto:, a comma")
TYPING = Rule("email.typing", "takes out what was typed twice (@@, a dot in the domain) and blanks beside @ and dots")
ENCODING = Rule(
    "email.encoding", "undoes what a form, a page or a full-width keyboard made of an address: %40, &#64;, ＠"
)
SPELLED = Rule("email.spelled_out", "writes (at) and (dot) as the signs that they stand for")
GUESS = Rule("email.guess", "takes out other blanks, dots or characters that an address cannot have", is_sure=False)
DOMAIN = Rule("email.domain", "completes or mends the domain of a well-known provider", is_sure=False)
FIRST = Rule("email.first_of_several", "takes the first of several addresses", is_sure=False)
RULES = (UNWRAP, TYPING, ENCODING, SPELLED, GUESS, DOMAIN, FIRST)

_ADDRESS = re.compile(EMAIL_PATTERN)
_ANYWHERE = re.compile(r"[^\s<>()\[\]\"',;:@]+@[^\s<>()\[\]\"',;:@]+")
# At an end, or beside the sign or a dot; between letters a pair of brackets is anything.
_COMMENT = re.compile(r"^\s*\([^()@]*\)\s*|\s*\([^()@]*\)\s*$|(?<=[@.])\([^()@]*\)|\([^()@]*\)(?=[@.])")
_PAIRS = {"<": ">", "(": ")", "[": "]", '"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "{": "}", "`": "`"}
# Their addresses did have two dots in a row.
_DOTTED_PROVIDERS = ("docomo.ne.jp", "ezweb.ne.jp")
_PROVIDERS = ("gmail.com", "googlemail.com", "icloud.com", "hotmail.com", "outlook.com", "yahoo.com", "aol.com")
_MISSPELLED = {
    wrong: right
    for right, wrongs in {
        "gmail.com": "gmial.com gmai.com gmal.com gamil.com gmil.com gnail.com gmail.con gmail.cmo gmail.co gmail.cm "
        "gmail.om gmaill.com gmail.comm",
        "hotmail.com": "hotmial.com hotmal.com hotmai.com hotmil.com hotmail.con hotmail.cmo hotmaill.com",
        "yahoo.com": "yaho.com yahooo.com yahoo.con yahoo.cmo yhaoo.com",
        "outlook.com": "outlok.com outloo.com outlook.con outlook.cmo oulook.com",
        "icloud.com": "iclod.com icloud.con icloud.cmo icoud.com",
    }.items()
    for wrong in wrongs.split()
}


def is_address(text: str) -> bool:
    """Whether the contracts would accept the address."""
    local, _, _ = text.partition("@")
    return bool(_ADDRESS.match(text)) and len(text.encode()) <= 254 and len(local.encode()) <= 64


def _unencoded(text: str) -> str:
    text = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    if "@" not in text and "%40" in text:
        text = unquote(text)
    return html.unescape(text) if "&" in text and ";" in text else text


def _unwrapped(text: str) -> str:
    text = re.sub(r"^(e-?mail|mail)\s*[:=]\s*", "", text.strip(), flags=re.IGNORECASE)
    text = _COMMENT.sub("", text) if "@" in text else text
    named = re.fullmatch(r"[^<>@]*<\s*([^<>]+)\s*>", text)
    if named:
        text = named[1]
    text = re.sub(r"^mailto:", "", text.strip(), flags=re.IGNORECASE).partition("?")[0] if ":" in text else text
    while True:
        text = text.strip().rstrip(",;:").lstrip(",;:")
        if len(text) > 2 and _PAIRS.get(text[0]) == text[-1]:
            text = text[1:-1]
        elif (text[:1] in "<(") != (text[-1:] in ">)"):
            text = text.strip("<>()")
        else:
            return text.rstrip(".") if "@" in text and text.endswith(".") else text


def _typed_once(text: str) -> str:
    text = re.sub(r"\s*(@)[\s@]*|\s*(\.)\s+|\s+(\.)\s*", lambda m: next(g for g in m.groups() if g), text.strip())
    local, at, domain = text.partition("@")
    if not at or "@" in domain:
        return text
    domain = re.sub(r"\.{2,}", ".", domain)
    if re.fullmatch(r"[^,]+,[A-Za-z]{2,6}", domain):
        domain = domain.replace(",", ".")
    if not domain.lower().endswith(_DOTTED_PROVIDERS):
        local = re.sub(r"\.{2,}", ".", local)
    return f"{local}@{domain.strip('.')}"


def _signs(text: str) -> str:
    if "@" in text:
        return text
    text = re.sub(r"\s*[(\[{<]\s*(at|a|ät|arroba)\s*[)\]}>]\s*|\s+at\s+", "@", text, flags=re.IGNORECASE)
    return re.sub(r"\s*[(\[{<]\s*(dot|punkt|point|ponto)\s*[)\]}>]\s*|\s+dot\s+", ".", text, flags=re.IGNORECASE)


_STEPS: tuple[tuple[Rule, Callable[[str], str]], ...] = (
    (ENCODING, _unencoded),
    (UNWRAP, _unwrapped),
    (TYPING, _typed_once),
    (SPELLED, _signs),
)


def correct(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The address that was surely meant, or a guess at it; the rule is the last one that was needed."""
    del column, about
    now, rule = visible(text), TYPING
    if is_address(now):
        return Proposal(now, TYPING)
    for step_rule, step in _STEPS:
        then = step(now)
        rule = step_rule if then != now else rule
        now = then
        if is_address(now):
            return Proposal(now, rule)
    return _guess(now)


def _guess(text: str) -> Proposal | None:
    several = [found.strip(".") for found in _ANYWHERE.findall(text)]
    if len(several) > 1:
        return Proposal(several[0], FIRST) if is_address(several[0]) else None
    squeezed = re.sub(r"[\s()<>,;:\\\"\[\]]+", "", text)
    local, at, domain = squeezed.partition("@")
    local = re.sub(r"\.{2,}", ".", local.strip("."))
    completed = [name for name in _PROVIDERS if name.partition(".")[0] == domain.lower().strip(".")]
    if at and completed:
        mended = f"{local}@{completed[0]}"
        return Proposal(mended, DOMAIN) if is_address(mended) else None
    mended = f"{local}@{domain.strip('.-')}"
    return Proposal(mended, GUESS) if at and is_address(mended) else None


def suspicions(rows: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Suggestions for addresses that keep the contract, with the well-known misspelling of a provider's name."""
    found = [no_cells()]
    for column in columns.by_name.values():
        if column.kind != EMAIL:
            continue
        texts = rows.get_column(column.name)
        likely = texts.str.contains_any(["@" + wrong for wrong in _MISSPELLED], ascii_case_insensitive=True)
        where = likely.arg_true()
        if where.is_empty():
            continue
        given = texts.gather(where)
        proposals = []
        for text in given.to_list():
            local, _, domain = text.partition("@")
            right = _MISSPELLED.get(domain.lower())
            proposals.append(Proposal(f"{local}@{right}", DOMAIN) if right else None)
        found.append(cells(column.name, where, given, proposals))
    return pl.concat(found)
