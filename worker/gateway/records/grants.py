"""Money that goes down to a Wallet, and the sums of one."""

from typing import Any, Literal, get_args

from gateway.fields import Fields
from gateway.frozen import frozen
from gateway.money import NanoUsd
from gateway.records.plain import to_object

GrantKind = Literal["credit", "trial", "top_up", "refund", "reversal"]


@frozen
class Grant:
    """Money that a ledger transfer gives to (or, when negative, takes from) a Wallet; ``id`` is the transfer's."""

    id: str
    kind: GrantKind
    amount_nano_usd: NanoUsd

    def to_json(self) -> dict[str, Any]:
        return to_object(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "Grant":
        return cls(
            id=fields.text("id"),
            kind=fields.choice("kind", get_args(GrantKind)),
            amount_nano_usd=NanoUsd(fields.integer("amount_nano_usd", minimum=-(2**53))),
        )


@frozen
class WalletState:
    """The sums of one Wallet: available = granted - settled - held."""

    account_id: str
    granted_nano_usd: NanoUsd
    settled_nano_usd: NanoUsd
    held_nano_usd: NanoUsd
    open_holds: int
    unacknowledged_records: int

    @property
    def balance_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.granted_nano_usd - self.settled_nano_usd)

    @property
    def available_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.balance_nano_usd - self.held_nano_usd)

    def to_json(self) -> dict[str, Any]:
        return to_object(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "WalletState":
        return cls(
            account_id=fields.text("account_id"),
            granted_nano_usd=NanoUsd(fields.integer("granted_nano_usd", minimum=-(2**53))),
            settled_nano_usd=NanoUsd(fields.integer("settled_nano_usd")),
            held_nano_usd=NanoUsd(fields.integer("held_nano_usd")),
            open_holds=fields.integer("open_holds"),
            unacknowledged_records=fields.integer("unacknowledged_records"),
        )
