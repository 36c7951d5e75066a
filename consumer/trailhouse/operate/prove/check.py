"""Check a bundle of a Trailhouse log without Trailhouse: ``python check.py bundle.zip --owner FINGERPRINT``.

It needs Python 3.11 or newer and the package `cryptography`, reads one file, writes none, and connects to nothing.
Take it from whom you trust, and not from the bundle that it is to check. docs/proof.md has its rules by number.

Exit code: 0, all that the bundle claims is proven; 1, something contradicts it; 2, something could not be checked.
"""

import argparse
import base64
import datetime as dt
import hashlib
import itertools
import json
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_BUNDLE_BYTES = 1 << 30
MAX_SIZE = 2**63 - 1
MOST_EMPTY_DAYS = 366
NAMES = re.compile(
    r"README\.txt|SHA256SUMS|bundle\.json|bundle\.note|check\.py|events/[0-9]{6}\.(record|tlog-proof)"
    r"|policies/[0-9]{6}\.policy|anchors/[0-9]{9}\.(anchor|[0-9]\.tsr)|manifests/[0-9]{6}\.json"
)

NUMBER, ROOT, HEX = "(0|[1-9][0-9]{0,18})", "([A-Za-z0-9+/]{43}=)", "([0-9a-f]{64})"
ANCHOR_PARTS = {
    "checkpoints": re.compile(f"([^ ]+) {NUMBER} {ROOT}"),
    "manifests": re.compile(f"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} [^ ]+) {NUMBER} {ROOT}"),
    "orders": re.compile(f"{NUMBER} {HEX}"),
    "parts of records": re.compile(f"([^ ]+) {NUMBER} {HEX}"),
}
SIZES = dict[str, int]


class _WrongError(Exception):
    """The bundle contradicts itself, or what it claims."""


def need(holds: object, what: str) -> None:
    """Raise `_WrongError` unless it *holds*."""
    if not holds:
        raise _WrongError(what)


# The archive: a zip file in which nothing is compressed, and which can be written in one way only.


def read_archive(content: bytes) -> dict[str, bytes]:
    """Return the files of an archive by name; whatever is not as it must have been written is refused."""
    files: dict[str, bytes] = {}
    directory, place, last = b"", 0, ""
    while content[place : place + 4] == b"PK\x03\x04":
        need(len(content) >= place + 30, "archive: ends within a header")
        (size,) = struct.unpack_from("<I", content, place + 18)
        (name_size,) = struct.unpack_from("<H", content, place + 26)
        data_at = place + 30 + name_size
        name = content[place + 30 : data_at].decode("latin-1")
        need(NAMES.fullmatch(name), "archive: holds a file that no bundle has")
        need(name > last, "archive: a file is doubled, or not in its place")
        data = content[data_at : data_at + size]
        header, entry = zip_headers(name, data, place)
        need(content[place:data_at] == header, "archive: a file is damaged, or its header")
        files[name], last = data, name
        directory += entry
        place = data_at + size
    end = struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), place, 0
    )
    need(content[place:] == directory + end, "archive: it does not end as its files say")
    return files


def zip_headers(name: str, data: bytes, place: int) -> tuple[bytes, bytes]:
    """Return the header of a file that begins at *place*, and its entry in the directory."""
    raw, size = name.encode(), len(data)
    common = struct.pack("<5H3I2H", 20, 0, 0, 0, 33, zlib.crc32(data), size, size, len(raw), 0)
    tail = struct.pack("<3H2I", 0, 0, 0, 0o100644 << 16, place)
    return b"PK\x03\x04" + common + raw, b"PK\x01\x02\x14\x03" + common + tail + raw


# The forms of what is in it.


