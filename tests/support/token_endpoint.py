"""An OAuth token endpoint (client credentials) that signs what it gives, so that a broker can check it."""

import base64
import http.server
import json
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID = "trailhouse-producer"
CLIENT_SECRET = "token hunter2"
TOKEN_SECONDS = 3_600
AUDIENCE, ISSUER = "kafka", "https://issuer.example"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Signer:
    """A key that signs tokens; `jwks` is its public half as brokers read it."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65_537, 2_048)
        numbers = self._key.public_key().public_numbers()
        n, e = (
            _text(each.to_bytes((each.bit_length() + 7) // 8, "big"))
            for each in (numbers.n, numbers.e)
        )
        self.jwks = {
            "keys": [{"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": n, "e": e}]
        }

    def token(self, subject: str, scope: str) -> str:
        """Return a signed token (JWT) for *subject*."""
        now = int(time.time())
        claims = {
            "sub": subject, "aud": AUDIENCE, "iss": ISSUER, "iat": now, "exp": now + TOKEN_SECONDS,
            "scope": scope, "jti": uuid.uuid4().hex,
        }  # fmt: skip
        head = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        signed = ".".join(_text(json.dumps(each).encode()) for each in (head, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_text(signature)}"


@contextmanager
def token_endpoint(signer: Signer, redirect: str = "") -> Generator[tuple[str, list[str]]]:
    """Serve tokens at the given address and list each request's scope; or point to *redirect* instead."""
    asked: list[str] = []
    expected = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            scope = parse_qs(body).get("scope", [""])[0]
            asked.append(scope)
            if redirect:
                self.send_response(307)
                self.send_header("Location", redirect)
                self.end_headers()
            elif self.headers.get("Authorization") != expected:
                self._answer(401, {"error": "invalid_client"})
            else:
                token = signer.token(CLIENT_ID, scope)
                self._answer(
                    200,
                    {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS},
                )

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
