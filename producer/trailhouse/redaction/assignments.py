"""What stands behind a secret's name: in settings, code, shells, headers, JSON in JSON, tables, prose."""

import re
from typing import NamedTuple

from trailhouse.redaction.key_names import MAX_KNOWN_NAMES, MAX_NAME_CHARACTERS, Named, named
from trailhouse.redaction.located import LocatedPattern
from trailhouse.redaction.matching import Found, Pattern
from trailhouse.redaction.phrases import phrase_behind
from trailhouse.redaction.rule import DENSE, MAX_MATCHES, Rule, Span
from trailhouse.redaction.secret_values import (
    LONGEST_VALUE_BYTES,
    is_bare_secret,
    is_secret,
    looks_random,
)

_KEYS_OF = (
    "api|access|secret|private|(?:en|de)cryption|sign(?:ing|ature)?|auth[a-z]*|account|master|storage|shared|ssh|deploy|service"
    "|app|application|client|consumer|developer|licen[cs]e|admin|root|server|rsa|aes|des|hmac|crypto|cipher|session|bot"
    "|write|read|ingest|webhook|subscription|management|rest|gpg|pgp|pem|tls|ssl|wallet|vault|unseal|recovery|cert[a-z]*"
    "|partner|merchant|provider|sdk|e?mail|smtp|maps|symmetric|stripe|openai|anthropic|git[a-z]*|azure|aws|gcp|google"
    "|datadog|newrelic|sendgrid|twilio|mailgun|algolia|heroku|rapidapi"
)
WORDS = (
    r"passw|passphrase|passcode|pass\b|pass_|pwd|secret|token(?:[vp.\-0-9]|_[^uctslb]|\b)|(?:access|auth|api|refresh|session)_?tokens"
    r"|creds?\b|credential|_pw\b|auth\b|auth_|authoriz|bearer|cookie|jwt|(?:\b|_|t)otp\b|(?:\b|_|card.?)cv[vc]2?\b|(?:\b|_)(?:dsn|pin)\b"
    r"|mnemonic|seed.?phrase|conn(?:ection)?.?str|security.?code|recovery.?(?:code|phrase)|backup.?code|verification.?code"
    rf"|senha|motdepasse|(?:{_KEYS_OF})[_\-. ]?keys?\b|(?:{_KEYS_OF})_?key[_A-Z0-9]|пароль|密码|密碼|パスワード|비밀번호|contraseña"
)
_NAME = rf"((?:[\w.\-]*)(?i:{WORDS})[\w.\-]*)"
_BLANK = r"(?:[ \t]|\\[tnr]|\\u00(?:20|09|0[aA]))*"
_QUOTE = r"""\\*(?:["'`]|&quot;|&#39;|&#34;|\\*u0022|%22)"""
_TYPED = rf"(?::?{_BLANK}(?:[&\w\[\]<>.|']{{1,40}}(?: [&\w]{{1,20}})?[ \t]+|[A-Z]?[a-z]{{2,6}})=)"
_SIGN = (
    r"(?:</[a-z0-9]{1,8}>(?:[\s:=]|\\[nrt])*(?:</?[a-z0-9]{1,8}[^<>]{0,40}>(?:\s|\\[nrt])*){0,4}|=>|:=|===?|!==?|\|\|=|\?\?=|\?=|\+=|\.=|->|=|::|:|,|\||%3[aAdD]|\\*u003[aAdD]|&#61;|&#58;|≔|：|＝|→"
    r"|(?:is|was|are|equals|as|to|set to|changed to|is now|reads|und|lautet|ist|es|est)\b:?|(?:设置|设定|设|改|更新)?为|是|は)"
)
_REST = (
    rf"({_QUOTE})?\)?\]?\}}?(?:{_BLANK}({_TYPED}|{_SIGN}(?:{_BLANK}{_SIGN})?|[ \t]+|[ \t]*>[\r\n]*){_BLANK})"
    rf"(?:[(\[]{_BLANK})?(?:(?:[rbfu]{{1,2}})?({_QUOTE}))?"
)
ASSIGNED = rf"{_NAME}{_REST}"
"""Groups: the name, a quote behind it, the sign between, the quote before the value, if there is one."""
ASSIGNED_PARTS = rf"([\w.\-]+){_REST}"
"""Reads the groups of what `ASSIGNED` has found: the longest name that the rest goes with is the same without words."""