def base64_of(text: str, size: int | None = None) -> bytes:
    """Return the bytes of *text*, which must be their one base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise _WrongError("a text is not base64") from None
    need(base64.b64encode(raw).decode() == text, "a text is not the one base64 of its bytes")
    need(
        size is None or len(raw) == size, "something in base64 has not the length that it must have"
    )
    return raw


def number_of(text: str, least: int = 0) -> int:
    """Return the number that *text* is, in the one way to write it."""
    need(re.fullmatch("0|[1-9][0-9]{0,18}", text), "a number is malformed")
    need(least <= int(text) <= MAX_SIZE, "a number is none that can be there")
    return int(text)


def _whole(text: str) -> int | float:
    return int(text) if text != "-0" else -0.0


def _none(text: str) -> Any:
    raise ValueError(text)


def json_of(raw: bytes) -> Any:
    """Return the JSON in UTF-8 that *raw* is; `-0` is not the number 0, and what only Python reads is none."""
    try:
        return json.loads(raw.decode(), parse_int=_whole, parse_constant=_none)
    except (ValueError, RecursionError):
        raise _WrongError("a file is not JSON") from None


def fields_of(value: Any, only: bool = True, **kinds: Any) -> dict[str, Any]:
    """Return *value*, which must be an object that has *kinds* of fields, and no others where these *only* may be."""
    need(isinstance(value, dict) and kinds.keys() <= value.keys(), "an object lacks a field")
    need(not only or kinds.keys() == value.keys(), "an object has a field too much")
    for name, kind in kinds.items():
        need(is_of(value[name], kind), f"the field {name} is malformed")
    return dict(value)


def is_of(value: object, kind: Any) -> bool:
    """Tell whether *value* is of *kind*; a number is whole, and one that a size or an offset can be."""
    if isinstance(kind, tuple):
        return any(is_of(value, each) for each in kind)
    if kind is SIZES:
        return isinstance(value, dict) and all(is_of(each, int) for each in value.values())
    if kind is int:
        return type(value) is int and 0 <= value <= MAX_SIZE
    return type(value) is kind


def key_id(name: str, key: bytes, kind: int) -> bytes:
    """Return the id of a key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]


def is_signed(key: bytes, signature: bytes, content: bytes) -> bool:
    """Tell whether *signature* is that of *key* over *content*."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


class Note:
    """A text and the signatures under it (C2SP signed-note)."""

    def __init__(self, raw: bytes) -> None:
        try:
            content = raw.decode()
        except UnicodeDecodeError:
            raise _WrongError("a note is not UTF-8") from None
        body, found, lines = content.rpartition("\n\n")
        is_plain = all(sign == "\n" or " " <= sign != "\x7f" for sign in set(content))
        need(is_plain and found and lines.endswith("\n"), "a note is malformed")
        self.text = body + "\n"
        self.lines = body.split("\n")
        self.signatures: list[tuple[str, bytes, bytes]] = []
        need(lines.count("\n") <= 100, "a note has too many signatures")
        for line in lines[:-1].split("\n"):
            parts = re.fullmatch(r"\u2014 ([^\s+]+) ([^ ]+)", line)
            need(parts, "a line of signature is malformed")
            raw_signature = base64_of(parts[2] if parts else "")
            need(len(raw_signature) > 4, "a signature is too short")
            self.signatures.append(
                (parts[1] if parts else "", raw_signature[:4], raw_signature[4:])
            )

    def is_by(self, name: str, key: bytes) -> bool:
        """Tell whether *key* has signed under *name*; a false signature of that name and id is an error."""
        wanted = (name, key_id(name, key, 1))
        found = [each for who, given, each in self.signatures if (who, given) == wanted]
        need(
            all(is_signed(key, each, self.text.encode()) for each in found), "a signature is false"
        )
        return bool(found)

    def is_by_one(self, name: str, keys: Iterable[bytes]) -> bool:
        """Tell whether at least one of *keys* has signed under *name*; each that claims to is looked at."""
        return sum(self.is_by(name, key) for key in keys) > 0

    def is_cosigned_by(self, name: str, key: bytes) -> bool:
        """Tell whether the witness *name* has cosigned (C2SP tlog-cosignature)."""
        wanted = (name, key_id(name, key, 4))
        found = [each for who, given, each in self.signatures if (who, given) == wanted]
        for each in found:
            at = int.from_bytes(each[:8], "big")
            signed = f"cosignature/v1\ntime {at}\n{self.text}".encode()
            need(is_signed(key, each[8:], signed), "a cosignature is false")
        return bool(found)


# The tree (RFC 6962).


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of the leaf that holds *data*."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_over(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaves by their hashes."""
    level = list(hashes)
    while len(level) > 1:
        odd = level[-1:] if len(level) & 1 else []
        level = [node_hash(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)] + odd
    return level[0] if level else hashlib.sha256(b"").digest()


