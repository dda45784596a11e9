"""Signed bundles, and bundles that lead out of their folder."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

import export
from export.bundle.signing import check_signature
from zoo.errors import UserError

pytest.importorskip("cryptography")


def make_key(path, kind="ed25519"):
    """A private and a public key in PEM, as the documentation says to make them."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = path.with_suffix(".pub")
    public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder / f"{name}.key") for name in ("ours", "theirs")}


@pytest.fixture(scope="module")
def published(make_run, datasets, keys, tmp_path_factory):
    """A signed bundle with a SavedModel, which has a folder for its version."""
    folder = tmp_path_factory.mktemp("signed") / "shop"
    export.export(make_run("mf", datasets["ids"]), folder, "saved_model", k=5, sign=keys["ours"][0])
    return folder


@pytest.fixture
def bundle(published, tmp_path):
    return shutil.copytree(published, tmp_path / "shop")


def edit(bundle, **changes):
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_bundle_is_verified_with_the_key_that_signed_it(bundle, keys):
    assert export.verify(bundle, trusted=keys["ours"][1])
    assert check_signature(bundle, keys["ours"][1].parent) == str(keys["ours"][1])


@pytest.mark.parametrize("change", [{"k": 4}, {"metrics": {}}, {"withdrawn": [100]}])
def test_a_manifest_that_was_changed_is_refused(bundle, keys, change):
    edit(bundle, **change)
    with pytest.raises(UserError, match="none of the 1 trusted keys signed it as it is now"):
        export.verify(bundle, trusted=keys["ours"][1])


def test_a_bundle_of_another_key_is_refused(bundle, keys):
    with pytest.raises(UserError, match="none of the 1 trusted keys signed it"):
        export.verify(bundle, trusted=keys["theirs"][1])


def test_a_bundle_without_a_signature_is_refused_where_one_is_asked_for(bundle, keys):
    (bundle / "manifest.sig").unlink()
    assert export.open_bundle(bundle)
    with pytest.raises(UserError, match="is not signed"):
        export.verify(bundle, trusted=keys["ours"][1])


def test_what_is_no_key_is_an_error(bundle, keys, tmp_path):
    (tmp_path / "no.key").write_text("no key")
    rsa, rsa_public = make_key(tmp_path / "rsa.key", "rsa")
    for key, message in [(tmp_path / "no.key", "holds no private key"), (rsa, "expected an Ed25519 key")]:
        with pytest.raises(UserError, match=message):
            export.export(tmp_path / "run", tmp_path / "out", sign=key)
    for trusted, message in [
        (tmp_path / "no.key", "holds no public key"),
        (rsa_public, "expected an Ed25519 key"),
        (tmp_path / "nowhere", "cannot be read"),
        (bundle, "has no public keys"),
    ]:
        with pytest.raises(UserError, match=message):
            export.verify(bundle, trusted=trusted)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL is not installed")
def test_keys_of_openssl_are_read(bundle, tmp_path):
    key, public = tmp_path / "shop.key", tmp_path / "shop.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    from export.bundle.signing import read_private_key, sign

    sign(bundle, read_private_key(key))
    assert check_signature(bundle, public) == str(public)


# Bundles that lead elsewhere


@pytest.mark.parametrize("version", ["/etc", "../1", "1/..", "", "-1", "\u0661", 1])
def test_a_version_that_is_no_number_is_refused(bundle, version):
    edit(bundle, version=version)
    with pytest.raises(UserError, match="was edited"):
        export.open_bundle(bundle)


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/hostname", "saved_model/../../secret.txt"])
def test_a_list_of_files_that_leads_out_of_the_bundle_is_refused(bundle, name):
    (bundle.parent / "secret.txt").write_text("secret")
    files = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["files"]
    edit(bundle, files={**files, name: {"size": 6, "sha256": "0"}})
    with pytest.raises(UserError, match="its list of files leads out of it"):
        export.open_bundle(bundle)


@pytest.mark.parametrize("name", ["saved_model/2", "titles.txt", "model"])
def test_a_link_in_a_bundle_is_refused(bundle, name):
    elsewhere = bundle.parent / "elsewhere"
    if (bundle / name).exists():
        (bundle / name).rename(elsewhere)
    else:
        elsewhere.mkdir()
    (bundle / name).symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"{name}: is a link"):
        export.open_bundle(bundle)


def test_a_link_to_a_bundle_can_be_opened(bundle, tmp_path):
    (tmp_path / "link").symlink_to(bundle)
    assert export.open_bundle(tmp_path / "link").version == "1"
