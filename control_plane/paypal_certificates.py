"""The certificates that PayPal signs webhooks with: where they may come from, and what makes one trusted.

A certificate is fetched from nowhere but the origins that are configured, without following a redirect. It must be
within its dates, carry PayPal's name and chain up to a trusted root.
"""

import asyncio
import contextlib
import re
import ssl
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from control_plane.clock import NowMs, wall_clock_ms
from control_plane.payment_provider import DeliveryRefused

LIVE_HOSTS: Final = ("api.paypal.com", "api-m.paypal.com")
SANDBOX_HOSTS: Final = ("api.sandbox.paypal.com", "api-m.sandbox.paypal.com")
LIVE_NAME: Final = "messageverificationcerts.paypal.com"
SANDBOX_NAME: Final = "messageverificationcerts.sandbox.paypal.com"

CERTIFICATE_MAX_BYTES: Final = 64 * 1024
CHAIN_MAX: Final = 8
FAILURE_KEPT_FOR_MS: Final = 60_000
CACHE_MAX: Final = 32
TIMEOUT: Final = httpx2.Timeout(5.0, connect=3.0)

_PATH: Final = re.compile(r"/v1/notifications/certs/[0-9A-Za-z_-]{1,128}", re.ASCII)
_ORIGIN: Final = re.compile(r"https?://[0-9a-z.-]+(:[0-9]{1,5})?", re.ASCII)


class CertificateUnavailable(Exception):
    """The certificate cannot be judged here: it was not served, or not with what it takes to chain it to a root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Which origins serve certificates, which name they must carry, and which roots they must chain up to."""

    origins: frozenset[str]
    names: frozenset[str]
    roots: tuple[x509.Certificate, ...]

    @classmethod
    def of(cls, api_url: str, *, hosts: str | None = None, roots_file: Path | None = None) -> "Trust":
        """By default, what PayPal itself uses beside this address of its API.

        ``hosts`` are host names, which are served by https alone, or origins, separated by commas. Raises ValueError.
        """
        api = urlsplit(api_url)
        known: Sequence[str] = (f"{api.scheme}://{api.netloc}",)
        for pair in (LIVE_HOSTS, SANDBOX_HOSTS):
            known = pair if api.hostname in pair else known
        listed = [host.strip() for host in hosts.split(",")] if hosts else known
        return cls(
            origins=frozenset(map(_origin, listed)),
            names=frozenset((LIVE_NAME if api.hostname in LIVE_HOSTS else SANDBOX_NAME,)),
            roots=_system_roots() if roots_file is None else _read_roots(roots_file),
        )


class PayPalCertificates:
    """Public keys by the address of their certificate, kept until the certificate ends; failures for a minute."""

    def __init__(
        self, trust: Trust, *, now_ms: NowMs = wall_clock_ms, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._trust = trust
        self._now_ms = now_ms
        self._client = httpx2.AsyncClient(timeout=TIMEOUT, transport=transport, follow_redirects=False)
        self._known: dict[str, _Known] = {}
        self._lock = asyncio.Lock()

    async def public_key(self, url: str) -> RSAPublicKey:
        """Raises DeliveryRefused for an address or a certificate that is not PayPal's, CertificateUnavailable."""
        check_url(url, self._trust.origins)
        # Whoever comes while a certificate is fetched waits for it.
        async with self._lock:
            known = self._known.get(url)
            if known is None or known.until_ms <= self._now_ms():
                known = await self._learn(url)
                while len(self._known) >= CACHE_MAX:
                    del self._known[next(iter(self._known))]
                self._known[url] = known
        if isinstance(known.outcome, Exception):
            raise known.outcome.with_traceback(None)
        return known.outcome

    async def close(self) -> None:
        await self._client.aclose()

    async def _learn(self, url: str) -> "_Known":
        now_ms = self._now_ms()
        try:
            chain = _parse(await self._fetch(url))
            key = trusted_key(chain, self._trust, now_ms=now_ms)
        except (DeliveryRefused, CertificateUnavailable) as error:
            return _Known(outcome=error, until_ms=now_ms + FAILURE_KEPT_FOR_MS)
        return _Known(outcome=key, until_ms=int(chain[0].not_valid_after_utc.timestamp() * 1000))

    async def _fetch(self, url: str) -> bytes:
        content = bytearray()
        try:
            async with self._client.stream("GET", url) as response:
                if response.status_code != 200:
                    raise CertificateUnavailable(f"status {response.status_code}")
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > CERTIFICATE_MAX_BYTES:
                        raise CertificateUnavailable("too large")
        except httpx2.HTTPError as error:
            raise CertificateUnavailable(type(error).__name__) from error
        return bytes(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    outcome: RSAPublicKey | Exception
    until_ms: int


def check_url(url: str, origins: Collection[str]) -> None:
    """Raises DeliveryRefused unless this is, to the letter, a certificate's address at one of the origins."""
    origin, found, path = _split(url)
    if origin.startswith("https://"):
        origin = origin.removesuffix(":443")
    if not found or origin not in origins or not _PATH.fullmatch(path):
        raise DeliveryRefused("the certificate's address is not one of PayPal's")


def trusted_key(chain: Sequence[x509.Certificate], trust: Trust, *, now_ms: int) -> RSAPublicKey:
    """The key of the first certificate. Raises DeliveryRefused, or CertificateUnavailable when it came alone."""
    leaf, at = chain[0], datetime.fromtimestamp(now_ms / 1000, UTC)
    if not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
        raise DeliveryRefused("the certificate is not within its dates")
    if not trust.names & _names(leaf):
        raise DeliveryRefused("the certificate does not carry PayPal's name")
    key = leaf.public_key()
    if not isinstance(key, RSAPublicKey):
        raise DeliveryRefused("the certificate holds no RSA key")
    builder = PolicyBuilder().store(Store(list(trust.roots))).time(at)
    builder = builder.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    try:
        builder.build_client_verifier().verify(leaf, list(chain[1:]))
    except VerificationError as error:
        if len(chain) == 1 and leaf.issuer != leaf.subject:
            raise CertificateUnavailable("its issuer was not served with it") from error
        raise DeliveryRefused("the certificate does not chain up to a trusted root") from error
    return key


def _split(url: str) -> tuple[str, bool, str]:
    """The origin as it is written, and the path; no parser stands between what is checked and what is called."""
    scheme, found, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority}", bool(found and slash), slash + path


def _origin(host: str) -> str:
    origin = host if "://" in host else f"https://{host}"
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"not a host name or an origin: {host!r}")
    return origin


def _names(leaf: x509.Certificate) -> set[str]:
    common = {str(item.value) for item in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return common
    return common | set(extension.value.get_values_for_type(x509.DNSName))


def _parse(pem: bytes) -> list[x509.Certificate]:
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateUnavailable("not certificates") from error
    if len(chain) > CHAIN_MAX:
        raise CertificateUnavailable("too many certificates")
    return chain


def _read_roots(file: Path) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(file.read_bytes()))


def _system_roots() -> tuple[x509.Certificate, ...]:
    """The roots that this machine trusts for TLS, but for old ones that break the rules for certificates."""
    roots = []
    with warnings.catch_warnings():
        # Said of a root whose serial number is not positive, which a later release will not read any more.
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for content in ssl.create_default_context().get_ca_certs(binary_form=True):
            with contextlib.suppress(ValueError, CryptographyDeprecationWarning):
                roots.append(x509.load_der_x509_certificate(content))
    return tuple(roots)