def root_by(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that *proof* leads to (RFC 9162, 2.1.3.2)."""
    need(0 <= index < size <= MAX_SIZE, "an index is not below its size")
    place, last, root = index, size - 1, leaf
    for sibling in proof:
        need(last, "a proof is too long")
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        place, last = place >> 1, last >> 1
    need(last == 0, "a proof is too short")
    return root


# What is checked, rule by rule.


class Checkpoint(NamedTuple):
    """What a log has signed, once its signatures are checked."""

    origin: str
    size: int
    root: bytes
    line: str


class Bundle:
    """The files of a bundle, and what was found out."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.proven: list[str] = []
        self.unchecked: list[str] = []
        self.policies: dict[int, tuple[dict[str, Any], str]] = {}
        self.anchor_times: dict[int, int] = {}
        self.anchored_logs: dict[int, set[str]] = {}
        self.anchored: dict[str, int] = {}
        self.said: dict[str, str] = {}
        self.leaves: dict[str, dict[int, bytes]] = {}
        self.checkpoints: dict[bytes, Checkpoint] = {}

    def named(self, folder: str, ending: str) -> list[str]:
        """Return the names of the files of one kind, in order."""
        return [name for name in self.files if name.startswith(folder) and name.endswith(ending)]

    def check_files(self) -> None:
        """1: SHA256SUMS lists each file but itself and the note that signs it."""
        listed = [name for name in self.files if name not in ("SHA256SUMS", "bundle.note")]
        lines = [f"{hashlib.sha256(self.files[name]).hexdigest()}  {name}\n" for name in listed]
        sums = self.files.get("SHA256SUMS", b"")
        need(sums == "".join(lines).encode(), "a file is not as SHA256SUMS has it")
        need({"README.txt", "bundle.json", "check.py"} <= set(listed), "a file is missing")
        self.about = fields_of(
            json_of(self.files["bundle.json"]),
            format=str,
            log_name=str,
            made_at_ms=int,
            owner=str,
            events=list,
            session=(dict, type(None)),
        )
        need(self.about["format"] == "trailhouse-bundle/1", "bundle.json: it is of another form")
        self.log_name: str = self.about["log_name"]

    def check_owner(self, pin: str | None) -> None:
        """2: the owner is the one whose fingerprint the auditor has from elsewhere."""
        self.owner = base64_of(self.about["owner"], 32)
        digest = base64.b64encode(hashlib.sha256(self.owner).digest()).decode().rstrip("=")
        if pin is None:
            self.unchecked.append(f"whether SHA256:{digest} is the owner: pin him by --owner")
        need(pin in (None, f"SHA256:{digest}"), "the owner is not the one that is pinned")

    def check_policies(self) -> None:
        """3: the owner has signed each policy, and each names the one before; the last is in force."""
        before: tuple[int, str] = (0, "")
        for name in self.named("policies/", ".policy"):
            note = Note(self.files[name])
            need(
                note.is_by(f"{self.log_name}/owner", self.owner),
                "a policy is not signed by the owner",
            )
            need(
                len(note.lines) == 2 and note.lines[0] == "trailhouse-policy/1",
                "a policy is malformed",
            )
            policy = policy_of(note.lines[1].encode())
            need(policy["log_name"] == self.log_name, "a policy is that of another log")
            follows = policy["version"] == before[0] + 1 and policy["previous"] == before[1]
            need(
                follows and name == f"policies/{policy['version']:06d}.policy",
                "a policy is missing",
            )
            before = (policy["version"], hashlib.sha256(note.text.encode()).hexdigest())
            self.policies[before[0]] = (policy, before[1])
        need(before[0], "no policy is there")
        self.policy = self.policies[before[0]][0]
        self.proven.append(f"policy {before[0]} is signed by the owner")

    def check_signature(self) -> bool:
        """4: the log itself has signed what the bundle holds; else something may have been taken out of it."""
        if "bundle.note" not in self.files:
            return False
        note, name = Note(self.files["bundle.note"]), f"{self.log_name}/bundle"
        keys = [each for each in self.policy["log_keys"] if not each["is_revoked"]]
        is_by_log = note.is_by_one(name, [base64_of(each["public_key"], 32) for each in keys])
        need(is_by_log, "the bundle is not signed by the log")
        sums = hashlib.sha256(self.files["SHA256SUMS"]).hexdigest()
        need(note.text == f"trailhouse-bundle/1\n{sums}\n", "the log has signed another bundle")
        self.proven.append("the log has signed what the bundle holds")
        return True

    def check_anchors(self) -> None:
        """5: the log has signed each anchor; they follow each other, and do not contradict each other."""
        before: tuple[int, str] = (0, "-")
        for name in self.named("anchors/", ".anchor"):
            note = Note(self.files[name])
            number, previous = self.check_anchor(name, note)
            need((number == 1) == (previous == "-"), "an anchor's number is not its place")
            need(number != before[0] + 1 or previous == before[1], "an anchor follows another one")
            before = number, hashlib.sha256(self.files[name]).hexdigest()
        for name in self.named("anchors/", ".tsr"):
            need(int(name[8:17]) in self.anchor_times, "a token is for an anchor that is not there")

    def check_anchor(self, name: str, note: Note) -> tuple[int, str]:
        """5: one anchor; return its number, and the hash of the one before."""
        lines = note.lines
        need(len(lines) >= 10 and lines[0] == "trailhouse-anchor/1", "an anchor is malformed")
        number, at_ms = number_of(lines[2], 1), number_of(lines[3])
        need(name == f"anchors/{number:09d}.anchor", "an anchor is not of its number")
        need(lines[1] == self.log_name, "an anchor is that of another log")
        keys = [
            base64_of(each["public_key"], 32)
            for each in self.policy["log_keys"]
            if each["last_anchor"] is None or number <= each["last_anchor"]
        ]
        is_by_log = note.is_by_one(f"{self.log_name}/anchor", keys)
        need(is_by_log, "an anchor is not signed by the log")
        need(re.fullmatch(f"{NUMBER} ({HEX}|-)", lines[4]), "an anchor's policy is malformed")
        need(re.fullmatch(f"{HEX}|-", lines[5]), "an anchor's hash of the one before is malformed")
        version, _, policy = lines[4].partition(" ")
        known = self.policies.get(number_of(version))
        need(known is None or known[1] == policy, "an anchor names another policy")
        parts = anchor_parts(lines[6:])
        self.anchor_times[number] = at_ms
        self.anchored_logs[number] = {line.split(" ")[0] for line in parts["checkpoints"]}
        for line in parts["checkpoints"]:
            self.say_once(*line.rsplit(" ", 1))
        for line in parts["manifests"]:
            self.say_once(*line.split(" ", 2)[:2], line)
        for line in [*parts["checkpoints"], *parts["manifests"]]:
            self.anchored.setdefault(line, number)  # the first that has it
        return number, lines[5]

    def say_once(self, *said: str) -> None:
        """5, 6: of one size of a log there is one root, of one of its days one manifest."""
        what = " ".join(said[:-1])
        known = self.said.setdefault(what, said[-1])
        need(known == said[-1], "the log has signed two roots of one size or day")

    def checkpoint_of(self, raw: bytes) -> Checkpoint:
        """6: a checkpoint is signed by a key of the log that counts for it, and by as many witnesses as must be."""
        if raw in self.checkpoints:
            return self.checkpoints[raw]
        note = Note(raw)
        need(len(note.lines) == 3, "a checkpoint is not of three lines")
        origin, size, root = (
            note.lines[0],
            number_of(note.lines[1], 1),
            base64_of(note.lines[2], 32),
        )
        place = origin.removeprefix(self.log_name) if origin.startswith(self.log_name) else ""
        is_ours = re.fullmatch(r"/[^/]+/[^/]+/[0-9]+/[0-9a-f-]+", place)
        need(is_ours, "a checkpoint is that of another log")
        made = Checkpoint(origin, size, root, f"{origin} {size} {note.lines[2]}")
        self.say_once(f"{origin} {size}", note.lines[2])
        anchor = self.anchored.get(made.line)
        signed = note.is_by_one(origin, self.keys_for(origin, size, anchor))
        need(signed, "a checkpoint is not signed by a key that counts for it")
        named = [text.split("+", 2) for text in self.policy["witnesses"]]
        witnesses = sum(note.is_cosigned_by(name, base64_of(key)[1:]) for name, _, key in named)
        if witnesses < self.policy["quorum"]:
            self.unchecked.append(
                f"{made.line}: {witnesses} witnesses have cosigned, and {self.policy['quorum']} must"
            )
        self.checkpoints[raw] = made
        return made

    def keys_for(self, origin: str, size: int, anchor: int | None) -> Iterator[bytes]:
        """Yield the keys that count under a checkpoint: by sizes; a revoked one, for what was anchored in time."""
        for each in self.policy["log_keys"]:
            last, end = each["last_sizes"], each["last_anchor"]
            is_open = last is None or size <= last.get(origin, -1)
            is_timely = not each["is_revoked"] or (anchor is not None and anchor <= end)
            if size >= each["first_sizes"].get(origin, 0) and is_open and is_timely:
                yield base64_of(each["public_key"], 32)

    def check_events(self) -> None:
        """7: each record is that of its leaf, and each leaf is in its log; none is there twice, none is left over."""
        listed = [fields_of(each, origin=str, offset=int) for each in self.about["events"]]
        events = [(each["origin"], each["offset"]) for each in listed]
        need(events == sorted(set(events)), "bundle.json: an event is doubled, or not in its place")
        names = [f"events/{place:06d}" for place in range(len(events))]
        need(
            [*names] == [name[:-11] for name in self.named("events/", ".tlog-proof")],
            "an event's proof is missing, or too much",
        )
        need(
            set(self.named("events/", ".record")) <= {f"{name}.record" for name in names},
            "a record is too much",
        )
        for (origin, offset), name in zip(events, names, strict=True):
            self.check_event(origin, offset, name)
        self.proven.append(f"{len(events)} events are in their logs, as their records say")
        for each in {one.line: one for one in self.checkpoints.values()}.values():
            self.tell_anchor(f"{each.origin} at {each.size} leaves", self.anchored.get(each.line))

    def check_event(self, origin: str, offset: int, name: str) -> None:
        """7: one event."""
        head, empty_line, raw = self.files[f"{name}.tlog-proof"].partition(b"\n\n")
        lines = head.decode("latin-1").split("\n")
        need(
            empty_line and lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) >= 3,
            "a proof is malformed",
        )
        need(
            lines[1].startswith("extra ") and lines[2] == f"index {offset}",
            "a proof is that of another event",
        )
        leaf, checkpoint = base64_of(lines[1][6:], 41), self.checkpoint_of(raw)
        need(checkpoint.origin == origin, "a proof is that of another log")
        root = root_by(
            leaf_hash(leaf),
            offset,
            checkpoint.size,
            [base64_of(line, 32) for line in lines[3:]],
        )
        need(root == checkpoint.root, "a leaf is not in its log")
        record = self.files.get(f"{name}.record")
        if record is None:
            self.unchecked.append(f"what event {name} says: its record is not in the bundle")
        need(
            record is None or hashlib.sha256(record).digest() == leaf[9:],
            "a record is not that of its leaf",
        )
        need(
            leaf[0] in (1, 2) and (leaf[0] == 1 or not record),
            "a leaf is of no kind that a record has",
        )
        self.leaves.setdefault(origin, {})[offset] = leaf_hash(leaf)

    def tell_anchor(self, what: str, number: int | None) -> None:
        """Say by when something was there."""
        if number is None:
            self.proven.append(f"{what}: in no anchor yet, so that no time is proven")
        else:
            self.proven.append(
                f"{what}: in anchor {number} of {time_of(self.anchor_times[number])}"
            )

    def check_session(self) -> bool:
        """8: the events are all of a session in the days that manifests list, and each is of that session."""
        session = self.about["session"]
        if session is None:
            need(not self.named("manifests/", ".json"), "manifests without a session")
            return False
        fields_of(session, tenant_id=str, session_id=str)
        wanted = (session["tenant_id"], session["session_id"])
        for name in self.named("events/", ".record"):
            event = {"tenant_id": None} | fields_of(json_of(self.files[name]), only=False)
            tenant = "" if event["tenant_id"] is None else event["tenant_id"]
            need(
                (tenant, event["session_id"]) == wanted,
                "an event is that of another session",
            )
        covered = self.check_manifests(wanted)
        open_offsets = [
            offset
            for origin, leaves in self.leaves.items()
            for offset in leaves
            if not any(
                day["first_offset"] <= offset < day["end_offset"] for day in covered.get(origin, [])
            )
        ]
        if open_offsets:
            self.proven.append(
                f"{len(open_offsets)} events are of days without a manifest yet: there may be more"
            )
        return bool(covered) and not open_offsets

    def check_manifests(self, wanted: tuple[str, str]) -> dict[str, list[dict[str, Any]]]:
        """8: of each log, days that follow each other; return them by log."""
        covered: dict[str, list[dict[str, Any]]] = {}
        logs: set[str] = set()
        last = ("", "")
        for place, name in enumerate(self.named("manifests/", ".json")):
            need(name == f"manifests/{place:06d}.json", "a manifest is missing")
            shown = manifest_of(self.files[name])
            need((shown["origin"], shown["day"]) > last, "a manifest is not in its place")
            last = (shown["origin"], shown["day"])
            day_of(shown["day"])
            anchor = self.check_shown(shown, wanted)
            logs |= self.anchored_logs[anchor]
            covered.setdefault(shown["origin"], []).append(shown)
        for origin in sorted(logs - set(covered)):
            self.unchecked.append(f"{origin}: an anchor names it, and no manifest of it is here")
        if len({tuple(day["day"] for day in days) for days in covered.values()}) > 1:
            self.unchecked.append("the manifests of the logs are not of the same days")
        for origin, days in covered.items():
            for one, other in itertools.pairwise(days):
                later = day_of(other["day"]) - day_of(one["day"])
                is_next = (later.days == 1 or later.days > MOST_EMPTY_DAYS) and other[
                    "first_offset"
                ] == one["end_offset"]
                need(is_next, "a manifest does not follow the one before")
            self.proven.append(
                f"the session is whole in {origin} from {days[0]['day']} to {days[-1]['day']}"
            )
        return covered

    def check_shown(self, shown: dict[str, Any], wanted: tuple[str, str]) -> int:
        """8: a manifest is anchored, and has just these leaves of the session; return in which anchor."""
        origin, day, sessions = shown["origin"], shown["day"], shown["sessions"]
        first, end = shown["first_offset"], shown["end_offset"]
        header = f"trailhouse-manifest/1\n{origin}\n{day}\n{first}\n{end}\n{sessions}\n".encode()
        proof = [base64_of(each, 32) for each in shown["header_proof"]]
        root = root_by(leaf_hash(header), 0, sessions + 1, proof)
        number = self.anchored.get(f"{day} {origin} {sessions} {base64.b64encode(root).decode()}")
        if number is None:
            raise _WrongError("a manifest is in no anchor of the bundle")
        tenant, session = (hashlib.sha256(text.encode()).digest() for text in wanted)
        head = f"trailhouse-session/1\n{origin}\n{day}\n".encode()
        key = hashlib.sha256(head + tenant + session).digest()
        leaves = self.leaves.get(origin, {})
        mine = [leaves[offset] for offset in sorted(leaves) if first <= offset < end]
        check_entries(shown["entries"], sessions, root, key, mine)
        return number


