"""What is secret by where it stands: in a URL, a header, a key block, a signed link, a token of claims."""

import base64
import binascii
import re
from collections.abc import Iterable

from trailhouse.redaction.assignments import category_of
from trailhouse.redaction.key_names import Named, named
from trailhouse.redaction.matching import Pattern
from trailhouse.redaction.rule import Rule, Span, where
from trailhouse.redaction.secret_values import (
    is_key_material,
    is_placeholder,
    is_secret,
    looks_random,
)

# fmt: off
_B64 = r"[A-Za-z0-9+/=_\-.~]"
_END = r"""[^\s"'`<>\\]"""
_BLOCK_KIND = r"(?:[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?|PGP MESSAGE|OPENVPN STATIC KEY V1|[A-Z ]{0,20}SECRET KEY(?: BLOCK)?)"
# What a key block's lines hold, whatever stands for the ends of the lines.
_BLOCK_BODY = r"""(?:[A-Za-z0-9+/=:,.\-_ \t\r\n]|\\+[nrt]|\\+u000[ad]|\\+\n|%0[AaDd]|&#1[03];|["'`+>|\[\]#*<>/br])*"""
# fmt: on


LEAST_BLOCK_BYTES = 60
_KEY_LINE = re.compile(rb"[A-Za-z0-9+/=]{16}")