_BARE = re.compile(rb"""(?:[^\s"'`<>,;\\&)\]}|]|\\/|\\\\u0026|%(?!22))+""")
_LINE = re.compile(rb"""[^\s"'`\\<>]+""")
_OTHER_LANGUAGE = re.compile(rb"[\x80-\xff]")
_LINE_END = re.compile(rb"""[ \t]*(?:\r|\n|\\[nr]|\\?["'`<]|\#|$|\Z)""")
_HIDDEN = re.compile(rb"""\0+(?:[\s"'`,;)\]}\\<&|]|\Z)""")
"""A value that is a marker and nothing else."""
_ARN = re.compile(rb"arn:[a-z-]{3,12}:[^\s\"'`]*\Z")
LONGEST_ARN_BYTES = 160
_OF_OBJECTS = ("self.", "this.", "cls.")
_SNAKE = re.compile(rb"[a-z][a-z0-9]{0,15}(?:_[a-z0-9]{1,16})+")
_NAME_BYTES = re.compile(rb"[\w.\-]*")
_A_WORD = re.compile(WORDS.encode(), re.IGNORECASE)
_GENERIC = re.compile(
    rb"<(?:[A-Z]|(?:string|str|number|bool|boolean|any|unknown|bytes?|char|int|float|object|[ui](?:8|16|32|64))\b)"
)
"""What follows the name of a type that is made of another one, such as ``SecretValue<string>``."""
JUDGED_BYTES = 256
PASSPHRASE = "passphrase"
_LONGEST_SCHEME_BYTES = 40
_ASSIGNING = frozenset((b"=", b":", b":=", b"=>", b"==", "：".encode(), "＝".encode()))
_BACKSLASH, _EQUALS = ord("\\"), ord("=")
_QUOTES = (b'"', b"'", b"`")
_SCHEMES = re.compile(
    rb"(?i:bearer|basic|token|apikey|api[-_]?(?:key|token)|access[-_]?token|digest|negotiate|splunk|key|oauth2?|jwt|ssws|geniekey)[ \t]+"
)
_OPTION = re.compile(rb"(?:^|[\s\"'=(,\[])--?[A-Za-z][\w.\-]*\Z")
_LOGIN = re.compile(rb"(?i:password|passwd|pwd)")


def assigned(pattern: Pattern, text: bytes, category: str) -> list[Span]:
    """Return each value that stands behind a secret's name, if it looks like one and not like code or prose."""
    if not isinstance(pattern, LocatedPattern):
        raise TypeError("a pattern of ours is located")
    found = pattern.locations(text, MAX_MATCHES + 1)
    if len(found) > MAX_MATCHES:
        return [Span(0, len(text), DENSE)]
    spans: list[Span] = []
    after = 0
    for begin, end in found:
        if begin < after or _HIDDEN.match(text, end):
            continue
        if (
            text[end - 1] == _EQUALS
            and (known := known_names.get(text[begin : end - 1])) is not None
        ):
            span = _plainly_assigned(text, begin, end, known)
        else:
            if end - begin > MAX_NAME_CHARACTERS and (begin := _begin_of_name(text, begin)) < 0:
                continue
            span = _value(text, pattern.read(text, begin, end), category)
        if span is None and (phrase := phrase_behind(text, begin, end)) is not None:
            span = Span(*phrase, PASSPHRASE)
        if span is not None:
            after = span.end
            spans.append(span)
    return spans


def _begin_of_name(text: bytes, begin: int) -> int:
    """Return where the end of the name at *begin* begins that still names something; -1 if no word of a secret is in it.

    To read the groups of a match takes some microseconds a byte, and a run of base64 is one name.
    """
    name = _NAME_BYTES.match(text, begin)
    name_end = begin if name is None else name.end()
    last = max(begin, name_end - MAX_NAME_CHARACTERS)
    return last if last == begin or _A_WORD.search(text, last, name_end) else -1


class _Name(NamedTuple):
    """What is known of a name of a secret."""

    text: str
    kind: Named
    category: str


known_names: dict[bytes, _Name] = {}
"""Names that were read before: `NAME=` is most of what settings hold, and needs no reading again."""


