"""Anchors as objects of an S3 bucket with Object Lock: in compliance mode nobody can replace or delete one."""

import contextlib
import datetime as dt
import importlib.util
import logging
import re
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from trailhouse.anchoring.writers.writer import number_of, path_of
from trailhouse.proof.note import MAX_NOTE_BYTES
from trailhouse.schemas.errors import AnchorError, ConfigError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
KEYS_A_PAGE = 1_000
RETENTION_DAYS = 365
MAX_RETENTION_DAYS = 36_500
_TOLERANCE = dt.timedelta(days=1)
"""So much the clock of who wrote may differ from the bucket's."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]{0,500}")
_CODE = re.compile(r"[A-Za-z0-9]{1,64}")
_FORM = (
    "proof.anchors: `s3:bucket/prefix`, and after a `?` `region=`, `endpoint=https://…`, `profile=` and"
    f" `retention_days=` from 1 to {MAX_RETENTION_DAYS}; credentials are those of boto3, never in it"
)


class _Version(NamedTuple):
    """One version of an object, or a marker that it was deleted; `tag` is "" for that."""

    key: str
    version_id: str
    tag: str
    modified_at: dt.datetime


class S3Writer:
    """Keeps anchors in ``bucket/prefix``, locked in compliance mode for `retention_days`.

    The bucket is made with Object Lock, and so with versions: what is written later under the same name, or a marker
    of deletion, stands beside the first version, which counts. We need `s3:PutObject`, `s3:PutObjectRetention`,
    `s3:GetObjectVersion`, `s3:GetObjectRetention` and `s3:ListBucketVersions`; who reads alone, the last three.
    """

    kind = "s3"

    def __init__(self, place: str) -> None:
        where, _, options = place.partition("?")
        given = dict(parse_qsl(options, keep_blank_values=True))
        self._bucket, _, prefix = where.partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._region = given.pop("region", "")
        self._endpoint = given.pop("endpoint", "")
        self._profile = given.pop("profile", "")
        self._days = _days(given.pop("retention_days", str(RETENTION_DAYS)))
        is_sound = _BUCKET.fullmatch(self._bucket) and _PREFIX.fullmatch(prefix)
        if given or not is_sound or not self._days or not _is_endpoint(self._endpoint):
            raise ConfigError(_FORM)
        if importlib.util.find_spec("boto3") is None:  # imported when it is used: half a second
            raise ConfigError("proof.anchors: `s3:` needs `pip install 'trailhouse[s3]'`")
        self.name = f"s3:{place}"
        self._client: Any = None
        self._lock_faults: dict[int, str] = {}
        self._is_alone: dict[int, bool] = {}

    def write(self, number: int, content: bytes) -> bytes:
        """As `AnchorWriter.write`: locked, and read back with its lock."""
        kept = self.read(number)
        if kept is None:
            self._put(number, content)
            kept = self.read(number)
        if kept is None:
            raise AnchorError(f"{self.name}: an anchor that was taken cannot be read back")
        if kept == content and (fault := self._lock_faults[number]):
            raise AnchorError(f"{self.name}: anchor {number} {fault}")
        return kept

    def read(self, number: int) -> bytes | None:
        """As `AnchorWriter.read`: its first version."""
        key = self._prefix + path_of(number)
        versions = [each for each in self._versions(key) if each.key == key]
        kept = [each for each in versions if each.tag]
        if not kept:
            return None
        first = kept[-1]
        with self._asked() as client:
            answer = client.get_object(Bucket=self._bucket, Key=key, VersionId=first.version_id)
            content: bytes = answer["Body"].read(MAX_NOTE_BYTES + 1)
        self._lock_faults[number] = self._lock_fault(answer, first)
        self._is_alone[number] = all(each.tag == first.tag for each in versions)
        return content

    def fault(self, number: int) -> str:
        """As `AnchorWriter.fault`."""
        if fault := self._lock_faults.get(number, ""):
            return fault
        if self._is_alone.get(number, True):
            return ""
        return "has a later version, or a marker of deletion, that somebody else has put over it"

    def newest(self) -> int:
        """As `AnchorWriter.newest`: also what is hidden by a marker of deletion."""
        folders = sorted(self._folders(), reverse=True)
        for folder in folders:
            names = (each.key.rpartition("/")[2] for each in self._versions(folder) if each.tag)
            if newest := max((number_of(name) or 0 for name in names), default=0):
                return newest
        return 0

    def _put(self, number: int, content: bytes) -> None:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(days=self._days)
        with self._asked(passes="PreconditionFailed") as client:
            client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + path_of(number),
                Body=content,
                ContentType="text/plain; charset=utf-8",
                IfNoneMatch="*",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=until,
            )

    def _lock_fault(self, answer: Any, version: _Version) -> str:
        if answer.get("ObjectLockMode") != "COMPLIANCE":
            return (
                "is not locked in compliance mode, or we may not see that (s3:GetObjectRetention)"
            )
        until = answer.get("ObjectLockRetainUntilDate")
        if until is None or until < version.modified_at + dt.timedelta(self._days) - _TOLERANCE:
            return f"is locked for less than {self._days} days"
        return ""

    def _folders(self) -> Iterator[str]:
        for page in self._pages(self._prefix, Delimiter="/"):
            for each in page.get("CommonPrefixes", ()):
                folder = each["Prefix"].removeprefix(self._prefix).removesuffix("/")
                if len(folder) == 8 and folder.isascii() and folder.isdigit():
                    yield each["Prefix"]

    def _versions(self, prefix: str) -> Iterator[_Version]:
        """Yield versions and markers of deletion below *prefix*; of a key's versions the newest first."""
        for page in self._pages(prefix):
            for name in ("DeleteMarkers", "Versions"):
                for each in page.get(name, ()):
                    tag = each.get("ETag", "") if name == "Versions" else ""
                    found = (each.get("Key"), each.get("VersionId"), tag, each.get("LastModified"))
                    if None in found or bool(tag) is not (name == "Versions"):
                        raise AnchorError(f"{self.name} lists versions without what they need")
                    yield _Version(*found)

    def _pages(self, prefix: str, **options: str) -> Iterator[Any]:
        after: dict[str, str] = {}
        while True:
            with self._asked() as client:
                page = client.list_object_versions(
                    Bucket=self._bucket,
                    Prefix=prefix,
                    MaxKeys=KEYS_A_PAGE,
                    **options,
                    **after,
                )
            yield page
            markers = {
                "KeyMarker": page.get("NextKeyMarker", ""),
                "VersionIdMarker": page.get("NextVersionIdMarker", ""),
            }
            markers = {name: value for name, value in markers.items() if value}
            if not page.get("IsTruncated") or markers in ({}, after):
                return
            after = markers

    @contextlib.contextmanager
    def _asked(self, passes: str = "") -> Generator[Any]:
        """Yield the client; what S3 answers is told by its code alone, but for the code *passes*."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        try:
            yield self._connected()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if passes and code == passes:
                return
            shown = code if _CODE.fullmatch(code) else "an error without a code"
            hint = "; the bucket must be made with Object Lock" if code == "InvalidRequest" else ""
            raise AnchorError(f"{self.name} refuses ({shown}){hint}") from None
        # An answer that is no answer, a body that breaks off, fields that are missing.
        except (
            BotoCoreError,
            ResponseParserError,
            HTTPError,
            OSError,
            KeyError,
            ValueError,
        ) as error:
            raise AnchorError(f"{self.name} cannot be used ({type(error).__name__})") from None

    def _connected(self) -> Any:
        if self._client is None:
            from boto3.session import Session
            from botocore.config import Config

            # Its messages of the level DEBUG hold signed headers.
            logger = logging.getLogger("botocore")
            logger.setLevel(max(logger.level, logging.INFO))
            session = Session(profile_name=self._profile or None)
            self._client = session.client(
                "s3",
                region_name=self._region or None,
                endpoint_url=self._endpoint or None,
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=ANSWER_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 2},
                    s3={"addressing_style": "path"} if self._endpoint else None,
                ),
            )
        return self._client


def _days(text: str) -> int:
    """Return the number of days in *text*, 0 where it is none that may be."""
    is_number = len(text) <= 5 and text.isascii() and text.isdigit()
    return int(text) if is_number and int(text) <= MAX_RETENTION_DAYS else 0


def _is_endpoint(url: str) -> bool:
    """Tell whether *url* is empty, or an address and nothing else: no name, no password, no query."""
    if not url:
        return True
    try:
        parts = urlsplit(url)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    is_plain = "@" not in url and not parts.query and not parts.fragment
    return parts.scheme in ("https", "http") and is_address and is_plain
