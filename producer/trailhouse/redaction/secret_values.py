"""Whether a value that stands behind a secret's name is a secret, or a placeholder, code, a type, a sentence."""

import re

from trailhouse.redaction.key_names import Named
from trailhouse.redaction.key_names import named as name_says
from trailhouse.redaction.phrases import is_phrase

_PLACEHOLDER_WORDS = frozenset(
    b"""
    none null nil undefined true false yes no on off empty unset missing required optional redacted hidden
    masked filtered removed omitted unknown default invalid valid expired changed updated wrong incorrect
    enabled disabled ok error failed granted denied approved accepted rejected pending basic bearer digest
    string str text pass pwd bytes int integer number float bool boolean any object array list dict varchar char
    self secretstr literal field input prompt type value password passwd secret token user username the a an
    your my is to in of for and or not if this that it from with as by at key apikey credentials na
    """.split()
)
_PLACEHOLDER = re.compile(
    rb"""
    [*\xe2\x80\xa2x.\-_#?X]*                                         # hidden already
    | [!-/:-@\[-`{-~]{1,3}                                              # signs alone
    | \$[{(]?[A-Za-z_][^\s]*  | \$\{\{.*                  # a variable
    | \{\{?[^}]*\}?\}?  | <[^>]*>?  | %[({]?[\w]*[)}]?[sdi]?%?  | \[[A-Za-z_ ]*\]?
    | [,;)\]}][ ,;)\]}].*                                               # what follows an empty one in code
    | arn:[a-z-]{3,12}:[a-z0-9-]+:[^\s]*                                 # the name of a resource of AWS
    | [^{}]*\{[A-Za-z_][\w.]*\}[^{}]*                                  # a text that a program fills in
    | (?i:n/a|:memory:|api_key|optional\[.*)
    | (?i:your|my|the|some|example|insert|enter|replace|put|add|set|todo|changeme)[-_ ](?:[a-z0-9]+(?:[-_ ][a-z0-9]+)*[-_ ]?)?
    | (?:~|\.{0,2}|[A-Za-z]:)?[/\\]{1,2}[\w.\-]+(?:[/\\][\w.\-]*)+    # a way to a file
    | (?:os|process|env|config|settings|self|this|secrets|vars|var|data|local|ENV|Env|System|Deno|import)\b[.\[:(].*
    """,
    re.VERBOSE | re.DOTALL,
)
_CODE = re.compile(rb"[A-Za-z_][\w]*(?:(?:\.|::|->|\?\.)[A-Za-z_]\w*)*(?:[(\[{].*)?\Z", re.DOTALL)
"""A name, a way to an attribute, a call."""
_CALL = re.compile(rb"[A-Za-z_][\w.]*(?:\(|\[(?:[A-Za-z_0-9:\]'\"]|\Z))")
_TYPE = re.compile(
    rb"(?:[A-Za-z_]\w*\.){0,4}[A-Z][A-Za-z]*(?:\d{1,5}[A-Za-z]*)?(?:Keys?|Tokens?|Types?|Credentials?|Provider|Client|Config|Error|Params|Info)"
)
"""A type of code, such as ``Ed25519PrivateKey``."""
_NUMBER = re.compile(
    rb"0[xX][0-9A-Fa-f]{1,16}[,;)]?|[-+]?[0-9.,]+(?:[eE][-+]?[0-9]+)?[a-zA-Z%]{0,3}"
)
_NAME = re.compile(rb"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)*")
_NAME_WORDS = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_CAPITAL_OR_SIGN = re.compile(rb"[a-z][A-Z]|[_.:$]|[A-Z]{2}[a-z]|^[A-Z]")
_MEAN_WORD_CHARACTERS = 4
_TOKEN = re.compile(rb"[!-~]+\Z")
_DIGIT, _LETTER = re.compile(rb"[0-9]"), re.compile(rb"[A-Za-z]")
_HEX_KEY = re.compile(rb"[0-9a-f]{32,128}|[0-9A-F]{32,128}")
_MIXED_KEY = re.compile(rb"[0-9A-Za-z]{24,128}")
_LEAST_DIGITS = 2
_SYMBOL = re.compile(rb"[^A-Za-z0-9_.\-\s]")
_OPENING = frozenset((b"(", b"[", b"{", b"<", b"$", b"&", b"|", b"*", b"@", b"%"))
_SIGNS_OF_PASSWORDS = frozenset((b"*", b"@", b"%", b"&", b"|"))
_LEAST_PASSWORD_CHARACTERS = 10
_SMALL_LETTERS = re.compile(rb"[a-z]{12,64}")
_CONSONANTS = re.compile(rb"[b-df-hj-np-tv-xz]{5}")
_CAPITAL_WITHIN = re.compile(rb"[a-z][A-Z]|[A-Z]{2}[a-z]")
_SNAKE = re.compile(rb"[a-z]+(?:[_-][a-z]+)+|[A-Z]+(?:_[A-Z]+)+")
LONGEST_SENTENCE_BLANKS = 4
LONGEST_VALUE_BYTES = 8_192


