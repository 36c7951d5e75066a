"""A time-stamp authority (RFC 3161) with a root of its own, which OpenSSL plays; and where it is served."""

import base64
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from trailhouse.proof.policy import Authority

_CONFIG = """
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ordering = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class MadeAuthority:
    """A root, the authority's key under it, and answers to requests.

    Attributes:
        root_file: The root, in PEM.
        signer_file: The certificate that signs tokens, in PEM.
        broken: What it answers instead of tokens, where that is not empty.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.root_file = folder / "root.pem"
        self.signer_file = folder / "tsa.pem"
        self.broken = b""
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
        (folder / "extensions").write_text("extendedKeyUsage = critical,timeStamping\n")
        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        self._openssl(
            *new, "-x509", "-days", "2", "-subj", "/CN=root", "-keyout", "root.key", "-out", "root.pem"
        )  # fmt: skip
        self._openssl(*new, "-subj", "/CN=authority", "-keyout", "tsa.key", "-out", "tsa.csr")
        self._openssl(
            "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", "tsa.pem",
        )  # fmt: skip

    def named(self, name: str = "authority", last_anchor: int | None = None) -> Authority:
        """Return it as a policy names it."""
        root = load_pem_x509_certificate(self.root_file.read_bytes()).public_bytes(Encoding.DER)
        return Authority(
            name=name, certificate=base64.b64encode(root).decode(), last_anchor=last_anchor
        )

    def answer(self, request: bytes) -> bytes:
        """Return the answer to *request*."""
        if self.broken:
            return self.broken
        (self._folder / "request").write_bytes(request)
        self._openssl(
            "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "request", "-signer", "tsa.pem",
            "-inkey", "tsa.key", "-out", "answer",
        )  # fmt: skip
        return (self._folder / "answer").read_bytes()

    @contextmanager
    def served(self) -> Generator[str]:
        """Serve it, and yield its URL."""
        authority = self

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
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()
                self.broken = b""

    def _openssl(self, *words: str) -> None:
        subprocess.run(
            ["openssl", *words], cwd=self._folder, check=True, capture_output=True, timeout=60
        )
