"""What coding agents read and write that has no secret in it, and much that looks like one."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import sysconfig
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIECE_CHARACTERS = 4_000

SENTENCES = """
The build used 12345 input tokens and 678 output tokens, 90 of them cached.
max_tokens=4096, prompt_tokens: 1200, completion_tokens: 35, total_tokens: 1235
next_page_token: CAUQAA, page_token=abc, next_token is null, cancellation_token: CancellationToken
secret_name: prod/db/main, key_name = deploy, secretKeyRef: {name: db, key: password}, password_field: pw
The password must have at least 12 characters, one digit and one of !@#$.
Reset your password at https://example.com/reset and sign in again.
def get_token(self) -> str: return self._token or os.environ["API_TOKEN"]
api_key = os.getenv("OPENAI_API_KEY")
const token = await getAccessTokenSilently({ audience });
const apiKey = process.env.API_KEY ?? config.get('apiKey');
password: str = Field(..., min_length=12)
if not check_password_hash(user.password_hash, form.password.data): raise AuthError("invalid password")
token_type: bearer, expires_in: 3600, scope: read
Authorization: Bearer <token>
curl -H "Authorization: Bearer $TOKEN" https://api.example.com/v1/me
export GITHUB_TOKEN=${{ secrets.GITHUB_TOKEN }}
helm install x --set auth.existingSecret=my-secret --set auth.secretKeys.adminPasswordKey=admin
INFO token refresh took 35ms, 3 tokens cached, key=user:42:profile
error: authentication failed for user bob: invalid credentials (401)
Fix the author's name in the tokenizer (#1234), refactor keyboard handling, bump monkeypatch
primary key (id), foreign key (user_id) references users(id), unique key uq_email (email)
SELECT token_count, api_key_id, secret_version FROM usage WHERE session_id = 42
https://github.com/acme/risk-engine/blob/main/src/task-runner/disk-usage-monitor.ts#L10-L42
from sklearn.tokenization import sk_test_helper, task_live_view
see PR-1234, JIRA ticket OPS-99181, order 4000123456789, tracking 1Z999AA10123456784
arn:aws:iam::123456789012:role/deploy, projects/my-project-123/locations/eu/keyRings/ring/cryptoKeys/key
image: registry.example.com/app@sha256:{h64}
commit {h40} Merge branch 'feature/token-refresh' into main
index {h7}..{h7} 100644 --- a/auth/password.py +++ b/auth/password.py
request_id={uuid} trace_id={h32} span_id={h16} session_id={uuid}
"integrity": "sha512-{b86}==",
pip install foo==1.2.3 --hash=sha256:{h64}
ETag: "{h32}" Content-MD5: {b22}==
call_{n24} toolu_01{n22} chatcmpl-{n29} msg_01{n22} resp_{h48} run_{n24} file-{n24} thread_{n24} asst_{n24}
cus_{n14} ch_3{n23} price_1{n23} pi_3{n23} evt_1{n23} in_1{n23} prod_{n14} sub_1{n23}
i-0{h16} vpc-0{h16} subnet-0{h16} ami-0{h16} snap-0{h16} vol-0{h16} sg-0{h16}
v0.0.0-20240102150405-{h12} node_modules/.pnpm/@babel+core@7.24.0_{h32}
0x{h40} 0x{h8} {h32}.chunk.js main.{h8}.css {uuid}.png
public key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b43} bob@example.com
"""

OTHERS = """
pod/checkout-7d9f8b6c5d-x2x9q 1/1 Running, replicaset.apps/checkout-7d9f8b6c5d, job.batch/backup-28391040-{l5}
traceparent: 00-{h32}-{h16}-01, x-amzn-trace-id: Root=1-{h8}-{h24}, b3: {h32}-{h16}-1
panic: runtime error at 0x{h12}, goroutine 17 [running]: main.(*Server).serve(0x{h12}, {0x{h8}, 0x{h8}})
docker.io/library/redis:7.2@sha256:{h64}, container {h12}, overlay2/{h64}/merged
self.assertEqual(token.type, TokenType.NAME); self.private_key: Ed25519PrivateKey = key
from oauthlib import BearerToken as BearerToken, OAuth2Token as OAuth2Token
host, port, access_key, secret_key = s3_server['connection']
WaitForTaskToken = "waitForTaskToken"; Cvv: Final = "cvv"
"secretArn": "arn:aws:secretsmanager:us-west-2:123456789012:secret:mysecret-a1b2c3"
START = b"-----BEGIN OPENSSH PRIVATE {word}-----"; END = b"-----END OPENSSH PRIVATE {word}-----"
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
self.with_env("NEO4J_AUTH", f"neo4j/{self.password}")
Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna
Das Passwort wird nie gespeichert; der Schlüssel liegt im Tresor, und die Sitzung endet nach 30 Minuten.
Le mot de passe est obligatoire et le jeton expire au bout de 3600 secondes, voir le chapitre 12.
La contraseña debe tener 12 caracteres y el token de acceso caduca en 24 horas.
パスワードは8文字以上で設定してください。トークンの有効期限は3600秒です。
密码长度至少为8个字符，令牌在24小时后过期。
Пароль должен содержать не менее 12 символов, ключ хранится 30 дней.
비밀번호는 8자 이상이어야 하며 토큰은 24시간 후에 만료됩니다.
Şifre en az 8 karakter olmalı, anahtar İstanbul sunucusunda saklanır.
"""
"""Names of machines and pods, traces, types, members of enumerations, and sentences of other languages."""


def others(seed: int) -> list[str]:
    """Return lines of `OTHERS`; ids and hashes in them are made from *seed*."""
    made = random.Random(seed)  # noqa: S311 - no secret
    return [_filled(line.replace("{word}", "KEY"), made) for line in OTHERS.strip().splitlines()]


def standard_library() -> list[str]:
    """Return pieces of Python's own sources, which name passwords, keys and tokens, and hold none."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    pieces: list[str] = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        pieces += (text[at : at + PIECE_CHARACTERS] for at in range(0, 12_000, PIECE_CHARACTERS))
    return [piece for piece in pieces if piece]


