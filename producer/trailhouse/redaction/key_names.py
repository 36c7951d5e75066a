"""Names of what is secret, in any spelling: a key of an object, a variable, a header, an option."""

import re
from enum import Enum

MAX_NAME_CHARACTERS = 100
MAX_KNOWN_NAMES = 4_096


class Named(Enum):
    """What a name says of its value."""

    SECRET = "secret"
    """Whatever it is, it is secret."""
    MAYBE = "maybe"
    """It is if it looks like it: `token` may be a word of a text, and `authorization` an answer."""
    KEY = "key"
    """It is if it can be little else than a key: `acme_key` is a vendor's, or that of a row nobody has heard of."""


_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def _words(text: str, ending: str = "") -> tuple[str, ...]:
    return tuple(word + ending for word in text.split())


_TRAILING = frozenset(_words("""
    old new value val text str string raw plain plaintext base64 b64 encoded hex env default current previous backup prod
    production dev development staging stage test testing live sandbox confirmation confirm again repeat hash hashed
    encrypted enc v"""))  # fmt: skip
"""Words behind a name that leave it a secret's: `password_hash`, `API_KEY_PROD`, `secretValue`."""
_ENDINGS = (
    *_words("""
    password passwd passwort passphrase passcode userpwd dbpwd secret credential connectionstring connstring connstr dsn
    seedphrase mnemonic recoveryphrase securitycode recoverycode backupcode verificationcode pincode motdepasse senha secretkeybase codeverifier keydata"""),
    *_words("""
    api access secret private encryption decryption signing auth account master shared ssh deploy secretaccess crypto
    cipher symmetric hmac unseal recovery wallet management rest webhook subscription rapidapi""", "key"),
    *_words("db user mysql postgres redis smtp mail ftp ssh admin root proxy login ldap", "pass"),
)  # fmt: skip
_LIKELY_ENDINGS = _words("""
    service app application client consumer developer license licence admin root server rsa aes des gpg pgp pem tls ssl
    bot write read ingest authentication authorization cert certificate partner merchant provider sdk mail smtp maps
    vault signature stripe openai anthropic github gitlab azure aws gcp google datadog newrelic sendgrid twilio mailgun
    algolia heroku session""", "key")  # fmt: skip
_FOREIGN = ("contraseña", "пароль", "密码", "密碼", "パスワード", "비밀번호")
_ALONE = frozenset(_words("pwd psw otp totp cvv cvv2 cvc cvc2 passkey kennwort"))
_MAYBE = frozenset(_words("""
    token auth authorization proxyauthorization bearer jwt cookie cookies setcookie credentials creds cred xauth
    wwwauthorization secrets passwords tokens pass pin pw"""))  # fmt: skip
_LAST_WORDS = frozenset(
    _words(
        "pass pwd pw pin auth jwt otp totp cvv cvc creds credentials cookie authorization bearer"
    )
)
_TOKENS_OF_OTHERS = _words("""
    next page nextpage continuation continue sync cursor pagination max min maximum minimum eos bos pad padding unk sep cls
    mask stop special per first last begin end start previous prev lookahead input output prompt completion cached total
    reasoning generated text sub word peek current each every any no num number million thousand change resume position
    scroll iterator skip delta idempotency cancellation""", "token")  # fmt: skip
"""Tokens of a text, and tokens that say where a list goes on."""
_SECRET_TOKENS = _words("access refresh auth api bearer session personalaccess device id", "tokens")

_KEYS_OF_DATA = frozenset(_words("""
    the a an my your his her its our their this that which each every any one no same other default first last next prev
    previous public pub host cache primary partition foreign row sort range hash shard sharding object idempotency idempotent
    dedup dedupe deduplication lookup unique composite natural surrogate candidate business order item record document doc
    file content image asset blob media translation message i18n locale config configuration setting feature flag arrow enter
    escape esc tab hot short function shift control ctrl alt index map dict dictionary json yaml xml group grouping routing
    event trace span job task queue topic kafka redis memcache storage s3 bucket upload download path folder directory route
    url uri query search filter facet field column table entity user customer product project issue ticket epic request
    response result state store context cursor page cluster node region zone tenant org organization team space correlation
    conversation thread answer question checksum digest fingerprint etag commit build artifact package dependency lock
    version revision release branch tree parent child type class kind category label tag metric dimension time date
    timestamp day month year number num count size sequence seq position min max entry data value name id ids guid uuid
    join merge match distinct clustering bucketing affinity rate limit limiter throttle debounce memo memoization
    attribute property prop header param parameter arg env variable variant option quick major minor low high
    reference ref external internal source target origin destination batch run step chunk block segment stream
    verification verify verifying validation ed25519 ecdsa secp256k1 known piano house car"""))  # fmt: skip
"""Words before `key` that say whose it is: of a table, a list, a cache, a keyboard, and what anybody may know."""

_NO_NAME = re.compile(r"[<>{}=\"'\n]")
"""Signs of a key that is a text, and no name."""
_known: dict[str, Named | None] = {}


def named(name: str) -> Named | None:
    """Return what *name* says of its value; None: nothing."""
    try:
        return _known[name]
    except KeyError:
        pass
    if len(name) > MAX_NAME_CHARACTERS or _NO_NAME.search(name):
        return None
    found = _judge(name)
    if (
        len(_known) >= MAX_KNOWN_NAMES
    ):  # names come out of events: somebody may make one up each time
        _known.clear()
    _known[name] = found
    return found


def _judge(name: str) -> Named | None:
    words = [word.lower() for word in _WORDS.findall(name)]
    if "".join(words).endswith(_ENDINGS):
        return Named.SECRET
    while len(words) > 1 and (words[-1] in _TRAILING or words[-1].isdigit()):
        words.pop()
    if name.lower().endswith(_FOREIGN):
        return Named.SECRET
    if not words:
        return None
    joined = "".join(words)
    if joined in _ALONE or joined.endswith(_ENDINGS):
        return Named.SECRET
    if joined in _MAYBE:
        return Named.MAYBE
    if joined.endswith("token"):
        return None if _is_of_others(words) else Named.SECRET
    if joined.endswith(_SECRET_TOKENS):
        return Named.SECRET
    if words[-1] in _LAST_WORDS or joined.endswith(_LIKELY_ENDINGS):
        return Named.MAYBE
    if len(words) < 2 or words[-1] != "key" or words[-2] in _KEYS_OF_DATA or words[-2].isdigit():
        return None
    return Named.KEY


def _is_of_others(words: list[str]) -> bool:
    """Tell whether *words*, which end in token, name one of a text or of a list: `serper_token` is not `per token`."""
    if len(words) == 1:
        return words[0].endswith(_TOKENS_OF_OTHERS)
    return any("".join(words[-count:]) in _TOKENS_OF_OTHERS for count in (2, 3))
