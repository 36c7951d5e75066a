"""What is said of each fault that seals show. Pure."""

from collections.abc import Mapping

from trailhouse.operate.verify.duties.seals.sealed_records import SealFault

MEANING: Mapping[SealFault, tuple[str, str]] = {
    SealFault.MISSING: (
        "sealed_record_missing",
        "a producer has sealed these numbers, and their records are not stored",
    ),
    SealFault.CONTRADICTS: (
        "contradicts_seal",
        "a record under this number is not the one that was sealed: a stranger's, or changed",
    ),
    SealFault.WRONG_TENANT: (
        "wrong_tenant",
        "a service has sealed records of a tenant that it may not write for",
    ),
    SealFault.BROKEN: ("seal_broken", "the hash over these records is not the sealed one"),
    SealFault.UNSEALED: (
        "seal_missing",
        "between two seals of a producer these numbers are in none: a seal is gone",
    ),
    SealFault.OVERRULED: (
        "seals_differ",
        "two seals of one producer say different things: its service's key is in two hands",
    ),
    SealFault.OVERDUE: (
        "seal_overdue",
        "the producer has promised another seal, and none has come",
    ),
}
"""The kind of the finding, and what it means."""