def time_of(at_ms: int) -> str:
    """Return a time as people read it; a clock may be anywhere."""
    try:
        return f"{dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} milliseconds after 1970, which no calendar has"


def day_of(text: str) -> dt.date:
    """Return the day that *text* is."""
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise _WrongError("a manifest is of no day of the calendar") from None
    need(day.isoformat() == text, "a manifest's day is malformed")
    return day


def policy_of(raw: bytes) -> dict[str, Any]:
    """Return the policy that *raw* is; fields that say nothing about bundles are passed over."""
    policy = fields_of(
        json_of(raw),
        only=False,
        log_name=str,
        version=int,
        previous=str,
        log_keys=list,
        witnesses=list,
        quorum=int,
    )
    for each in policy["log_keys"]:
        fields_of(
            each,
            public_key=str,
            first_sizes=SIZES,
            last_sizes=(SIZES, type(None)),
            last_anchor=(int, type(None)),
            is_revoked=bool,
        )
        base64_of(each["public_key"], 32)
        need(not each["is_revoked"] or each["last_anchor"] is not None, "a policy is malformed")
    for each in policy["witnesses"]:
        parts = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(.+)", each)
        name, given, key = parts.groups() if parts else ("", "", "")
        public = base64_of(key, 33)
        need(
            public[0] == 4 and key_id(name, public[1:], 4).hex() == given, "a witness is malformed"
        )
    return policy