def is_placeholder(value: bytes) -> bool:
    """Tell whether *value* stands where a secret would: empty, hidden, a variable, the name of a type."""
    if value.isalnum():  # most are, and need no pattern
        return value.lower() in _PLACEHOLDER_WORDS or not value.strip(b"xX")
    return _PLACEHOLDER.fullmatch(value[:200]) is not None


def is_secret(value: bytes, named: Named) -> bool:
    """Tell whether *value*, all that an object's key or a quoted assignment holds, is a secret."""
    if is_placeholder(value):
        return False
    if named is Named.MAYBE:
        return looks_random(value)
    if named is Named.KEY:
        return is_key_material(value)
    blanks = value.count(b" ")
    if blanks >= LONGEST_SENTENCE_BLANKS or (blanks and value.endswith((b".", b"?"))):
        return is_phrase(value)
    return not is_name_of_secret(value)


def is_key_material(value: bytes) -> bool:
    """Tell whether *value* can be little else than a key: 32 hex digits, or 24 letters of both cases and digits, or more."""
    if _HEX_KEY.fullmatch(value) is not None:
        return not value.isdigit() and not value.isalpha()
    return (
        _MIXED_KEY.fullmatch(value) is not None
        and len(_DIGIT.findall(value)) >= _LEAST_DIGITS
        and value.lower() != value != value.upper()
        and not is_name(value)
    )


def is_name_of_secret(value: bytes) -> bool:
    """Tell whether *value* is itself what a secret is called, such as ``AWS_SECRET_ACCESS_KEY``: a mapping of names."""
    return _SNAKE.fullmatch(value) is not None and name_says(value.decode()) is not None


def looks_random(value: bytes) -> bool:
    """Tell whether *value* is more likely a secret than a word, a name or a sentence."""
    if len(value) < 8 or _TOKEN.match(value) is None or is_placeholder(value):
        return False
    core = value.rstrip(b"):,;]}")
    if _NUMBER.fullmatch(core) is not None or is_name(core):
        return False
    if _DIGIT.search(core) is not None:
        return _LETTER.search(core) is not None or len(core) >= 6
    if _SYMBOL.search(core) is not None:
        return _CODE.match(core) is None and not core.startswith((b"/", b"http", b"(", b"[", b"{"))
    return len(core) >= 16 and _CAPITAL_WITHIN.search(core) is not None and b"." not in core


def is_unspeakable(value: bytes) -> bool:
    """Tell whether *value*, small letters alone, is no word of any language: twelve, and five consonants in a row."""
    return _SMALL_LETTERS.fullmatch(value) is not None and _CONSONANTS.search(value) is not None


def _is_password(value: bytes) -> bool:
    """Tell whether *value*, which begins with a sign, goes on as only a password does."""
    return (
        value[:1] in _SIGNS_OF_PASSWORDS
        and len(value) >= _LEAST_PASSWORD_CHARACTERS
        and value[1:2].isalnum()
        and _DIGIT.search(value) is not None
        and _CAPITAL_WITHIN.search(value) is not None
        and not is_name(value[1:])
    )


def is_name(value: bytes) -> bool:
    """Tell whether *value* is a name of code: words of four letters and more, in the mean, run together."""
    if _NAME.fullmatch(value) is None or not _CAPITAL_OR_SIGN.search(value):
        return False
    words = _NAME_WORDS.findall(value)
    return sum(map(len, words)) >= _MEAN_WORD_CHARACTERS * len(words)


def is_type(value: bytes) -> bool:
    """Tell whether *value* is what a type of keys or tokens is called."""
    return _TYPE.fullmatch(value) is not None


def is_bare_secret(value: bytes, named: Named, *, is_alone: bool) -> bool:
    """Tell whether *value*, which stands unquoted behind a name, is a secret and not code or prose.

    Args:
        is_alone: It fills the rest of its line, as in a settings file.
    """
    if len(value) < 4 or is_placeholder(value) or is_type(value):
        return False
    if named is Named.KEY:
        return is_key_material(value)
    if value.isalnum():
        is_code = value[:1].isalpha()
    elif (value[:1] in _OPENING and not _is_password(value)) or _CALL.match(value):
        return False
    else:
        is_code = _CODE.match(value) is not None
    if is_code and not value.isalnum() and _DIGIT.search(value) is None:
        return False
    if named is Named.SECRET and is_alone:
        return not is_code or value.isalnum() or looks_random(value)
    if is_code and _DIGIT.search(value) is None:
        return looks_random(value) or (named is Named.SECRET and is_unspeakable(value))
    return len(value) >= (6 if named is Named.SECRET else 8) and (
        _DIGIT.search(value) is not None or looks_random(value)
    )
