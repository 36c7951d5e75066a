"""Time-stamp tokens over anchors, by an authority that OpenSSL plays."""

import datetime as dt
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from made_keys import made_key
from trailhouse.anchoring.anchor_store import StoredAnchor
from trailhouse.anchoring.timestamps import TimestampClient, checked_token, trusted_roots
from trailhouse.proof.anchor import FIRST, Anchor, anchor_name
from trailhouse.proof.keys import note_signed
from trailhouse.schemas.errors import AnchorError, ProofError

_CONFIG = """
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(*words: str, cwd: Path) -> None:
    """Run the program `openssl`."""
    subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True, timeout=60)


class Authority:
    """A root, the authority's key under it, and answers to requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken = b""
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
        (folder / "extensions").write_text("extendedKeyUsage = critical,timeStamping\n")
        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl(
            *new,
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=root",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            cwd=folder,
        )
        openssl(*new, "-subj", "/CN=authority", "-keyout", "tsa.key", "-out", "tsa.csr", cwd=folder)
        openssl(
            "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", "tsa.pem", cwd=folder,
        )  # fmt: skip

    @property
    def roots(self) -> bytes:
        """What an auditor trusts."""
        return (self.folder / "root.pem").read_bytes()

    def answer(self, request: bytes) -> bytes:
        """Return the answer to *request*."""
        if self.broken:
            return self.broken
        (self.folder / "request").write_bytes(request)
        openssl(
            "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "request", "-signer", "tsa.pem",
            "-inkey", "tsa.key", "-out", "answer", cwd=self.folder,
        )  # fmt: skip
        return (self.folder / "answer").read_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    """Return where it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
    authority.broken = b""


def stored(number: int = 1) -> StoredAnchor:
    """Return an anchor."""
    anchor = Anchor(
        log_name="audit.example/agents",
        number=number,
        at_ms=1,
        policy_version=0,
        policy_sha256=FIRST,
        previous_sha256=FIRST if number == 1 else "0" * 64,
        checkpoints=(),
    )
    return StoredAnchor(anchor, note_signed(anchor.text, made_key(1), anchor_name(anchor.log_name)))


def test_a_token_says_when_the_anchor_was_there(authority: Authority, url: str) -> None:
    """It is over the SHA-256 of the file, now, and signed under the root that the auditor trusts."""
    anchor = stored()
    (receipt,) = TimestampClient(url).countersign(anchor).receipts
    assert (receipt.kind, receipt.source) == ("timestamped", url)
    said = checked_token(receipt.receipt, anchor.content.encode(), trusted_roots(authority.roots))
    assert abs(said.at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    assert said.accuracy_seconds == 1


def test_a_token_over_another_file_or_by_a_stranger_is_refused(
    authority: Authority, url: str, tmp_path: Path
) -> None:
    """The next anchor, another authority's root, a flipped byte."""
    anchor = stored()
    (receipt,) = TimestampClient(url).countersign(anchor).receipts
    token, content = receipt.receipt, anchor.content.encode()
    roots = trusted_roots(authority.roots)
    stranger = trusted_roots(Authority(tmp_path).roots)
    flipped = token[:-10] + bytes([token[-10] ^ 1]) + token[-9:]
    for wrong, over, trusted in (
        (token, stored(2).content.encode(), roots),
        (token, content, stranger),
        (flipped, content, roots),
        (b"", content, roots),
        (token[:100], content, roots),
    ):
        with pytest.raises(ProofError):
            checked_token(wrong, over, trusted)


def test_an_authority_that_answers_something_else_is_told(authority: Authority, url: str) -> None:
    """What is no token, one over another request, and one that cannot be reached."""
    client = TimestampClient(url)
    old = authority.answer(_request_for(b"something else"))
    for broken in (b"no token", old):
        authority.broken = broken
        with pytest.raises(AnchorError):
            client.countersign(stored())
    with pytest.raises(AnchorError, match="cannot be reached"):
        TimestampClient("http://127.0.0.1:1").countersign(stored())


def _request_for(content: bytes) -> bytes:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    return (
        TimestampRequestBuilder()
        .data(content)
        .hash_algorithm(HashAlgorithm.SHA256)
        .build()
        .as_bytes()
    )
