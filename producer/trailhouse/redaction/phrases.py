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
_BEHIND = re.compile(rf"""(?:\s|\\+[nrt]|\*){{0,12}}(?:\\*(["'`]))?({_PHRASE})""".encode())
_NAMES = re.compile(rb"(?i)passphrase|password|passwort|mnemonic|phrase")
_NAMES_OF_PHRASES = re.compile(rb"(?i)passphrase|mnemonic|phrase")
_WITHOUT_SIGN = re.compile(
    rb"""(?i:[\w.\-]*(?:seed|recovery)[ ])?[\w.\-]+\\*["'`]?[)\]}]{0,3}[ \t]*(?:,[ \t]*)?(?:\\*["'`])?"""
)
"""A name and no sign behind it that says that its value comes: a word like any other."""
_GOES_ON = re.compile(rb"[\w(\[]|\.\w")
"""What follows a way to an attribute in code."""
_OF_A_WALLET = 12
"""Words that a wallet's phrase has at least."""
_BLANK, _COMMA, _LINE, _HYPHEN = b" ", b",", b"\n", b"-"
_QUOTES = (b'"', b"'", b"`")


def is_phrase(value: bytes) -> bool:
    """Tell whether *value*, all that stands behind a secret's name, is a phrase of words and not a sentence."""
    return _WHOLE.fullmatch(value) is not None and _OF_SENTENCES.isdisjoint(_WORD.findall(value))


def phrase_behind(text: bytes, begin: int, end: int) -> tuple[int, int] | None:
    """Return where the phrase begins and ends that stands behind a name and its sign, which *begin* and *end* tell.

    It ends before the first word that is a sentence's; None where that leaves too few, the name is of no phrase, or
    what stands there is more likely prose or code.
    """
    found = _BEHIND.match(text, end)
    if found is None or _NAMES.search(text, begin, end) is None:
        return None
    is_of_phrases = _NAMES_OF_PHRASES.search(text, begin, end) is not None
    last, words = end, 0
    between = b""
    for word in _WORD.finditer(text, found.start(2), found.end(2)):
        if len(word[0]) < _LEAST_LETTERS or word[0] in _OF_SENTENCES:
            break
        if words:
            gap = _kind_of(text[last : word.start()])
            if gap == _LINE and is_of_phrases:
                gap = between if between == _BLANK else _LINE
                if text[word.end() : word.end() + 1] in (
                    b":",
                    b"=",
                ):  # the name of the next setting
                    break
            between = between or gap
            if gap != between:
                break
        last, words = word.end(), words + 1
    if words < LEAST_WORDS:
        return None
    if not (words >= _OF_A_WALLET and is_of_phrases):
        opening = found[1] or text[end - 1 : end]
        is_quoted = opening in _QUOTES and text.startswith(opening, last)
        if not is_quoted and not _is_told(text, (begin, end, last), between):
            return None
    return found.start(2), last


def _kind_of(gap: bytes) -> bytes:
    """Return what stands between two words, without numbers and blanks around it."""
    if b"\n" in gap or b"\\" in gap:
        return _LINE
    return gap.strip(b" \t0123456789)") or _BLANK


def _is_told(text: bytes, places: tuple[int, int, int], between: bytes) -> bool:
    """Tell whether a few words without quotes are told to be a phrase, by a sign or by hyphens, and are no code.

    Args:
        places: Where the name begins, where the words begin, and where they end.
        between: What stands between the words.
    """
    begin, end, last = places
    if between in (_COMMA, _LINE):
        return False
    is_told = between == _HYPHEN or _WITHOUT_SIGN.fullmatch(text, begin, end) is None
    return is_told and _GOES_ON.match(text, last) is None
