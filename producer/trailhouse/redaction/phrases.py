"""Phrases of plain words that open something, such as a wallet or a key: told from sentences by their words. Pure."""

import re

LEAST_WORDS = 4
"""Fewer are a name, a title, an answer."""
_OF_SENTENCES = frozenset(
    b"""
    the and for are but not you your yours all any can has had have her was our out his how its may new now old see two way
    who did let put say she too use used uses must will would could should shall might that this these those with from they
    them then than there here when where which while what whom whose been being were into onto over under about after
    before again between both each every few more most other some such only own same very just also because until unless
    does done doing make makes made need needs needed please keep kept set sets get gets got change changed changes enter
    entered enters type typed reset resets forgot forgotten expire expires expired required requires require requirement
    invalid incorrect wrong missing empty unknown weak strong short long minimum maximum length character
    characters letter letters digit digits number numbers symbol symbols uppercase lowercase word words phrase password
    passwords passphrase field value string protected stored saved encrypted hashed hidden managed generated provided
    given shown sent never always cannot
    """.split()
)
"""Words that sentences about a password have, and hardly any phrase that was drawn from a list."""
_WORD = re.compile(rb"[a-z]+")
_LEAST_LETTERS = 3
_NUMBERED = r"(?:\d{1,2}[.)][ \t]?)?"
_GAP = r"(?:[ \t]{0,8},[ \t]{0,8}|[ \t]{1,8}|[ \t]{0,8}(?:\r?\n|(?:\\+r)?\\+n)[ \t]{0,8}|[\-_.])"
_PHRASE = rf"{_NUMBERED}[a-z]{{3,12}}(?:{_GAP}{_NUMBERED}[a-z]{{3,12}}){{3,23}}"
_WHOLE = re.compile(_PHRASE.encode())
_BEHIND = re.compile(rf"""(?:\s|\\+[nrt]){{0,4}}(?:\\*["'`])?({_PHRASE})""".encode())
_NAMES = re.compile(rb"(?i)passphrase|password|passwort|mnemonic|phrase")


def is_phrase(value: bytes) -> bool:
    """Tell whether *value*, all that stands behind a secret's name, is a phrase of words and not a sentence."""
    return _WHOLE.fullmatch(value) is not None and _OF_SENTENCES.isdisjoint(_WORD.findall(value))


def phrase_behind(text: bytes, begin: int, end: int) -> tuple[int, int] | None:
    """Return where the phrase begins and ends that stands behind a name and its sign, which *begin* and *end* tell.

    It ends before the first word that is a sentence's; None where that leaves too few, or the name is of no phrase.
    """
    found = _BEHIND.match(text, end)
    if found is None or _NAMES.search(text, begin, end) is None:
        return None
    last, words = end, 0
    for word in _WORD.finditer(text, found.start(1), found.end(1)):
        if len(word[0]) < _LEAST_LETTERS or word[0] in _OF_SENTENCES:
            break
        last, words = word.end(), words + 1
    return (found.start(1), last) if words >= LEAST_WORDS else None
