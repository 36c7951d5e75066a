"""Places in which a secret stands in what agents read, write and run."""

from __future__ import annotations

import json
from typing import Any

_SECRET, _NAME, _SNAKE, _UPPER, _CAMEL = "@@", "@name", "@snake", "@UPPER", "@camel"

BARE = {
    "end of a sentence": "I have rotated it to @@.",
    "before a comma": "use @@, then restart",
    "in brackets": "the new one (@@) works",
    "in square brackets": "candidates: [@@]",
    "in quotes": 'it says "@@" there',
    "in single quotes": "it says '@@' there",
    "in backticks": "call it with `@@` please",
    "question": "Is it @@? I think so",
    "json": '{"id": 7, "extra": "@@"}',
    "json in json": json.dumps(json.dumps({"extra": "@@", "n": 1})),
    "json in json in json": json.dumps({"a": json.dumps({"b": json.dumps({"extra": "@@"})})}),
    "after an escaped newline": r"first line\n@@\nlast line",
    "after a newline": "first line\n@@\nlast line",
    "environment": "LANG=C\nEXTRA=@@\nHOME=/root",
    "shell export": "export EXTRA=@@ && make",
    "docker option": "docker run --rm -e EXTRA=@@ image:1.2",
    "yaml": "service:\n  extra: @@\n  replicas: 2",
    "kubernetes manifest": "kind: Secret\nstringData:\n  extra: '@@'\ntype: Opaque",
    "terraform": 'resource "x" "y" {\n  extra = "@@"\n}',
    "ini": "[default]\nextra = @@\n",
    "toml": 'extra = "@@"\nport = 80',
    "netrc": "machine api.example.com login bot password @@",
    "curl header": "curl -s -H 'X-Extra: @@' https://api.example.com/v1/items",
    "raw header": "GET /v1 HTTP/1.1\r\nX-Extra: @@\r\nAccept: */*\r\n",
    "url query": "https://api.example.com/v1/items?extra=@@&page=2",
    "encoded url": "next=https%3A%2F%2Fapi.example.com%2F%3Fextra%3D@@%26page%3D2",
    "python": 'client = Client("@@", timeout=3)',
    "javascript": "const client = new Client('@@');",
    "go": "c := api.New(`@@`)\nc.Do()",
    "java": 'String extra = "@@";',
    "ruby": "client = Client.new('@@')",
    "php": '$client = new Client("@@");',
    "bytes": "got b'@@' from the socket",
    "diff": "--- a/x.py\n+++ b/x.py\n-extra = '@@'\n+extra = ''",
    "log line": "2026-01-02T03:04:05Z INFO [worker-1] using @@ for request 17",
    "stack trace": 'Traceback (most recent call last):\n  File "a.py", line 3\nValueError: refused: @@\n',
    "coloured": "\x1b[32m@@\x1b[0m ok",
    "markdown table": "| name | value |\n|---|---|\n| extra | @@ |",
    "csv": "id,extra,note\n1,@@,fine",
    "xml attribute": '<entry name="extra" value="@@"/>',
    "xml element": "<extra>@@</extra>",
    "html entity": "extra=&quot;@@&quot;",
    "chinese": "新的是@@，请保存。",
    "sql": "INSERT INTO t (id, extra) VALUES (1, '@@');",
}
"""Where nothing but its own shape tells that `@@` is a secret."""

NAMED = {
    "environment": "@UPPER_API_KEY=@@\nHOME=/root",
    "environment, exported": 'export @UPPER_TOKEN="@@"',
    "yaml": "@snake_api_key: @@\nport: 80",
    "json": '{"@snake_secret": "@@", "n": 1}',
    "json in json": json.dumps({"a": '{"@snake_api_key": "@@"}'}),
    "json in json in json": json.dumps(json.dumps({"a": json.dumps({"@snake_token": "@@"})})),
    "ini": "@snake_secret = @@\n",
    "toml": '@snake_api_key = "@@"',
    "python": '@snake_token = "@@"',
    "keyword": 'client = Client(@snake_api_key="@@", retries=2)',
    "javascript": "const @camelApiKey = '@@';",
    "go": '@camelToken := "@@"',
    "java": 'private static final String @UPPER_SECRET_KEY = "@@";',
    "ruby": "config[:@snake_api_key] = '@@'",
    "php": "$@snake_token = '@@';",
    "c#": 'var @camelSecret = "@@";',
    "yaml in an escaped text": r"env:\n  @UPPER_API_KEY: @@\n  B: 1",
    "docker option": "docker run -e @UPPER_API_KEY=@@ image",
    "option": "deploy --@snake-token @@ --force",
    "option with a sign": "deploy --@snake-api-key=@@",
    "curl header": "curl -H 'X-@camel-Api-Key: @@' https://api.example.com",
    "url query": "https://api.example.com/?@snake_token=@@&page=2",
    "xml element": "<@camelApiKey>@@</@camelApiKey>",
    "diff": "-@UPPER_TOKEN=@@\n+@UPPER_TOKEN=",
    "log line": "2026-01-02 INFO loaded @snake_api_key=@@ from the file",
    "error": "401 Unauthorized: incorrect @name API key provided: @@.",
    "sentence": "The @name API key is @@.",
    "sentence with a colon": "Here is the @name token: @@ (keep it)",
    "sentence, name behind": "my API key for @name is @@, use it",
    "markdown table": "| @UPPER_API_KEY | @@ |",
}
"""Where a name before `@@` tells that it is a secret."""


def placed(template: str, secret: str, name: str = "") -> str:
    """Return *template* with *secret*, and with *name* in the spelling that the place has."""
    words = name.split("_")
    text = template
    for mark, spelled in (
        (_NAME, " ".join(word.capitalize() for word in words)),
        (_SNAKE, name),
        (_UPPER, name.upper()),
        (_CAMEL, words[0] + "".join(word.capitalize() for word in words[1:])),
    ):
        text = text.replace(mark, spelled)
    return text.replace(_SECRET, secret)


def events(secret: str, name: str = "") -> dict[str, dict[str, Any]]:
    """Return an event's data for every position of a secret; with *name*, for every one beside that name."""
    if not name:
        shaped = {place: {"text": placed(text, secret)} for place, text in BARE.items()}
        return shaped | {
            "key of an object": {"by_id": {secret: 1}},
            "deep in lists": {"rows": [[{"cells": ["a", secret]}]]},
        }
    shaped = {place: {"text": placed(text, secret, name)} for place, text in NAMED.items()}
    return shaped | {
        "key of an object": {f"{name}_api_key": secret},
        "camel key": {"env": {placed("@camelToken", "", name): secret}},
        "upper key": {"env": {f"{name.upper()}_SECRET": secret}},
    }
