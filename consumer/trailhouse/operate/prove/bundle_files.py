"""Which files a bundle has, and how they become one: an archive that can be written in one way only. Pure."""

import base64
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files as resources
from typing import Any

import msgspec

from trailhouse.operate.prove.check import zip_headers
from trailhouse.proof.keys import Signer, note_signed
from trailhouse.proof.manifest import ShownSession
from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-bundle/1"
MAX_EVENTS = 20_000
"""Three files each in a zip file of at most 65,535; and a bundle is read at once."""
MAX_BYTES = 1 << 30

README = """\
A bundle of the audit log {log_name}.

What is in it
  events/      each event: the record as it was appended, byte for byte, and its proof (C2SP tlog-proof)
  policies/    whose keys count: signed by the owner of the log
  anchors/     how large each log was, and when: signed, and kept by others; time stamps (RFC 3161) beside them
  manifests/   of the days of a session: how many events it has, or that it has none
  bundle.json  which events these are; SHA256SUMS and bundle.note: that nothing was changed on the way

How to check it
  python check.py {name} --owner FINGERPRINT
The fingerprint is that of the owner's key. Have it, and check.py, from whom you trust, and not from this bundle: who
made the bundle could have made both. Trailhouse's docs/proof.md says how to check by hand, and each form.

What it shows
  - Each record was appended to the log at its offset, and the log has signed that.
  - Where an anchor names the log at that size: that it was there when the anchor was made. A time-stamp token or a
    witness's cosignature shows it to whoever does not trust the log's own key. Compare the anchors with your own.
  - Where manifests are: the session has these events on these days and no others, or none.
  - Where bundle.note is: the log itself chose these events, and nobody took one out since.

What it does not show
  - That what an event says is true: only that it was said, and by when.
  - That a producer recorded all that it did: seals and `trailhouse verify` tell what was lost on the way to the log.
  - What came after the last manifest: a day is listed when the next one has begun.
  - Anything, to whoever has no fingerprint of the owner from elsewhere.
"""


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return the zip file that holds *files*: sorted, nothing compressed, of one date and one mode."""
    parts, directory, place = list[bytes](), list[bytes](), 0
    for name, data in sorted(files.items()):
        header, entry = zip_headers(name, data, place)
        parts += (header, data)
        directory.append(entry)
        place += len(header) + len(data)
    size = sum(map(len, directory))
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(files), len(files), size, place, 0)
    return b"".join([*parts, *directory, end])


class BundledEvent(msgspec.Struct, frozen=True, order=True):
    """One event: where it is, its record (None where it was erased), and its proof."""

    origin: str
    offset: int
    record: bytes | None
    proof: str


class BundledSession(msgspec.Struct, frozen=True):
    """Of which session the events are; `tenant_id` is "" for none."""

    tenant_id: str
    session_id: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a bundle is made of.

    Attributes:
        policies: The signed text of each version, from the first.
        anchors: The signed text of each by its number.
        tokens: RFC 3161 tokens by the number of their anchor.
        manifests: Of `session`, each day of each log, in order.
    """

    log_name: str
    owner_key: bytes
    made_at_ms: int
    events: Sequence[BundledEvent]
    policies: Sequence[str]
    anchors: Mapping[int, str]
    tokens: Mapping[int, Sequence[bytes]] = {}
    session: BundledSession | None = None
    manifests: Sequence[ShownSession] = ()


def bundle_of(evidence: Evidence, signer: Signer | None, file_name: str = "bundle.zip") -> bytes:
    """Return the bundle of *evidence*, signed by the log where *signer* is given.

    Raises:
        ProofError: It would be larger than a bundle may be. Permanent: ask for less.
        SigningError: The key cannot be used. Retriable.
    """
    if len(evidence.events) > MAX_EVENTS:
        raise ProofError(
            f"bundle: {len(evidence.events)} events, and one holds {MAX_EVENTS}: ask for fewer"
        )
    files = _files(evidence, file_name)
    if sum(map(len, files.values())) > MAX_BYTES - (1 << 24):
        raise ProofError("bundle: it would be larger than 1 GiB: ask for fewer events")
    lines = [f"{sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    sums = "".join(lines).encode()
    if signer is not None:
        text = f"{FORMAT}\n{sha256(sums).hexdigest()}\n"
        files["bundle.note"] = note_signed(text, signer, f"{evidence.log_name}/bundle").encode()
    return archive_of(files | {"SHA256SUMS": sums})


def _files(evidence: Evidence, file_name: str) -> dict[str, bytes]:
    readme = README.format(log_name=evidence.log_name, name=file_name)
    files = {"README.txt": readme.encode(), "check.py": _checker()}
    events = sorted(evidence.events)
    for place, event in enumerate(events):
        files[f"events/{place:06d}.tlog-proof"] = event.proof.encode()
        if event.record is not None:
            files[f"events/{place:06d}.record"] = event.record
    for version, policy in enumerate(evidence.policies, 1):
        files[f"policies/{version:06d}.policy"] = policy.encode()
    for number, anchor in evidence.anchors.items():
        files[f"anchors/{number:09d}.anchor"] = anchor.encode()
    for number, tokens in evidence.tokens.items():
        for place, token in enumerate(tokens[:10]):
            files[f"anchors/{number:09d}.{place}.tsr"] = token
    for place, shown in enumerate(evidence.manifests):
        files[f"manifests/{place:06d}.json"] = _line(_shown(shown))
    files["bundle.json"] = _line(
        {
            "format": FORMAT,
            "log_name": evidence.log_name,
            "owner": _base64(evidence.owner_key),
            "made_at_ms": evidence.made_at_ms,
            "events": [{"origin": each.origin, "offset": each.offset} for each in events],
            "session": evidence.session,
        }
    )
    return files


def _shown(shown: ShownSession) -> dict[str, Any]:
    return shown.header._asdict() | {
        "header_proof": [_base64(each) for each in shown.header_proof],
        "entries": [
            {
                "index": each.place,
                "entry": _base64(each.entry.content),
                "proof": [_base64(one) for one in each.proof],
            }
            for each in shown.entries
        ],
    }


def _checker() -> bytes:
    return resources("trailhouse.operate.prove").joinpath("check.py").read_bytes()


def _line(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted") + b"\n"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
