"""Attacks on anchors where others keep them: in a bucket with Object Lock, and in a repository of git."""

import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from attack import Who, on_copy
from attack_scene import AttackedLog
from s3_server import Bucket, made_bucket, s3_server, set_credentials
from trailhouse.anchoring.writers.writer import path_of

NEWEST = 4


def _bucket(log: AttackedLog, options: str = "") -> Bucket:
    """Anchor once more, and have a bucket keep all anchors, by the *options* that the worker was given."""
    server = log.ending.enter_context(s3_server())
    set_credentials(log.ending.enter_context(pytest.MonkeyPatch.context()))
    bucket = made_bucket(server)
    log.place = bucket.named(options)
    log.anchor_under(log.policy())
    log.place = bucket.place
    return bucket


def _key(number: int) -> str:
    return f"agents/{path_of(number)}"


def _contents(bucket: Bucket) -> dict[str, bytes]:
    """Return what each object of the bucket holds."""
    listed = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    return {
        each["Key"]: bucket.client.get_object(Bucket=bucket.name, Key=each["Key"])["Body"].read()
        for each in listed
    }


def _made_anew(bucket: Bucket) -> None:
    """Take all of the account away, and make a bucket of the same name that locks."""
    reset = urllib.request.Request(f"{bucket.endpoint}/moto-api/reset", method="POST")  # noqa: S310 - our own server
    with urllib.request.urlopen(reset, timeout=10):  # noqa: S310 - our own server
        pass
    bucket.client.create_bucket(
        Bucket=bucket.name,
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )


@on_copy(Who.ALL, "anchors", needs="anchors")
def an_object_is_covered_by_another_version(log: AttackedLog) -> None:
    """The first one is locked, and counts."""
    bucket = _bucket(log)
    bucket.client.put_object(Bucket=bucket.name, Key=_key(2), Body=b"another history")


@on_copy(Who.ALL, "anchors", needs="anchors")
def an_object_is_covered_by_a_marker_of_deletion(log: AttackedLog) -> None:
    bucket = _bucket(log)
    bucket.client.delete_object(Bucket=bucket.name, Key=_key(NEWEST))


@on_copy(Who.ALL, "anchors", needs="anchors")
def objects_are_locked_for_a_day_where_a_year_was_agreed(log: AttackedLog) -> None:
    _bucket(log, "&retention_days=1")


@on_copy(Who.ALL, "anchors", needs="anchors")
def an_object_is_locked_so_that_an_administrator_may_delete_it(log: AttackedLog) -> None:
    """Somebody was there before the worker, in the mode that can be got round, with the true file."""
    bucket = _bucket(log)
    content = _contents(bucket)
    _made_anew(bucket)
    _put(bucket, content, ObjectLockMode="GOVERNANCE")


@on_copy(Who.ALL, "anchors", needs="anchors")
def the_bucket_is_emptied(log: AttackedLog) -> None:
    _made_anew(_bucket(log))


@on_copy(Who.ALL, "anchors", needs="anchors")
def another_bucket_of_the_same_name_lacks_the_newest_anchor(log: AttackedLog) -> None:
    bucket = _bucket(log)
    content = _contents(bucket)
    del content[_key(NEWEST)]
    _made_anew(bucket)
    _put(bucket, content, ObjectLockMode="COMPLIANCE")


@on_copy(Who.ALL, "anchors", needs="anchors")
def another_bucket_of_the_same_name_has_other_anchors(log: AttackedLog) -> None:
    bucket = _bucket(log)
    content = _contents(bucket)
    content[_key(2)], content[_key(3)] = content[_key(3)], content[_key(2)]
    _made_anew(bucket)
    _put(bucket, content, ObjectLockMode="COMPLIANCE")


def _put(bucket: Bucket, content: dict[str, bytes], **lock: Any) -> None:
    for key, body in content.items():
        bucket.client.put_object(
            Bucket=bucket.name,
            Key=key,
            Body=body,
            ObjectLockRetainUntilDate="2099-01-01T00:00:00Z",
            **lock,
        )


@on_copy(Who.NOBODY)
def a_bucket_keeps_the_anchors_for_longer_than_was_agreed(log: AttackedLog) -> None:
    bucket = _bucket(log, "&retention_days=3650")
    bucket.client.put_object(Bucket=bucket.name, Key="agents/README", Body=b"audited each year")


def _git(*words: str, text: str = "", **variables: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
        check=True,
        capture_output=True,
        input=text,
        text=True,
        env=os.environ | variables,
        timeout=60,
    )
    return done.stdout.strip()


def _repository(log: AttackedLog) -> str:
    """Anchor once more, and have a repository keep all anchors."""
    repository = str(Path(log.folder).parent / "anchors.git")
    _git("init", "-q", "--bare", repository)
    log.place = f"git:{repository}"
    log.anchor_under(log.policy())
    return repository


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_branch_is_set_back_to_an_earlier_commit(log: AttackedLog) -> None:
    repository = _repository(log)
    _git("-C", repository, "update-ref", "refs/heads/anchors", "refs/heads/anchors~1")


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_branch_is_written_anew_with_another_file(log: AttackedLog) -> None:
    """The commit is one without a past, and each file but one is as before."""
    repository = _repository(log)
    listed = _git("-C", repository, "ls-tree", "-r", "anchors").splitlines()
    blob = _git("-C", repository, "hash-object", "-w", "--stdin", text="another history")
    entries = [
        f"100644 {blob}\t{line.partition(chr(9))[2]}"
        if "0002.anchor" in line
        else line.replace(" blob", "")
        for line in listed
    ]
    index = {"GIT_INDEX_FILE": str(Path(repository) / "index-of-another")}
    _git("-C", repository, "update-index", "--index-info", text="\n".join(entries) + "\n", **index)
    tree = _git("-C", repository, "write-tree", **index)
    commit = _git("-C", repository, "commit-tree", tree, "-m", "anchors")
    _git("-C", repository, "update-ref", "refs/heads/anchors", commit)


@on_copy(Who.NOBODY)
def a_repository_keeps_the_anchors(log: AttackedLog) -> None:
    repository = _repository(log)
    _git("-C", repository, "gc", "-q")
    _git("-C", repository, "tag", "audited", "anchors")
