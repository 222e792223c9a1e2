"""Certificates of an authority, in the files that Let's Encrypt's clients write."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Authority:
    """A certificate authority."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _builder(self._name, self._name, self._key, -1, 3650)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = _pem(made.sign(self._key, hashes.SHA256()))
        """Its own certificate."""

    def issue(
        self,
        folder: Path,
        *names: str,
        begins: float = -1,
        ends: float = 90,
        key: Key | None = None,
    ) -> Path:
        """Write ``fullchain.pem`` and ``privkey.pem``, and return their folder.

        Args:
            folder: Where to, made if need be.
            names: The domains, with wildcards.
            begins: Days from now.
            ends: Days from now.
            key: The key; a new one by default.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        made = _builder(subject, self._name, key, begins, ends)
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        made = made.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        # As Let's Encrypt's have it, since there is no OCSP any more.
        revoked = x509.UniformResourceIdentifier("http://authority.example.org/revoked.crl")
        point = x509.DistributionPoint([revoked], None, None, None)
        made = made.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        folder.mkdir(parents=True, exist_ok=True)
        chain = _pem(made.sign(self._key, hashes.SHA256())) + self.pem
        (folder / "fullchain.pem").write_text(chain)
        (folder / "privkey.pem").write_text(key_pem(key))
        return folder


def key_pem(key: Key, passphrase: str | None = None) -> str:
    """Return a key in the form that Let's Encrypt's clients write."""
    how = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: float, ends: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
