"""The keys of a stack's log, and its first policy: files in its data folder, made once.

Owner and log are one person here, so the owner's key stays beside the log's: on a machine of one's own nobody else
could be convinced by it. Where others are to be convinced, `trailhouse proof init` makes one that is taken away.
"""

from pathlib import Path

from trailhouse.devstack.client_files import defaults_of
from trailhouse.devstack.private_folder import make_closed, write_own
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import FileSigner, create_key_file, note_signed, read_key_file
from trailhouse.proof.policy import owner_name
from trailhouse.proof.policy_changes import first_policy, key_text
from trailhouse.schemas.errors import SigningError, StackError

LOG_NAME = "localhost/dev"
_FOLDER = "proof"


def proof_settings(data_dir: Path) -> dict[str, object]:
    """Return the settings of proof of the stack in *data_dir*; the first call makes its keys and policy.

    Raises:
        StackError: A file is open to others or cannot be used. Permanent until mended.
    """
    folder = data_dir / _FOLDER
    policy_file = folder / "policy"
    try:
        make_closed(folder)
        (folder / "anchors").mkdir(mode=0o700, exist_ok=True)
        log, owner = _signer(folder / "log.pem"), _signer(folder / "owner.pem")
        if not policy_file.exists():
            policy = first_policy(LOG_NAME, log.public_key)
            write_own(policy_file, note_signed(policy.text, owner, owner_name(LOG_NAME)))
    except SigningError as error:
        raise StackError(str(error)) from error
    except OSError as error:
        raise StackError(f"{folder} cannot be used ({error.strerror})") from error
    return defaults_of("proof") | {
        "log_name": LOG_NAME,
        "key_file": str(folder / "log.pem"),
        "owner_key": key_text(owner.public_key),
        "policy_file": str(policy_file),
        "anchors": f"folder:{folder / 'anchors'}",
    }


def proof_config(settings: dict[str, object]) -> ProofConfig:
    """Return *settings* as `proof_settings` has made them, whatever the user has set for a log of his own."""
    return ProofConfig(**settings)  # type: ignore[arg-type]  # as each setting declares it


def _signer(path: Path) -> FileSigner:
    return read_key_file(path) if path.exists() else create_key_file(path)
