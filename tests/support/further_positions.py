"""Places in which agents meet secrets, other than those of `secret_positions`: `@@` the secret, `@V` its variable."""

from __future__ import annotations

import json
from typing import Any

COLUMNS = 64
FURTHER_BARE = {
    "prose, full stop": "The old key is still live: @@. Please revoke it.",
    "prose, bracket": "We found one (see @@) in the repository.",
    "prose, ideographic comma": "请使用新的密钥@@，旧的已经失效。",
    "prose, ideographic stop": "キーは@@。次に進みます。",
    "prose, semicolon": "Rotate @@; then deploy.",
    "prose, ellipsis": "It starts a session with @@…",
    "prose, dash": "the value – @@ – is in the log",
    "prose, possessive": "@@'s quota is used up",
    "bold": "Use **@@** as the credential.",
    "list of markdown": "- first\n- @@\n- last",
    "quoted mail": "> > here it is: @@\n> thanks",
    "json in json in json": json.dumps([json.dumps([json.dumps(["@@"])])]),
    "json with unicode escapes": '{"v":"\\u0022@@\\u0022"}',
    "tool call": json.dumps({"name": "http", "arguments": json.dumps({"h": {"x-id": "@@"}})}),
    "yaml, list": "items:\n  - @@\n  - b",
    "yaml, flow": "items: {a: @@, b: 2}",
    "env file with a comment": "VALUE=@@ # do not commit",
    "fish": "set -gx VALUE @@; and make",
    "powershell": '$env:VALUE = "@@"; ./run.ps1',
    "heredoc": "cat <<'EOF'\n@@\nEOF",
    "here string": "login --stdin <<< @@",
    "pipe": "echo @@ | login --stdin",
    "url path": "https://example.com/hooks/@@/run",
    "url query, last": "https://example.com/cb?state=ok&value=@@",
    "url fragment": "https://example.com/#value=@@&t=1",
    "header of http": "x-custom-header: @@\r\nhost: example.com",
    "header of a dict": "headers = {'X-Custom': '@@', 'Accept': '*/*'}",
    "curl data": 'curl -d \'{"value":"@@"}\' https://example.com',
    "typescript": "export const client = createClient({ value: '@@' });",
    "go struct": 'cfg := Config{Value: "@@", Retries: 3}',
    "rust": 'let c = Client::new("@@").unwrap();',
    "kotlin": 'val value = "@@" // prod',
    "swift": 'let client = Client(value: "@@")',
    "c": '#define VALUE "@@"\n',
    "sql, comment": "SELECT 1; -- @@",
    "xml": '<add key="Value" value="@@" />',
    "plist": "<key>Value</key><string>@@</string>",
    "html": '<input type="hidden" value="@@">',
    "diff, removed": "@\n-  value: @@\n+  value: ${VALUE}\n",
    "repr": "Client(value='@@', timeout=3.0)",
    "traceback": "    raise E(f'refused {x}')\nE: refused @@",
    "log in json": '{"level":"info","msg":"using @@","ts":1}',
    "tabs": "a\t@@\tb",
    "coloured": "\x1b[1;33m@@\x1b[0m",
}

FURTHER_NAMED = {
    "environment": "@V=@@\n",
    "environment, quoted": '@V="@@"\n',
    "export": "export @V=@@ && make",
    "powershell": '$env:@V = "@@"',
    "fish": "set -x @V @@",
    "cmd": "set @V=@@\r\n",
    "dockerfile": "ENV @V=@@\n",
    "compose": "environment:\n  - @V=@@\n",
    "yaml": "env:\n  @V: @@\n  B: 1",
    "yaml, quoted": "env:\n  @V: '@@'\n",
    "json": '{"@V": "@@", "n": 1}',
    "json in json": json.dumps({"env": '{"@V":"@@"}'}),
    "json in json in json": json.dumps(json.dumps({"e": json.dumps({"@V": "@@"})})),
    "tool result": '{"stdout": "@V=@@\\nHOME=/root\\n"}',
    "python": 'os.environ["@V"] = "@@"',
    "javascript": "process.env.@V = '@@';",
    "ruby": "ENV['@V'] = '@@'",
    "go": 'os.Setenv("@V", "@@")',
    "php": "putenv('@V=@@');",
    "github actions": "env:\n  @V: @@\n",
    "kubernetes": "- name: @V\n  value: '@@'",
    "terraform": '@V = "@@"',
    "diff": "+@V=@@\n-@V=\n",
    "log line": "INFO env @V=@@ loaded",
    "sentence": "Set @V to @@.",
    "sentence, chinese": "请把 @V 设置为 @@，然后重启。",
    "table": "| @V | @@ |",
    "properties": "@V: @@",
    "heroku": "heroku config:set @V=@@ -a app",
    "docker": "docker run -e @V=@@ img",
}


def further_events(secret: str, text: str, variable: str) -> dict[str, dict[str, Any]]:
    """Return events in which *text*, with *secret* in it, stands; behind *variable* if there is one."""
    places = FURTHER_NAMED if variable else FURTHER_BARE
    made: dict[str, dict[str, Any]] = {
        place: {"text": shown.replace("@V", variable).replace("@@", text)}
        for place, shown in places.items()
    }
    if variable:
        return made | {"key of an object": {"env": {variable: secret}}}
    if text == secret:
        pieces = (text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS))
        made["broken into lines"] = {"text": "\n".join(("here it is:", *pieces, "and go on"))}
    return made