def _name_of(spelled: bytes, category: str) -> _Name | None:
    """Return what is known of the name *spelled* so; None where it names no secret."""
    text = spelled.decode(errors="replace")
    kind = named(text.strip(".-_"))
    if kind is None:
        return None
    name = _Name(text, kind, _category_of(text, category))
    if len(known_names) >= MAX_KNOWN_NAMES:
        known_names.clear()
    known_names[spelled] = name
    return name


def _plainly_assigned(text: bytes, begin: int, end: int, name: _Name) -> Span | None:
    """Return the unquoted value behind ``NAME=``, which stands between *begin* and *end*, if it is a secret."""
    if _is_in_arn(text, begin):
        return None
    end = _behind_scheme(text, end, end + _LONGEST_SCHEME_BYTES)
    return _unquoted(text, end, b"=", name)


def _is_in_arn(text: bytes, at: int) -> bool:
    begin = max(0, at - LONGEST_ARN_BYTES)
    return text.find(b"arn:", begin, at) >= 0 and _ARN.search(text, begin, at) is not None


def _value(text: bytes, found: Found, category: str) -> Span | None:
    begin, end = found.span(1)
    named_so = _name_of(text[begin:end], category)
    if named_so is None or _is_in_arn(text, begin):
        return None
    name, kind, _ = named_so
    begin = found.span(0)[1]
    quote: bytes | None = found.group(4)
    sign: bytes = found.group(3).strip(b" \t")
    if not quote and not sign and not _is_after_blank(text, found):
        return None
    if (sign.isalpha() or (quote and not sign)) and name.lower() in _WORDS_OF_SENTENCES:
        return None
    if quote:
        end = _closing(text, begin, quote)
        begin = _behind_scheme(text, begin, end)
        value = text[begin:end]
        is_one = is_secret(value, kind) and not _is_same(name, value)
        if sign == b"," or (not sign and not _is_after_blank(text, found)):
            is_one = is_one and is_bare_secret(value, kind, is_alone=False)
        return Span(begin, end, named_so.category) if is_one and begin < end else None
    begin = _behind_scheme(text, begin, begin + _LONGEST_SCHEME_BYTES)
    if sign == b">" and text[begin - 1 : begin] in (b" ", b"\t"):  # a comparison, and no tag of XML
        return None
    return _unquoted(text, begin, sign, named_so)


def _unquoted(text: bytes, begin: int, sign: bytes, name: _Name) -> Span | None:
    """Return the unquoted value at *begin*, behind *name* and *sign*, if it is a secret."""
    end, is_one = _bare(text, begin, sign, name.kind)
    if not is_one or begin >= end:
        return None
    value = text[begin:end]
    if value.isalpha() and (
        _GENERIC.match(text, end) is not None
        or _is_same(name.text, value)
        or (name.text.startswith(_OF_OBJECTS) and not looks_random(value))
    ):
        return None
    return Span(begin, end, name.category)


def _is_same(name: str, value: bytes) -> bool:
    """Tell whether *value* is *name* again: a member of an enumeration."""
    last = name.rpartition(".")[2]
    return value.isalpha() and value.decode().lower() == last.lower().replace("_", "")


_WORDS_OF_SENTENCES = frozenset(("pass", "auth", "cookie", "cookies", "pin"))
"""Names that are words of any text: "to pass to", "auth is"."""


def _bare(text: bytes, begin: int, sign: bytes, kind: Named) -> tuple[int, bool]:
    """Return where the unquoted value at *begin* ends, and whether it is a secret."""
    end, is_alone = _bare_end(text, begin)
    if sign[:1] >= b"\x80":  # of a language without blanks: the sentence goes on behind the value
        other = _OTHER_LANGUAGE.search(text, begin, end)
        end = end if other is None else other.start()
    value = text[begin:end]
    is_alone = not sign or sign == b">" or (is_alone and sign in _ASSIGNING)
    is_one = is_bare_secret(value, kind, is_alone=is_alone)
    if sign == b",":  # in a list it is one only if it could be nothing else
        is_one = (
            is_one
            and looks_random(value)
            and b"=" not in value.rstrip(b"=")
            and not _SNAKE.fullmatch(value)
        )
    if (
        is_one and len(value) == JUDGED_BYTES
    ):  # only now: what is refused must not be read to its end each time
        end = _run_end(text, begin)
    return end, is_one