def key_blocks(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield each block of a private key from its first line to its last; to where it is cut off, if it is."""
    for found in pattern.finditer(text):
        begin, end = found.span()
        closing = text.find(b"-----END", begin + 11, end)
        if closing >= 0:
            last = text.find(b"-----", closing + 8, closing + 80)
            if last >= 0:
                end = min(end, last + 5)
        # A first line that somebody looks for, or speaks of, and the code around it.
        if end - begin < LEAST_BLOCK_BYTES or not _KEY_LINE.search(text, begin + 20, end):
            continue
        yield Span(begin, end, category)


def _is_password(value: bytes) -> bool:
    return not is_placeholder(value)


def _is_basic(value: bytes) -> bool:
    """Tell whether *value* is what stands behind ``Basic``: user and password in base64."""
    if not looks_random(value) and len(value) < 12:
        return False
    try:
        decoded = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in decoded


def _is_cookie(value: bytes) -> bool:
    return b"=" in value and not is_placeholder(value.partition(b"=")[2])


def named_values(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield group 2 where group 1, which stands in an entry of its own before it, names a secret."""
    for found in pattern.finditer(text):
        kind = named(found.group(1).decode())
        begin, end = found.span(2)
        if kind is not None and is_secret(text[begin:end], kind):
            yield Span(begin, end, category_of(found.group(1).decode()))


def url_parameters(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield group 2 where it looks like a secret, and group 1 is no token that says where a list goes on."""
    for found in pattern.finditer(text):
        begin, end = found.span(2)
        name = found.group(1).decode().rpartition(".")[2]
        is_place = name.lower().endswith("token") and named(name) is None
        if not is_place and looks_random(text[begin:end]):
            yield Span(begin, end, category)


def unknown_keys(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    """Yield group 2, which is key material, where group 1 is the name of a key that is of no table, list or cache."""
    for found in pattern.finditer(text):
        begin, end = found.span(2)
        if named(found.group(1).decode()) is Named.KEY and is_key_material(text[begin:end]):
            yield Span(begin, end, category)


def _is_of_vault(value: bytes) -> bool:
    return is_key_material(value[len(b"s.") :])


_KEY_SIGN = r"""\\*["'`]?[ \t]*(?:=>|:=|[:=]|is\b)[ \t]*\[?[ \t]*\\*["'`]?"""
_VALUED = r"(?i:password|passwd|passphrase|[_-]pass|secret|token|[_-]key|(?:api|access|private|auth)key|credential|pwd)"
_SURE_PARAMETERS = r"sig|signature|hmac|hdnts|hdnea|awsaccesskeyid|ossaccesskeyid|x-(?:amz|goog|oss|cos)-(?:signature|security-token|credential)"
_PARAMETERS = r"[\w.\-]*(?:token|secret|passw(?:or)?d|pwd|api_?key|apikey|jwt|otp|ticket)|code|key|auth|policy|session_?id|sid|pass"

CONTEXT_RULES = (
    Rule(
        "private_key",
        rf"-----BEGIN {_BLOCK_KIND}-----{_BLOCK_BODY}",
        (r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|SECRET KEY|STATIC KEY|PGP MESSAGE)",),
        key_blocks,
    ),
    Rule(
        "private_key",  # the beginning is cut off
        rf"((?:[A-Za-z0-9+/=]{{20,}}(?:\s|\\+[nr]|\\+\n|[\"'+])*)+-----END {_BLOCK_KIND}-----)",
        (r"-----END [A-Z0-9 ]*(?:PRIVATE|SECRET) KEY",),
    ),
    Rule(
        "private_key",
        r"PuTTY-User-Key-File-\d[\s\S]*?Private-Lines: ?\d+((?:\s|\\+[nr])*[A-Za-z0-9+/=\s\\]+)",
        (r"PuTTY-User-Key-File-",),
    ),
    Rule("age_key", r"AGE-SECRET-KEY-1[0-9A-Z]{20,}", (r"AGE-SECRET-KEY-1",)),
    Rule(
        "jwt",
        r"(?:^|[^A-Za-z0-9]|\\[abefnrtv0]|\\u[0-9A-Fa-f]{4}|(?:\\x|%)[0-9A-Fa-f]{2})(ey[A-Za-z0-9_-]{8,}\.(?:\.|[A-Za-z0-9_-]{2,}\.)?[A-Za-z0-9_=-]{6,}(?:\.[A-Za-z0-9_-]*){0,3})",
        (r"ey[JK][A-Za-z0-9_-]{3,}\.", r"ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"),
        where(lambda value: value.startswith((b"eyJ", b"eyA", b"eyI", b"ewo", b"eyB"))),
    ),
    Rule(
        "url_credentials",
        r"[A-Za-z][A-Za-z0-9+.\-]{1,30}:(?:/|\\/|\\u002[fF]|%2[fF]){2}[^\s/?#\"'`<>\\:@]{0,256}(?::|%3[aA])((?:[^\s/?#\"'`<>\\@]|\\u0026){1,512})@",
        (r"(?:/|\\/|%2[fF]|002[fF])[^\s/?#\"'<>@]*(?::|%3[aA])[^\s/?#\"'<>@]*@",),
        where(_is_password),
    ),
    Rule(
        "url_credentials",  # a password with signs that should have been escaped
        r"(?i:postgres(?:ql)?|mysql|mariadb|mongodb|redis|rediss|amqps?|https?|ftp|sftp|smtps?|ldaps?|mssql|oracle|clickhouse|kafka|nats|snowflake|cockroachdb)"
        r"(?:\+[a-z0-9]{1,20})?:\\?/\\?/[^\s/?#\"'`<>\\:@]{0,128}:([^\s\"'`<>\\]{1,256})@[A-Za-z0-9.\-\[\]]{1,253}(?::\d{1,5})?(?:[/?\s\"'`\\,;)]|\z)",
        (r"://[^\s/?#\"'<>@]*:[^\s\"'<>@]+@",),
        where(_is_password),
    ),
    Rule(
        "url_credentials",  # a token in the place of the user
        r"(?i:https?|git|ssh|wss?)(?:\+[a-z]{1,10})?:\\?/\\?/([A-Za-z0-9_.\-~+%]{16,256})@[A-Za-z0-9]",
        (r"/[A-Za-z0-9_.\-~+%]{8,}@[A-Za-z0-9]",),
        where(looks_random),
    ),
    Rule(
        "connection_string",  # a driver's: user:password@tcp(host), user/password@//host
        r"(?:\b[\w.\-]{1,64}:[^\s\"'`@/()]{1,256}@(?:tcp|unix|udp)\(|jdbc:oracle:[a-z]{1,10}:[\w.\-]{1,64}/[^\s\"'@]{1,256}@)",
        (r"@(?:tcp|unix|udp)\(", r"jdbc:oracle:"),
    ),
    Rule(
        "authorization",
        rf"(?:(?i:bearer)[ \t]+|(?:^|[^A-Za-z])(?i:(?:proxy-|x-)?authorization|x?-?auth)\\*[\"']?[ \t]*[:=,][ \t]*\\*[\"']?(?:(?i:token|basic|apikey|api[-_]?(?:key|token)|access[-_]?token|oauth2?|negotiate|splunk|sso-key|key|hmac|jwt|ssws|geniekey|aws4-hmac-sha256|digest)[ \t]+)?)({_B64}{{8,}}(?:[:|]{_B64}+)*)",
        (r"(?i:bearer)\s+[A-Za-z0-9+/=_\-.~]{8,}", r"(?i:authorization|auth)\\*[\"']?\s*[:=,]"),
        where(looks_random),
    ),
    Rule(
        "authorization",
        rf"(?i:basic)[ \t]+({_B64}{{8,}})",
        (r"(?i:basic)\s+[A-Za-z0-9+/=_\-]{8,}",),
        where(_is_basic),
    ),
    Rule(
        "authorization",  # a signed or digested request: the whole of it
        r"(?i:authorization)\\*[\"']?\s*[:=]\s*\\*[\"']?(?i:digest|aws4-hmac-sha256|hmac|oauth|signature|sharedkey(?:lite)?|hawk|mac)[ \t]+([^\r\n\\]{16,})",
        (r"(?i:authorization)\\*[\"']?\s*[:=]",),
    ),
    Rule(
        "cookie",
        r"(?i:(?:set-)?cookie2?)\\*[\"']?\s*(?::|=>|=|,)\s*\\*[\"']?([A-Za-z0-9_.\-%]{1,128}=[^\r\n\"'\\<>]+)",
        (r"(?i:cookie2?)\\*[\"']?\s*(?::|=>|=|,)",),
        where(_is_cookie),
    ),
    Rule(
        "cookie",  # of curl
        r"(?:-b|--cookie)[ =]\\*[\"']?([A-Za-z0-9_.\-%]{1,128}=[^\r\n\"'\\<>\s]{4,})",
        (r"(?:-b|--cookie)[ =]",),
        where(_is_cookie),
    ),
    Rule(
        "signed_url",
        rf"(?:[?&;]|&amp;|\\\\*u0026|%26|%3[fF])(?i:{_SURE_PARAMETERS})(?:=|%3[dD])([A-Za-z0-9%+/=_.~\-]{{8,}})",
        (rf"(?i:{_SURE_PARAMETERS})(?:=|%3[dD])",),
    ),
    Rule(
        "url_parameter",
        rf"(?:[?&;]|&amp;|\\\\*u0026|%26|%3[fF])((?i:{_PARAMETERS}))(?:=|%3[dD])([A-Za-z0-9%+/=_.~:\-]{{8,}})",
        # Not by the last digit of `%26` alone: names would be followed from each `f` of a text on.
        (rf"(?:[?&;]|26|3[fF])(?:amp;)?(?i:{_PARAMETERS})(?:=|%3[dD])",),
        url_parameters,
    ),
    Rule(
        "password",  # of curl and of database clients
        r"(?:^|[\s\"'`])(?:-u|--user|--proxy-user|-U)[ =]{0,3}\\*[\"']?[^\s:\"'\\]{0,128}:([^\s\"'`\\]{1,256})",
        (r"(?:-u|--user|--proxy-user|-U)[ =]{0,3}\\*[\"']?[^\s:\"'\\]*:",),
        where(_is_password),
    ),
    Rule(
        "password",
        r"(?:mysql|mysqldump|mysqladmin|mariadb|sshpass|mongo|mongosh|redis-cli|psql|rsync)\b[^\n]{0,200}?[ \t](?:-p|-a |-p )\\*[\"']?([^\s\"'`\\\-][^\s\"'`\\]{3,128})",
        (r"(?:mysql|mariadb|sshpass|mongo|redis-cli)",),
    ),
    Rule(
        "password",
        r"(?i:identified[ \t]+(?:with[ \t]+\w+[ \t]+)?by|(?:with|encrypted|login)?[ \t]password)[ \t]+\\*['\"]([^'\"\\\s]{3,128})",
        (r"(?i:identified[ \t]+(?:with|by)|password[ \t]+\\*['\"])",),
        where(_is_password),
    ),
    Rule(
        "secret",  # a list of names and values, as of Kubernetes
        r"(?i:name|key|id|k)\\*[\"']?(?:\s|\\n)*[:=](?:\s|\\n)*\\*[\"']?"
        r"((?:[A-Za-z0-9_.\-]{0,60})"
        rf"{_VALUED}[A-Za-z0-9_\-]{{0,20}})"
        r"\\*[\"']?(?:\s|\\n|[,;])*\\*[\"']?(?i:value|val|v)\\*[\"']?(?:\s|\\n)*[:=](?:\s|\\n)*\\*[\"']?([^\s\"'`\\,<>}]{4,})",
        (
            rf"{_VALUED}[A-Za-z0-9_\-]*\\*[\"']?(?:\s|\\+[nrt]|[,;])*\\*[\"']?(?i:value|val|v)\\*[\"']?(?:\s|\\+[nrt])*[:=]",
        ),
        named_values,
    ),
    Rule(
        "key",  # of a vendor that is not in the table
        rf"([A-Za-z][A-Za-z0-9]{{1,40}}(?:[_\-. ](?i:key)|Key)){_KEY_SIGN}([0-9A-Za-z]{{24,128}})(?:[^0-9A-Za-z_\-+/=.]|[.,]?(?:\s|\z))",
        (rf"(?i:key){_KEY_SIGN}[0-9A-Za-z]{{24}}",),
        unknown_keys,
    ),
    Rule(
        "vault_token",  # of HashiCorp Vault before 1.10, bare
        r"(?:^|[^0-9A-Za-z_.]|\\[nrtbf]|\\u[0-9A-Fa-f]{4})(s\.[0-9A-Za-z]{24})(?:[^0-9A-Za-z_(]|\z)",
        (r"s\.[0-9A-Za-z]{24}",),
        where(_is_of_vault),
    ),
)
