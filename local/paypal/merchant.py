"""The merchant's account at PayPal, and what its programs log in with."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local.paypal import identifiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    client_id: str
    client_secret: str = field(repr=False)
    webhook_id: str
    merchant_id: str
    email: str = "merchant@example.com"

    @classmethod
    def make(cls) -> "Merchant":
        return cls(
            client_id=identifiers.secret(),
            client_secret=identifiers.secret(),
            webhook_id=identifiers.webhook_id(),
            merchant_id=identifiers.account_id(),
        )

    @classmethod
    def load_or_make(cls, file: Path) -> "Merchant":
        """Kept in the file, which only its owner may read."""
        if file.exists():
            return cls(**json.loads(file.read_text()))
        made = cls.make()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump(asdict(made), stream, indent=2)
        return made
