"""Card numbers, and what else says who somebody is: looked for as the settings say."""

import re
from collections.abc import Iterable

from trailhouse.redaction.matching import Pattern
from trailhouse.redaction.rule import Rule, Span, where

_DIGITS = re.compile(rb"\d")
_ISSUERS = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    rb"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}"  # American Express
    rb"|(?:6011\d{2}|64[4-9]\d{3}|65\d{4})\d{10}"  # Discover
    rb"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    rb"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    rb"|62\d{14,17}"  # UnionPay
    rb"|(?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}"  # Maestro
)
_GAPS = re.compile(rb"[ \-]|\Z")
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
_CARD_OPENER = r"(?:^|[^0-9A-Za-z.])[2-6](?:[ \-]?[0-9]){11}"
_GROUPS = re.compile(rb"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}|\d+")


def is_card(number: bytes) -> bool:
    """Tell whether *number*, digits alone, is a card's: of a known issuer, with the check digit of Luhn (ISO/IEC 7812)."""
    if _ISSUERS.fullmatch(number) is None or len(set(number)) < 2:
        return False
    single, doubled = number[-1::-2], number[-2::-2].translate(_DOUBLED)
    return (sum(single) + sum(doubled) - ord("0") * len(number)) % 10 == 0


def _cards(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    for found in pattern.finditer(text):
        begin, end = found.span(1)
        number = text[begin:end].rstrip(b" -")
        if _GROUPS.fullmatch(number) and is_card(number.translate(None, b" -")):
            yield Span(begin, begin + len(number), category)


CARDS = Rule(
    "card",
    r"(?:^|[^0-9A-Za-z.\-]|\\[nrt])((?:[0-9][ \-]?){12,19})(?:[^0-9A-Za-z\-]|\z)",
    (_CARD_OPENER, r"\\[nrt][2-6](?:[ \-]?[0-9]){11}"),
    _cards,
)


def _is_iban(value: bytes) -> bool:
    """Tell whether *value* has the check digits of an IBAN (ISO 13616)."""
    plain = value.translate(None, b" -").upper()
    if not 15 <= len(plain) <= 34:
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(chr(sign), 36)) for sign in turned)) % 97 == 1


def _ibans(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield each IBAN, whatever words stand behind it."""
    for found in pattern.finditer(text):
        begin, end = found.span(1)
        for last in sorted(
            (begin + gap.start() for gap in _GAPS.finditer(text[begin:end])), reverse=True
        ):
            if _is_iban(text[begin:last]):
                yield Span(begin, last, category)
                break


def _is_phone(value: bytes) -> bool:
    return 8 <= len(_DIGITS.findall(value)) <= 15


def _is_ip(value: bytes) -> bool:
    import ipaddress  # lazily: it is off unless a setting asks for it

    try:
        address = ipaddress.ip_address(value.decode())
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


PERSONAL = {
    "email": Rule(
        "email",
        r"((?:[\w.!#$%&'*+/=?^{|}~\-]|[^\x00-\x7F]){1,64}@(?:[A-Za-z0-9]|[^\x00-\x7F])(?:[A-Za-z0-9\-.]|[^\x00-\x7F]){0,250}\.(?:[A-Za-z]|[^\x00-\x7F]){2,24})",
        (r"[^\s@]@[^\s@]",),
    ),
    "phone": Rule(
        "phone",
        r"(?:^|[^\w.\-+])((?:\+|00)[1-9](?:[ .\-/()]{0,2}\d){7,14}|\(?\d{3}\)?[ .\-]\d{3}[ .\-]\d{4}|0\d{1,4}[ \-/]\d{3,4}[ \-]?\d{2,5})(?:[^\w\-]|\z)",
        (r"\d[ .\-/()]{0,2}\d[ .\-/()]{0,2}\d[ .\-/()]{0,2}\d[ .\-/()]{0,2}\d[ .\-/()]{0,2}\d",),
        where(_is_phone),
    ),
    "ip": Rule(
        "ip",
        r"(?:^|[^\w.:])((?:\d{1,3}\.){3}\d{1,3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?:[^\w:]|\z)",
        (r"\d\.\d{1,3}\.\d", r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:"),
        where(_is_ip),
    ),
    "iban": Rule(
        "iban",
        r"(?:^|[^0-9A-Za-z])([A-Za-z]{2}\d{2}(?:[ \-]?[0-9A-Za-z]){11,30})(?:[^0-9A-Za-z]|\z)",
        (r"(?:^|[^0-9A-Za-z]|\\[nrt])[A-Za-z]{2}\d{2}[ \-]?[0-9A-Za-z]",),
        _ibans,
    ),
}
"""What is looked for where the setting `pii` names it."""
