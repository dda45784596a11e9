"""Signed bundles: who made one, and that nothing in it was changed since.

The signature is Ed25519 (RFC 8032) over the manifest, which has the SHA-256 of every other file. Checksums alone tell
damage; a signature tells change as well, because only who has the private key can make one.

Keys are PEM files, as OpenSSL makes them:

    openssl genpkey -algorithm ed25519 -out shop.key
    openssl pkey -in shop.key -pubout -out shop.pub
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.bundle import manifest as manifests
from zoo.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# The file beside the manifest, which is in no list of files.
NAME = manifests.SIGNATURE

_NEEDS = 'signatures need cryptography: pip install "recozoo[sign]"'


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file.

    Raises:
        UserError: If cryptography is not installed, or the file holds no Ed25519 key without a password.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise UserError(f"{path}: {_NEEDS}") from error
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: holds no private key in PEM without a password ({error}).") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path}: expected an Ed25519 key. Make one by: openssl genpkey -algorithm ed25519")
    return key


def read_public_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """The public keys in a PEM file, or in the `.pub` and `.pem` files of a folder, by their paths.

    Raises:
        UserError: If cryptography is not installed, there is no key, or a file holds none.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise UserError(f"{path}: {_NEEDS}") from error
    files = sorted(one for one in path.iterdir() if one.suffix in (".pub", ".pem")) if path.is_dir() else [path]
    keys: dict[str, Ed25519PublicKey] = {}
    for file in files:
        try:
            key = load_pem_public_key(_read(file))
        except ValueError as error:
            raise UserError(f"{file}: holds no public key in PEM ({error}).") from error
        if not isinstance(key, Ed25519PublicKey):
            raise UserError(f"{file}: expected an Ed25519 key. Make one by: openssl pkey -in KEY -pubout")
        keys[str(file)] = key
    if not keys:
        raise UserError(f"{path}: has no public keys. Put .pub files there.")
    return keys


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Correct the path.") from error


def sign(folder: Path, key: Ed25519PrivateKey) -> None:
    """Signs the manifest of a bundle that is written."""
    (folder / NAME).write_bytes(key.sign((folder / manifests.NAME).read_bytes()))


def check_signature(folder: Path, trusted: Path) -> str:
    """Checks who signed a bundle. The checksums of its files are checked where it is opened.

    Args:
        folder: The bundle.
        trusted: The public key, or a folder of them.

    Returns:
        The file of the key that signed it.

    Raises:
        UserError: If it is not signed, or by none of these keys, or its manifest was changed since.
    """
    from cryptography.exceptions import InvalidSignature

    keys = read_public_keys(trusted)
    if not (folder / NAME).is_file():
        raise UserError(f"{folder}: is not signed. Export it with --sign, or leave --trusted out.")
    signature, signed = (_read(folder / name) for name in (NAME, manifests.NAME))
    for name, key in keys.items():
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            continue
        return name
    raise UserError(
        f"{folder}: none of the {len(keys)} trusted keys signed it as it is now. Do not use it before you know who "
        "made it, and whether it was changed."
    )