def _is_after_blank(text: bytes, found: Found) -> bool:
    """Tell whether the name is one behind which a blank is enough: an option, a word of `.netrc` or of SQL."""
    begin, end = found.span(1)
    before = text[max(0, begin - 40) : end]
    if _OPTION.search(before):
        return True
    if _LOGIN.fullmatch(text[begin:end]) and re.search(
        rb"(?i)(?:login|user|account)\s+\S+\s+\w+\Z", before
    ):
        return True
    return (
        re.search(
            rb"(?i)(?:^|\n|\\n|[\"'`]|\s)(?:env|arg|setenv|setx|set|export)(?:[ \t]+--?\w+)*[ \t]+[\w.\-]+\Z",
            before,
        )
        is not None
    )


def _closing(text: bytes, begin: int, quote: bytes) -> int:
    """Return where the value ends that *quote* opens: before the same quote, or where its line or the text ends."""
    last = begin + LONGEST_VALUE_BYTES
    end = text.find(quote, begin, last)
    while end > begin and quote in _QUOTES and _is_escaped(text, begin, end):
        end = text.find(quote, end + 1, last)  # an escaped one belongs to the value
    line_end = text.find(b"\n", begin, last if end < 0 else end)
    if line_end >= 0:
        return line_end
    return _run_end(text, begin) if end < 0 else end


def _is_escaped(text: bytes, begin: int, quote_at: int) -> bool:
    at = quote_at
    while at > begin and text[at - 1] == _BACKSLASH:
        at -= 1
    return (quote_at - at) % 2 == 1


def _run_end(text: bytes, begin: int) -> int:
    run = _LINE.match(text, begin)
    return begin if run is None else run.end()


def _bare_end(text: bytes, begin: int) -> tuple[int, bool]:
    """Return where an unquoted value ends, and whether nothing else stands in its line."""
    judged = _LINE.match(text, begin, begin + JUDGED_BYTES)
    if judged is None:
        return begin, False
    is_long = judged.end() == begin + JUDGED_BYTES
    if (is_long or _LINE_END.match(text, judged.end())) and b"&" not in judged.group():
        return _without_last(text, begin, judged.end(), b",;:)]}."), True
    bare = _BARE.match(text, begin, begin + JUDGED_BYTES)
    if bare is None:
        return begin, False
    end = _without_last(text, begin, bare.end(), b".:?!")
    return end, _LINE_END.match(text, end) is not None


def _without_last(text: bytes, begin: int, end: int, signs: bytes) -> int:
    while end > begin and text[end - 1] in signs:
        end -= 1
    return end


def _behind_scheme(text: bytes, begin: int, end: int) -> int:
    scheme = _SCHEMES.match(text, begin, end)
    return begin if scheme is None else scheme.end()


def _category_of(name: str, category: str) -> str:
    lower = name.lower()
    for word, said in _CATEGORIES:
        if word in lower:
            return said
    return category


_CATEGORIES = (
    ("pass", "password"), ("pwd", "password"), ("cookie", "cookie"), ("authorization", "authorization"),
    ("token", "token"), ("key", "key"), ("cv", "card_code"),
)  # fmt: skip


def category_of(name: str) -> str:
    """Return the category of what a key of an object with that *name* holds."""
    return _category_of(name, "secret")


_OPENERS = (
    rf"(?i:{WORDS})[\w.\-]*(?:\\*[\"'`)\]}}]|</|[ \t]*(?:[=:|,>?!+]|->|≔|：|＝|→|设|改|更新|为|是|は)|%|\\|&"
    rf"|[ \t]+(?:is|was|are|equals|as|to|set|changed|reads|und|lautet|ist|es|est|\\*[\"'`])|[ \t]+[&\w'\[\]<>.|]+[ \t]*=)",
    rf"--?[\w.\-]*(?i:{WORDS})[\w.\-]*[ \t=]",
    r"(?i:login|user|account)(?:[ \t]|\\[nrt])+[^ ]+(?:[ \t]|\\[nrt])+(?i:password|passwd|pwd)[ \t]",
    rf"(?i:env|arg|setenv|setx|set|export)[ \t]+(?:--?\w+[ \t]+)*[\w.\-]*(?i:{WORDS})[\w.\-]*[ \t]",
)
ASSIGNMENTS = (Rule("secret", ASSIGNED, _OPENERS, assigned, parts=ASSIGNED_PARTS, is_settled=True),)
