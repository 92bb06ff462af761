"""The certificates that webhooks are checked with: a root, an issuer and the leaf, in the way PayPal's are made.

The leaf carries the name that PayPal's sandbox uses and holds an RSA key. The root is what a verifier has to trust.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST_NAME = "messageverificationcerts.sandbox.paypal.com"
RSA_BITS = 2048
VALID_FOR = timedelta(days=365)
# One that ends sooner is made anew at the start.
MIN_LEFT = timedelta(days=30)
BACKDATED_BY = timedelta(days=1)
TRUST_ROOTS_FILE = "trust-roots.pem"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who a certificate is for. A leaf has a host name and signs no other certificate."""

    name: str
    key: PrivateKey
    host_name: str | None = None
    not_before: datetime
    not_after: datetime

    def issue(self, subject: "Subject") -> x509.Certificate:
        """A certificate for the subject, signed by this one. To issue it to oneself makes a root."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject.name))
            .issuer_name(_name(self.name))
            .public_key(subject.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(subject.not_before)
            .not_valid_after(subject.not_after)
            .add_extension(x509.BasicConstraints(ca=subject.host_name is None, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=subject.host_name is None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if subject.host_name is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(subject.host_name)])
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The leaf's key, the chain that is served (leaf first, without the root), and the root, both as PEM."""

    key: rsa.RSAPrivateKey
    chain_pem: bytes
    root_pem: bytes

    @property
    def certificate_id(self) -> str:
        digest = x509.load_pem_x509_certificate(self.chain_pem).fingerprint(hashes.SHA256()).hex()
        return f"CERT-{digest[:8]}-{digest[8:16]}-{digest[16:24]}"

    def ends_at(self) -> datetime:
        return x509.load_pem_x509_certificate(self.chain_pem).not_valid_after_utc


def make(now: datetime, host_name: str = HOST_NAME) -> Signing:
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    root = Subject(
        name="PayPal simulator root",
        key=ec.generate_private_key(ec.SECP256R1()),
        not_before=now - BACKDATED_BY,
        not_after=now + VALID_FOR,
    )
    issuer = replace(root, name="PayPal simulator issuer", key=ec.generate_private_key(ec.SECP256R1()))
    leaf = replace(root, name=host_name, key=key, host_name=host_name)
    return Signing(
        key=key,
        chain_pem=_pem(issuer.issue(leaf)) + _pem(root.issue(issuer)),
        root_pem=_pem(root.issue(root)),
    )


def load_or_make(folder: Path, now: datetime | None = None) -> Signing:
    """Kept in the folder, so that what was signed in one run is verified in the next."""
    now = now or datetime.now(UTC)
    files = [folder / name for name in ("signing-key.pem", "signing-chain.pem", TRUST_ROOTS_FILE)]
    if all(file.exists() for file in files):
        kept = _read(*files)
        if kept.ends_at() - now > MIN_LEFT:
            return kept
    made = make(now)
    for file, content in zip(files, (_private_pem(made.key), made.chain_pem, made.root_pem), strict=True):
        file.touch(mode=0o600)
        file.write_bytes(content)
    return made


def _read(key: Path, chain: Path, root: Path) -> Signing:
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise TypeError(f"{key} holds no RSA key")
    return Signing(key=loaded, chain_pem=chain.read_bytes(), root_pem=root.read_bytes())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
