"""The states of the US and Brazil: their names, and the postal codes that lie in them.

Belongs here: data of the two posts (USPS publication 65, Correios' ranges of CEP). Does not belong here: what is made
of it (``addresses``).
"""

from __future__ import annotations

from bisect import bisect_right

US_STATES = {
    "alabama": "AL", "alaska": "AK", "arizona": "AZ", "arkansas": "AR", "california": "CA", "colorado": "CO",
    "connecticut": "CT", "delaware": "DE", "district of columbia": "DC", "florida": "FL", "georgia": "GA",
    "hawaii": "HI", "idaho": "ID", "illinois": "IL", "indiana": "IN", "iowa": "IA", "kansas": "KS", "kentucky": "KY",
    "louisiana": "LA", "maine": "ME", "maryland": "MD", "massachusetts": "MA", "michigan": "MI", "minnesota": "MN",
    "mississippi": "MS", "missouri": "MO", "montana": "MT", "nebraska": "NE", "nevada": "NV", "new hampshire": "NH",
    "new jersey": "NJ", "new mexico": "NM", "new york": "NY", "north carolina": "NC", "north dakota": "ND",
    "ohio": "OH", "oklahoma": "OK", "oregon": "OR", "pennsylvania": "PA", "puerto rico": "PR", "rhode island": "RI",
    "south carolina": "SC", "south dakota": "SD", "tennessee": "TN", "texas": "TX", "utah": "UT", "vermont": "VT",
    "virginia": "VA", "washington": "WA", "west virginia": "WV", "wisconsin": "WI", "wyoming": "WY",
}  # fmt: skip
BR_STATES = {
    "acre": "AC", "alagoas": "AL", "amapá": "AP", "amazonas": "AM", "bahia": "BA", "ceará": "CE",
    "distrito federal": "DF", "espírito santo": "ES", "goiás": "GO", "maranhão": "MA", "mato grosso": "MT",
    "mato grosso do sul": "MS", "minas gerais": "MG", "pará": "PA", "paraíba": "PB", "paraná": "PR",
    "pernambuco": "PE", "piauí": "PI", "rio de janeiro": "RJ", "rio grande do norte": "RN",
    "rio grande do sul": "RS", "rondônia": "RO", "roraima": "RR", "santa catarina": "SC", "são paulo": "SP",
    "sergipe": "SE", "tocantins": "TO",
}  # fmt: skip

# Where a range of the first three digits begins, and whose it is; nothing where it is nobody's or several states'.
_US_PREFIXES = (
    "005 NY,006 PR,008,009 PR,010 MA,028 RI,030 NH,039 ME,050 VT,055 MA,056 VT,060 CT,063,064 CT,070 NJ,090,100 NY,"
    "150 PA,197 DE,200 DC,201 VA,202 DC,206 MD,220 VA,247 WV,269,270 NC,290 SC,300 GA,320 FL,340,341 FL,350 AL,370 TN,"
    "386 MS,398 GA,400 KY,428,430 OH,460 IN,480 MI,500 IA,529,530 WI,550 MN,568,570 SD,578,580 ND,589,590 MT,600 IL,"
    "630 MO,659,660 KS,680 NE,694,700 LA,716 AR,730 OK,733 TX,734 OK,750 TX,800 CO,817,820 WY,832 ID,834,835 ID,839,"
    "840 UT,848,850 AZ,866,870 NM,885 TX,886,889 NV,899,900 CA,962,967 HI,969,970 OR,980 WA,995 AK"
)
_BR_PREFIXES = (
    "010 SP,200 RJ,290 ES,300 MG,400 BA,490 SE,500 PE,570 AL,580 PB,590 RN,600 CE,640 PI,650 MA,660 PA,689 AP,690 AM,"
    "693,694 AM,699 AC,700 DF,728,730,738 GO,768,770 TO,780 MT,789,790 MS,800 PR,880 SC,900 RS"
)


def _ranges(text: str) -> tuple[list[int], list[str]]:
    parts = [part.partition(" ") for part in text.split(",")]
    return [int(start) for start, _, _ in parts], [state for _, _, state in parts]


_RANGES = {"US": _ranges(_US_PREFIXES), "BR": _ranges(_BR_PREFIXES)}


def state_of(country: str, prefix: str) -> str | None:
    """The state in which the postal codes with these first three digits lie; None where that is not certain."""
    if country not in _RANGES or not prefix.isdecimal():
        return None
    starts, states = _RANGES[country]
    place = bisect_right(starts, int(prefix)) - 1
    return (states[place] or None) if place >= 0 else None