def sentences(seed: int) -> list[str]:
    """Return lines of a coding agent's run; ids and hashes in them are made from *seed*."""
    made = random.Random(seed)  # noqa: S311 - no secret
    return [_filled(line, made) for line in SENTENCES.strip().splitlines()]


def _filled(line: str, made: random.Random) -> str:
    letters = {"h": "0123456789abcdef", "n": string.ascii_letters + string.digits}
    letters["l"] = string.ascii_lowercase + string.digits
    letters["b"] = letters["n"] + "+/"
    for kind, alphabet in letters.items():
        for size in (5, 7, 8, 12, 14, 16, 22, 23, 24, 29, 32, 40, 43, 48, 64, 86):
            while (place := f"{{{kind}{size}}}") in line:
                line = line.replace(place, "".join(made.choices(alphabet, k=size)), 1)
    while "{uuid}" in line:
        line = line.replace("{uuid}", str(uuid.UUID(int=made.getrandbits(128), version=4)), 1)
    return line


def files(seed: int) -> list[str]:
    """Return what tools give to agents whole: images, dumps, lock files, hashes, tables of ids."""
    made = random.Random(seed)  # noqa: S311 - no secret
    image = base64.b64encode(made.randbytes(60_000)).decode()
    wrapped = "\n".join(image[at : at + 76] for at in range(0, 20_000, 76))
    dump = "\n".join(
        f"{at:08x}  {made.randbytes(16).hex(' ')}  |................|" for at in range(0, 4_096, 16)
    )
    hashes = [hashlib.sha256(made.randbytes(8)).hexdigest() for _ in range(200)]
    return [
        f"data:image/png;base64,{image}",
        wrapped,
        base64.urlsafe_b64encode(made.randbytes(40_000)).decode(),
        dump,
        "\n".join(f"{digest}  file-{at}.tar.gz" for at, digest in enumerate(hashes)),
        "\n".join(f"    --hash=sha256:{digest} \\" for digest in hashes),
        "\n".join(f"{digest[:40]} refs/tags/v1.{at}" for at, digest in enumerate(hashes)),
        "\n".join(
            f"{uuid.UUID(int=made.getrandbits(128), version=4)},{made.random():.6f},{made.getrandbits(36)}"
            for _ in range(300)
        ),
        "\n".join(sentences(seed)),
    ]  # fmt: skip


def sources() -> list[str]:
    """Return this project's own sources and documents, in pieces as an agent reads them."""
    pieces: list[str] = []
    for folder in ("producer", "consumer", "schemas", "docs"):
        for file in sorted((ROOT / folder).rglob("*.[pm][yd]")):
            if "redaction" not in str(file.relative_to(ROOT)):
                text = file.read_text(encoding="utf-8")
                pieces += (
                    text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)
                )
    return pieces