def anchor_parts(lines: list[str]) -> dict[str, list[str]]:
    """Return the lines of each part of an anchor, each after its number: sorted, and none twice."""
    parts: dict[str, list[str]] = {}
    rest = lines
    for what, form in ANCHOR_PARTS.items():
        need(rest, "an anchor is malformed")
        end = 1 + number_of(rest[0])
        part, rest = rest[1:end], rest[end:]
        need(len(part) == end - 1, "an anchor is malformed")
        found = [form.fullmatch(line) for line in part]
        need(all(found), f"an anchor's {what} are malformed")
        keys = [
            [each.zfill(19) if re.fullmatch(NUMBER, each) else each for each in line.split(" ")]
            for line in part
        ]
        need(all(one < other for one, other in itertools.pairwise(keys)), "an anchor is not sorted")
        for line in part if form.pattern.endswith(ROOT) else ():
            base64_of(line.rpartition(" ")[2], 32)
        parts[what] = part
    need(not rest, "an anchor is malformed")
    return parts


def manifest_of(raw: bytes) -> dict[str, Any]:
    """Return what *raw* shows of a manifest."""
    shown = fields_of(
        json_of(raw),
        origin=str,
        day=str,
        first_offset=int,
        end_offset=int,
        sessions=int,
        header_proof=list,
        entries=list,
    )
    for each in shown["entries"]:
        fields_of(each, index=int, entry=str, proof=list)
    return shown


