"""Which of the operator's keys is used next."""

import pytest

from gateway.key_pool import MAX_RESTING, KeyPool


def test_keys_are_used_in_turn() -> None:
    pool = KeyPool()

    first = [pool.keys("a, b ,c,", now_ms=0)[0] for _ in range(6)]

    assert sorted(first) == ["a", "a", "b", "b", "c", "c"]


def test_a_key_that_rests_is_left_out_until_its_time() -> None:
    pool = KeyPool()
    pool.rest("a", until_ms=100)

    assert pool.keys("a,b", now_ms=99) == ("b",)
    assert set(pool.keys("a,b", now_ms=100)) == {"a", "b"}


def test_where_all_rest_the_one_that_is_free_first_is_used() -> None:
    pool = KeyPool()
    pool.rest("a", until_ms=300)
    pool.rest("b", until_ms=200)

    assert pool.keys("a,b", now_ms=100) == ("b",)


def test_all_keys_that_do_not_rest_are_there_to_be_tried() -> None:
    pool = KeyPool()

    assert all(sorted(pool.keys("a,b,c", now_ms=0)) == ["a", "b", "c"] for _ in range(3))


@pytest.mark.parametrize("secret", ["", " ", ",", " , "])
def test_a_secret_without_keys_has_none(secret: str) -> None:
    assert KeyPool().keys(secret, now_ms=0) == ()


def test_no_more_keys_rest_than_the_limit() -> None:
    pool = KeyPool()

    for number in range(MAX_RESTING + 1):
        pool.rest(f"k{number}", until_ms=100)

    assert pool.keys(f"k0,k1,k{MAX_RESTING}", now_ms=0) == ("k0",)


def test_a_single_key_is_used_whether_it_rests_or_not() -> None:
    pool = KeyPool()
    pool.rest("a", until_ms=300)

    assert pool.keys("a", now_ms=100) == ("a",)


def test_no_key_is_kept_as_it_is() -> None:
    pool = KeyPool()
    pool.rest("sk-secret", until_ms=300)

    assert "sk-secret" not in repr(vars(pool))
