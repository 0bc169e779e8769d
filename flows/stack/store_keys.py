"""What SeaweedFS asks for at its other ports: a signed permission over HTTP, a certificate of its own authority over gRPC.

Without these, whoever reaches filer, volume or master reads and writes all that its S3 keeps behind a key.
"""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mtl.storage.private import write_private

FILE = "security.toml"
"""SeaweedFS reads it from its working directory."""
NAME = "mtl"
_DAYS = 3650
_HTTP = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
_GRPC = ("volume", "master", "filer", "s3", "client")


def write_keys(folder: Path) -> None:
    """Make the keys of a store that has none."""
    if (folder / FILE).exists():
        return
    authority, key = _authority()
    own = ec.generate_private_key(ec.SECP256R1())
    host = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = _certificate(NAME, authority.subject, own.public_key()).add_extension(host, critical=False)
    for name, content in (
        ("ca.pem", authority.public_bytes(serialization.Encoding.PEM)),
        ("cert.pem", certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)),
        ("key.pem", _pem(own)),
    ):
        write_private(folder / name, content)
    lines = [f'[{name}]\nkey = "{secrets.token_urlsafe(32)}"' for name in _HTTP]
    lines += [f'[grpc]\nca = "{folder}/ca.pem"']
    pair = f'cert = "{folder}/cert.pem"\nkey = "{folder}/key.pem"'
    lines += [f'[grpc.{name}]\n{pair}\nallowed_commonNames = "{NAME}"' for name in _GRPC]
    lines += ['[cors.allowed_origins]\nvalues = "http://127.0.0.1"']
    write_private(folder / FILE, "\n".join(lines) + "\n")


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority that signs once: its key is not kept."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{NAME} authority")])
    builder = _certificate(f"{NAME} authority", name, key.public_key())
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(
        key, hashes.SHA256()
    ), key


def _certificate(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(kind, form, serialization.NoEncryption())