def check_entries(
    shown: list[dict[str, Any]], sessions: int, root: bytes, key: bytes, mine: list[bytes]
) -> None:
    """8: the entries shown are that of the session, with just its leaves, or the neighbours of where it would be."""
    found: list[tuple[int, bytes, bytes]] = []
    for each in shown:
        entry, proof = base64_of(each["entry"], 72), [base64_of(one, 32) for one in each["proof"]]
        is_there = root_by(leaf_hash(entry), each["index"] + 1, sessions + 1, proof) == root
        need(is_there, "an entry is not in its manifest")
        found.append((each["index"], entry[:32], entry[32:]))
    if [each[1] for each in found] == [key]:
        says = len(mine).to_bytes(8, "big") + root_over(mine)
        need(found[0][2] == says, "the session has other leaves than a day's manifest says")
        return
    need(not mine, "the session has leaves that the manifest does not list")
    at = next((index + 1 for index, each, _ in found if each < key), 0)
    neighbours = [(index, index < at) for index in (at - 1, at) if 0 <= index < sessions]
    is_absent = [(index, each < key) for index, each, _ in found] == neighbours
    need(is_absent, "a manifest does not show that the session is absent")


def check(content: bytes, pin: str | None) -> tuple[int, list[str]]:
    """Return the exit code, and what to say, of the bundle *content*."""
    bundle: Bundle | None = None
    try:
        bundle = Bundle(read_archive(content))
        bundle.check_files()
        bundle.check_owner(pin)
        bundle.check_policies()
        is_signed_whole = bundle.check_signature()
        bundle.check_anchors()
        bundle.check_events()
        if not bundle.check_session() and not is_signed_whole:
            bundle.unchecked.append(
                "whether events were left out: neither manifests nor the log's signature say so"
            )
    except _WrongError as error:
        return 1, [f"WRONG: {error}"]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        return 1, [f"WRONG: a field is missing or malformed ({type(error).__name__})"]
    said = [*bundle.proven, *(f"NOT CHECKED: {each}" for each in bundle.unchecked)]
    return (2 if bundle.unchecked else 0), said


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the bundle that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description="Check a bundle of a Trailhouse log.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "--owner", help="fingerprint of the owner's key, from whom you trust: SHA256:…"
    )
    given = parser.parse_args(arguments)
    try:
        with given.bundle.open("rb") as file:
            content = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        sys.stdout.write(f"NOT CHECKED: the file cannot be read ({error.strerror})\n")
        return 2
    if len(content) > MAX_BUNDLE_BYTES:
        sys.stdout.write("NOT CHECKED: the file is larger than any bundle\n")
        return 2
    code, lines = check(content, given.owner)
    verdict = ("PROVEN", "NOT PROVEN", "NOT ALL CHECKED")[code]
    sys.stdout.write("\n".join([*lines, verdict]) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
