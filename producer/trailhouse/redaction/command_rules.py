"""What programs, calls and manifests are given as secrets, and what sentences call one."""

import re
from collections.abc import Iterable

from trailhouse.redaction.assignments import category_of
from trailhouse.redaction.key_names import named
from trailhouse.redaction.matching import Pattern
from trailhouse.redaction.rule import Rule, Span, where
from trailhouse.redaction.secret_values import is_placeholder, looks_random

_CONSTANT = re.compile(rb"[A-Z][A-Z0-9_]*")
_ENTRY = re.compile(rb"""^([ \t]+)[\w.\-/"']+:[ \t]*(?:[|>][+\-0-9]*[ \t]*)?(.*)$""", re.MULTILINE)
_DATA = re.compile(rb"""^([ \t]*)(?:stringData|data):[ \t]*$""", re.MULTILINE)
_OTHER_DOCUMENT = re.compile(rb"^---", re.MULTILINE)


def _is_given(value: bytes) -> bool:
    return not is_placeholder(value)


def _is_random(value: bytes) -> bool:
    return looks_random(value) and _CONSTANT.fullmatch(value) is None


def _is_key(value: bytes) -> bool:
    return _is_random(value) and b"=" not in value.rstrip(b"=")


def _calls(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield group 2, what a call is given, where group 1 names a secret."""
    for found in pattern.finditer(text):
        name = found.group(1).decode(errors="replace")
        begin, end = found.span(2)
        if named(name) is not None and _is_random(text[begin:end]):
            yield Span(begin, end, category_of(name))


def _manifest(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield each value under `data` and `stringData` of a Kubernetes Secret in YAML."""
    for found in pattern.finditer(text):
        at = found.span()[0]
        last = _OTHER_DOCUMENT.search(text, at)
        first = text.rfind(b"\n---", 0, at) + 1
        end = last.start() if last else len(text)
        for data in _DATA.finditer(text, first, end):
            yield from _entries(text, data.end(), end, len(data[1]), category)


def _entries(text: bytes, begin: int, end: int, indent: int, category: str) -> Iterable[Span]:
    at = begin + 1
    while at < end:
        line_end = text.find(b"\n", at, end)
        line_end = end if line_end < 0 else line_end
        line = text[at:line_end]
        stripped = line.lstrip(b" \t")
        if stripped and len(line) - len(stripped) <= indent:
            return
        entry = _ENTRY.match(line)
        value_at = at + (entry.start(2) if entry else len(line) - len(stripped))
        value = text[value_at:line_end].strip(b" \t\r\"'")
        if value and not is_placeholder(value):
            value_at = text.index(value, value_at)
            yield Span(value_at, value_at + len(value), category)
        at = line_end + 1


def _four_words(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield the group that has a part in the match."""
    for found in pattern.finditer(text):
        begin, end = max(found.span(1), found.span(2))
        yield Span(begin, end, category)


_VALUE = r"""\\*["']?([^\s"'`\\<>|]{4,256})"""
_SECRET_NAMED = r"(?i:password|passwd|passphrase|pwd|secret|token|api_?key|private_?key|credential)"
_NUMBER_WORDS = (
    r"(?i:verification|security|login|sign-?in|authentication|one[- ]time|otp|2fa|mfa|sms)"
)
_STRONG_WORDS = r"(?i:(?:api|access|secret|private|encryption|signing|master)[ _-]key|(?:api|access|auth|bearer|refresh)[ _-]token|client secret|secret)"
_APP_PASSWORD = r"(?i:passw(?:or)?d|_pass|passwd)\\*[\"'\])]*"
_BEFORE_FOUR = r"(?:[ \t]*(?::|,|\||=>)|[ \t]+(?:to|is|设置为)?)[ \t]*"
_FOUR_WORDS = r"[a-z]{4} [a-z]{4} [a-z]{4} [a-z]{4}"

COMMAND_RULES = (
    Rule(
        "password",
        rf"\b(?:docker|podman|buildah|skopeo|nerdctl|helm|oras|crane|az|oc|cf|ibmcloud|twine)\b[^\n|;&]{{0,160}}?[ \t](?:-p|--password|--pass)[ =]{_VALUE}",
        (
            r"(?:docker|podman|buildah|skopeo|nerdctl|helm|oras|crane|az|oc|cf|ibmcloud|twine)[ \t][^\n|;&]*[ \t](?:-p|--pass)",
        ),
        where(_is_random),
    ),
    Rule(
        "password",
        r"(?:echo|printf)[ \t]+(?:-n[ \t]+)?\\*[\"']?([^\s\"'`\\|$]{4,256})\\*[\"']?[ \t]*\|[^\n|]{0,160}(?:--password-stdin|--with-token|--stdin|sudo[ \t]+-S|chpasswd)",
        (r"--password-stdin|--with-token|--stdin|sudo[ \t]+-S|chpasswd",),
        where(_is_given),
    ),
    Rule(
        "password",
        rf"\b(?:ssh-keygen\b[^\n]{{0,120}}?[ \t]-N|openssl\b[^\n]{{0,160}}?[ \t]-k|(?:un)?zip\b[^\n]{{0,80}}?[ \t]-P|net[ \t]+user[ \t]+[\w.\-]+)[ \t]+{_VALUE}",
        (
            r"(?:ssh-keygen|openssl|zip)[ \t][^\n]*[ \t]-[NkP][ \t]",
            r"net[ \t]+user[ \t]+[\w.\-]+[ \t]",
        ),
        where(_is_random),
    ),
    Rule(
        "password",  # htpasswd -b file user …, htpasswd -nb user …
        rf"\bhtpasswd[ \t]+(?:-\w+[ \t]+)*-\w*b\w*[ \t]+(?:-\w+[ \t]+)*(?:[^\s\-|;&]\S{{0,200}}[ \t]+){{1,2}}{_VALUE}",
        (r"htpasswd[ \t]+-",),
        where(_is_given),
    ),
    Rule(
        "password",
        r"(?:pass(?:in|out)?:|-pass[ \t]+pass:)([^\s\"'`\\<>|]{4,256})",
        (r"-pass(?:in|out)?[ \t]+pass:",),
        where(_is_given),
    ),
    Rule(
        "secret",
        rf"create[ \t]+secret\b[^\n]{{0,300}}?--from-literal[ =]\\*[\"']?[\w.\-/]+={_VALUE}",
        (r"--from-literal[ =]",),
        where(_is_given),
    ),
    Rule(
        "secret",
        rf"\bsecrets?[ \t]+(?:set|put|create|add)\b[^\n]{{0,120}}?[ \t](?:--body|-b|--value|--secret-string|--data)[ =]{_VALUE}",
        (
            r"secrets?[ \t]+(?:set|put|create|add)[^\n]*[ \t](?:--body|-b|--value|--secret-string|--data)[ =]",
        ),
        where(_is_random),
    ),
    Rule(
        "token",
        rf":_authToken[ \t]+{_VALUE}",
        (r":_authToken[ \t]",),
        where(_is_random),
    ),
    Rule(
        "password",
        rf"(?i:convertto-securestring)[ \t]+(?i:-string[ \t]+)?{_VALUE}",
        (r"(?i:convertto-securestring)[ \t]",),
        where(_is_given),
    ),
    Rule(
        "secret",  # withPassword("…"), password = String::from("…"), api_key=SecretStr("…")
        rf"((?:[\w.\-]{{0,60}}){_SECRET_NAMED})(?:[ \t]*:?=[ \t]*(?:new[ \t]+)?[\w.:<>&\[\]]{{1,40}})?[ \t]*\([ \t]*\\*[\"'`]([^\s\"'`\\]{{6,256}})\\*[\"'`]",
        (
            rf"{_SECRET_NAMED}(?:[ \t]*:?=[ \t]*(?:new[ \t]+)?[\w.:<>&\[\]]+)?[ \t]*\([ \t]*\\*[\"'`]",
        ),
        _calls,
    ),
    Rule(
        "secret",  # of YAML: a text on the next line, or behind a tag
        rf"((?:[\w.\-]{{0,60}}){_SECRET_NAMED}[\w\-]{{0,20}})\\*[\"']?[ \t]*:[ \t]*(?:[|>][+\-0-9]{{0,2}}[ \t]*(?:\r?\n|\\n)[ \t]+|!!?\w+[ \t]+|&\w+[ \t]+)\\*[\"']?([^\s\"'`\\]{{4,}})",
        (rf"{_SECRET_NAMED}[\w\-]*\\*[\"']?[ \t]*:[ \t]*(?:[|>]|!|&)",),
        _calls,
    ),
    Rule(
        "secret",  # the API key 0123…, the access token `abc…`
        rf"{_STRONG_WORDS}(?:[ \t]+|[ \t]*[:=]?[ \t]*\\*[`\"'(])([A-Za-z0-9+/_=\-]{{20,}})",
        (rf"{_STRONG_WORDS}(?:[ \t]+|[ \t]*[:=]?[ \t]*\\*[`\"'(])[A-Za-z0-9+/_=\-]{{6,}}",),
        where(_is_key),
    ),
    Rule(
        "password",  # the password for bob: …
        r"(?i:password|passphrase|passwd)(?: (?:for|of|to) [\w.@\-]{1,60}(?: [\w.@\-]{1,30})?)(?: is|:| =|=)[ \t]+\\*[\"'`]?([^\s\"'`\\]{6,256})",
        (r"(?i:password|passphrase|passwd) (?:for|of|to) ",),
        where(_is_random),
    ),
    Rule(
        "password",  # Google's passwords for programs: four words of four letters
        rf"{_APP_PASSWORD}(?:[ \t]*=[ \t]*\\*[\"']?({_FOUR_WORDS})|{_BEFORE_FOUR}\\*[\"']?({_FOUR_WORDS})(?:[^0-9A-Za-z ]|[ \t]*(?:[\r\n\\#;&|]|\z)))",
        (rf"{_APP_PASSWORD}(?:[ \t]*=|{_BEFORE_FOUR})[ \t]*\\*[\"']?{_FOUR_WORDS}",),
        _four_words,
    ),
    Rule(
        "code",  # a number that is sent to a telephone
        rf"{_NUMBER_WORDS}[ -]?(?i:code|passcode|pin)(?i: is)?:?[ \t]+\\*[\"'`]?(\d{{4,8}})\b",
        (rf"{_NUMBER_WORDS}[ -]?(?i:code|passcode|pin)(?i: is)?:?[ \t]+\\*[\"'`]?\d",),
    ),
    Rule(
        "session",
        r"(?i:phpsessid|jsessionid|asp\.net_sessionid|laravel_session|aspsessionid[a-z]{8})(?:=|%3[dD]|\\*[\"']?[ \t]*:[ \t]*\\*[\"']?)([\w%.\-]{16,})",
        (r"(?i:phpsessid|jsessionid|asp\.net_sessionid|laravel_session|aspsessionid)",),
    ),
    Rule(
        "kubernetes_secret",
        r"(?m)^[ \t]*kind:[ \t]*[\"']?(?i:secret)[\"']?[ \t\r]*$",
        (r"kind:[ \t]*\\*[\"']?(?i:secret)",),
        _manifest,
    ),
)
