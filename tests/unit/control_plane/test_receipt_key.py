"""The key that signs receipts: made once, kept private, and refused where it is not a key."""

import base64
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from control_plane.receipt_key import FILE_NAME, ReceiptKey, ReceiptKeyRefused, ReceiptPublicKey
from control_plane.settings import Settings
from tests.contract.control_plane.world import settings_of
from tests.unit.control_plane.chains import KEY

SEED = bytes(range(32))


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = ReceiptKey.kept_in(tmp_path / "new", lambda count: SEED[:count])
    second = ReceiptKey.kept_in(tmp_path / "new", bytes)

    file = tmp_path / "new" / FILE_NAME
    assert first.public.text == second.public.text == KEY.public.text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [FILE_NAME]


def test_a_key_that_another_process_made_meanwhile_is_the_one_that_is_used(tmp_path: Path) -> None:
    def slow(count: int) -> bytes:
        ReceiptKey.kept_in(tmp_path, lambda count: SEED[:count])
        return bytes(count)

    assert ReceiptKey.kept_in(tmp_path, slow).public.text == KEY.public.text


def test_the_public_key_is_the_one_of_rfc_8032() -> None:
    """Its first test vector, with an empty message."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = ReceiptKey(base64.b64encode(secret).decode())

    assert base64.b64decode(key.public.text).hex().startswith("d75a980182b10ab7d54bfed3c964073a")
    assert base64.b64decode(key.sign("")).hex().startswith("e5564300c360ac729086e2cc806e828a")
    assert key.public.has_signed("", key.sign(""))
    assert not key.public.has_signed(" ", key.sign(""))


WRONG = ["", "not base64!", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode(), "AAEC\n"]


@pytest.mark.parametrize("text", [*WRONG, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9="])
def test_what_is_not_a_key_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    for make in (ReceiptKey, ReceiptPublicKey):
        with pytest.raises(ReceiptKeyRefused) as error:
            make(text)
        assert str(error.value) == "must be 32 bytes in base64"

    with pytest.raises(ValidationError, match="must be 32 bytes in base64"):
        Settings.model_validate(settings_of(tmp_path) | {"receipt_signing_key": text})


def test_a_key_does_not_show_itself() -> None:
    assert repr(KEY) == f"ReceiptKey(key_id='{KEY.public.key_id}')"
