"""catalogue.toml: what it may say, where each fault is, and how what it says is published."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from control_plane.catalogue import LoadedCatalogue, load_catalogue, publish
from control_plane.catalogue_file import CatalogueError
from control_plane.pricing import catalogue_versions, price_rows
from control_plane.store import Store
from gateway.fields import Fields
from gateway.money import PicoUsd
from gateway.pricing import rates_for, row_in_force
from gateway.records import Catalogue, Peak, Provider, Rates, Tier, encode
from tests.unit.control_plane.books import NOW_MS, count, open_books

PROJECT_CATALOGUE = Path(__file__).parents[3] / "catalogue.toml"

SMALLEST = """
[providers.lab]
dialect = "openai"
base_url = "https://lab.example/v1"
api_key_env = "LAB_API_KEY"
[models."model-1.0"]
context_length = 1000
max_output_tokens = 100
[[models."model-1.0".targets]]
provider = "lab"
model = "m1"
[[models."model-1.0".prices]]
effective_from = 2026-01-02
input = "0.55"
output = "2.19"
source = "https://lab.example/prices"
"""
PEAK = """
[models."model-1.0".prices.peak]
timezone = "Asia/Shanghai"
windows = ["09:00-12:00", "14:00-24:00"]
input = "1"
output = "3"
"""
ROW_PATH = 'models."model-1.0".prices[0]'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        yield store


def load(file: Path, text: str, environment: dict[str, str] | None = None) -> LoadedCatalogue:
    file.write_text(text, encoding="utf-8")
    return load_catalogue(file, environment or {})


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1000  # type: ignore[arg-type,misc]


def test_the_smallest_catalogue_gets_the_default_timeouts_and_one_open_tier(file: Path) -> None:
    loaded = load(file, SMALLEST)

    assert loaded.providers == {
        "lab": Provider(
            name="lab",
            dialect="openai",
            base_url="https://lab.example/v1",
            api_key_env="LAB_API_KEY",
            connect_timeout_ms=5_000,
            first_event_timeout_ms=15_000,
            idle_timeout_ms=20_000,
            total_timeout_ms=600_000,
        )
    }
    [target] = loaded.models["model-1.0"].targets
    [row] = target.prices
    rates = Rates(input=PicoUsd(550_000), cached_input=PicoUsd(550_000), output=PicoUsd(2_190_000))
    assert (target.provider, target.model, target.inject) == ("lab", "m1", {})
    assert row.tiers == (Tier(up_to_input_tokens=None, rates=rates),)
    assert row.effective_from_ms == ms(2026, 1, 2)
    assert (row.peak, row.margin_basis_points, row.source) == (None, 0, "https://lab.example/prices")


def test_a_price_row_is_named_by_model_provider_date_and_content(file: Path) -> None:
    [row] = load(file, SMALLEST).models["model-1.0"].targets[0].prices
    [again] = load(file, SMALLEST).models["model-1.0"].targets[0].prices
    [dearer] = load(file, SMALLEST.replace("2.19", "2.20")).models["model-1.0"].targets[0].prices

    name, digest = row.id.split("#")
    assert name == "model-1.0/lab@2026-01-02"
    assert len(digest) == 8
    assert again.id == row.id
    assert dearer.id != row.id
    assert dearer.id.startswith("model-1.0/lab@2026-01-02#")


def test_a_margin_is_part_of_every_row_and_of_its_name(file: Path) -> None:
    [plain] = load(file, SMALLEST).models["model-1.0"].targets[0].prices
    [with_margin] = load(file, "margin_basis_points = 250\n" + SMALLEST).models["model-1.0"].targets[0].prices

    assert with_margin.margin_basis_points == 250
    assert with_margin.id != plain.id


def test_a_row_may_begin_at_a_moment_with_its_offset(file: Path) -> None:
    loaded = load(file, SMALLEST.replace("2026-01-02", "2026-01-02T12:30:00+08:00"))

    [row] = loaded.models["model-1.0"].targets[0].prices
    assert row.effective_from_ms == ms(2026, 1, 2, 4, 30)
    assert row.id.startswith("model-1.0/lab@2026-01-02T04:30:00Z#")


def test_the_environment_replaces_a_base_url_and_a_last_slash_goes(file: Path) -> None:
    loaded = load(file, SMALLEST, {"LAB_BASE_URL": "http://127.0.0.1:9/lab/", "OTHER_BASE_URL": "nonsense"})

    assert loaded.providers["lab"].base_url == "http://127.0.0.1:9/lab"


def test_a_base_url_of_the_environment_is_checked_and_named(file: Path) -> None:
    with pytest.raises(CatalogueError, match="LAB_BASE_URL: must be an http or https URL"):
        load(file, SMALLEST, {"LAB_BASE_URL": "ftp://lab.example"})


def test_rows_come_newest_first(file: Path) -> None:
    newer = """
[[models."model-1.0".prices]]
effective_from = 2026-05-01
input = "1"
output = "1"
source = "https://lab.example/prices"
"""
    rows = load(file, SMALLEST + newer).models["model-1.0"].targets[0].prices

    assert [row.effective_from_ms for row in rows] == [ms(2026, 5, 1), ms(2026, 1, 2)]


def test_a_targets_own_prices_come_before_its_models(file: Path) -> None:
    second = """
[[models."model-1.0".targets]]
provider = "lab"
model = "m2"
[[models."model-1.0".targets.prices]]
effective_from = 2026-03-01
input = "9"
output = "9"
source = "https://lab.example/prices"
"""
    first_target, second_target = load(file, SMALLEST + second).models["model-1.0"].targets

    assert first_target.prices[0].tiers[0].rates.input == 550_000
    assert second_target.prices[0].tiers[0].rates.input == 9_000_000


TIERS = '{ up_to_input_tokens = 10, input = "1", cached_input = "0.5", output = "2" }'


@pytest.mark.parametrize(
    "rates",
    [
        f'input = "3"\noutput = "4"\ntiers = [{TIERS}]',
        f'tiers = [{TIERS}, {{ input = "3", output = "4" }}]',
    ],
    ids=["the row's own rates are the last tier", "the list holds the last tier"],
)
def test_the_last_tier_is_open_and_may_stand_in_the_row_or_in_the_list(file: Path, rates: str) -> None:
    text = SMALLEST.replace('input = "0.55"\noutput = "2.19"', rates)
    [row] = load(file, text).models["model-1.0"].targets[0].prices

    small = Rates(input=PicoUsd(1_000_000), cached_input=PicoUsd(500_000), output=PicoUsd(2_000_000))
    large = Rates(input=PicoUsd(3_000_000), cached_input=PicoUsd(3_000_000), output=PicoUsd(4_000_000))
    assert row.tiers == (Tier(up_to_input_tokens=10, rates=small), Tier(up_to_input_tokens=None, rates=large))


def test_a_peak_is_published_as_an_offset_and_minutes_of_the_day(file: Path) -> None:
    text = "[holidays]\nchina = [2026-10-01, 2026-09-25]\n" + SMALLEST + PEAK + 'holidays = "china"\n'
    [row] = load(file, text).models["model-1.0"].targets[0].prices

    assert row.peak == Peak(
        utc_offset_minutes=480,
        weekdays=(0, 1, 2, 3, 4),
        holidays=("2026-09-25", "2026-10-01"),
        windows_minutes=((540, 720), (840, 1440)),
        rates=Rates(input=PicoUsd(1_000_000), cached_input=PicoUsd(1_000_000), output=PicoUsd(3_000_000)),
    )


def test_a_peak_may_name_its_weekdays(file: Path) -> None:
    [row] = load(file, SMALLEST + PEAK + 'weekdays = ["sun", "sat"]\n').models["model-1.0"].targets[0].prices

    assert row.peak is not None
    assert row.peak.weekdays == (5, 6)


def changed(old: str, new: str) -> str:
    assert old in SMALLEST + PEAK
    return (SMALLEST + PEAK).replace(old, new)


FAULTS: dict[str, tuple[str, str]] = {
    "not TOML": ("providers = ", "Invalid value"),
    "nothing": ("", "providers: Field required"),
    "no model": (SMALLEST.split("[models", maxsplit=1)[0], "models: Field required"),
    "unknown field": (changed('model = "m1"', 'model = "m1"\nbonus = 1'), 'models."model-1.0".targets[0].bonus: Extra'),
    "unknown top": ("bonus = 1\n" + SMALLEST, "bonus: Extra"),
    "unknown provider": (
        changed('provider = "lab"', 'provider = "bal"'),
        'models."model-1.0".targets[0].provider: no such provider: bal',
    ),
    "unknown dialect": (changed('"openai"', '"latin"'), "providers.lab.dialect: Input should be"),
    "provider name": (SMALLEST.replace("providers.lab", "providers.Lab"), "providers.Lab: String should match"),
    "public name": (SMALLEST.replace("model-1.0", "a model"), 'models."a model": String should match'),
    "base URL": (changed("https://lab.example/v1", "lab.example"), "providers.lab.base_url: must be an http"),
    "query in URL": (changed("example/v1", "example/v1?a=b"), "providers.lab.base_url: must be an http"),
    "a scheme of its own": (changed("https://lab.example/v1", "drills:"), "providers.lab.base_url: must be an http"),
    "key variable": (changed("LAB_API_KEY", "sk-12"), "providers.lab.api_key_env: String should match"),
    "timeout": (changed('"LAB_API_KEY"', '"K"\nidle_timeout_ms = 0'), "providers.lab.idle_timeout_ms: Input should be"),
    "context": (changed("context_length = 1000", 'context_length = "1000"'), 'models."model-1.0".context_length:'),
    "no target": (
        SMALLEST.replace('[[models."model-1.0".targets]]\nprovider = "lab"\nmodel = "m1"', "targets = []"),
        'models."model-1.0".targets: List should have at least 1',
    ),
    "no prices": (
        SMALLEST.split('[[models."model-1.0".prices', maxsplit=1)[0],
        'models."model-1.0".targets[0]: has no prices',
    ),
    "float price": (changed('"0.55"', "0.55"), f"{ROW_PATH}.input: must be a text"),
    "negative price": (changed('"0.55"', '"-0.55"'), f"{ROW_PATH}.input: a price cannot be negative"),
    "too fine a price": (changed('"0.55"', '"0.0000001"'), f"{ROW_PATH}.input: more than 6 decimals"),
    "no output": (changed('output = "2.19"', ""), f"{ROW_PATH}: input and output must stand together"),
    "cached alone": (
        changed('input = "0.55"\noutput = "2.19"', 'cached_input = "1"'),
        f"{ROW_PATH}: input and output must stand together",
    ),
    "no rates": (changed('input = "0.55"\noutput = "2.19"', ""), f"{ROW_PATH}: tiers must rise"),
    "two open tiers": (
        changed('output = "2.19"', 'output = "2.19"\ntiers = [{ input = "1", output = "1" }]'),
        f"{ROW_PATH}: tiers must rise",
    ),
    "no open tier": (
        changed('input = "0.55"\noutput = "2.19"', f"tiers = [{TIERS}]"),
        f"{ROW_PATH}: tiers must rise",
    ),
    "falling tiers": (
        changed('output = "2.19"', f'output = "2.19"\ntiers = [{TIERS}, {TIERS.replace("10", "9")}]'),
        f"{ROW_PATH}: tiers must rise",
    ),
    "equal tiers": (
        changed('output = "2.19"', f'output = "2.19"\ntiers = [{TIERS}, {TIERS}]'),
        f"{ROW_PATH}: tiers must rise",
    ),
    "price in a tier": (
        changed('output = "2.19"', 'output = "2.19"\ntiers = [{ up_to_input_tokens = 1, input = "x", output = "1" }]'),
        f"{ROW_PATH}.tiers[0].input: not a decimal amount",
    ),
    "local time": (changed("2026-01-02", "2026-01-02T00:00:00"), f"{ROW_PATH}.effective_from: must be a date"),
    "date as text": (changed("2026-01-02", '"2026-01-02"'), f"{ROW_PATH}.effective_from: must be a date"),
    "same date twice": (
        SMALLEST + '[[models."model-1.0".prices' + SMALLEST.split('[[models."model-1.0".prices')[1],
        'models."model-1.0".prices: two rows have the same effective_from',
    ),
    "source": (changed("https://lab.example/prices", ""), f"{ROW_PATH}.source: String should have at least 1 char"),
    "inject a date": (
        changed('model = "m1"', 'model = "m1"\ninject = { a = 2026-01-01 }'),
        'models."model-1.0".targets[0].inject: must hold only what JSON can say',
    ),
    "inject no number": (
        changed('model = "m1"', 'model = "m1"\ninject = { a = nan }'),
        'models."model-1.0".targets[0].inject: Out of range float',
    ),
    "timezone": (changed("Asia/Shanghai", "Asia/Nowhere"), f"{ROW_PATH}: no such timezone: Asia/Nowhere"),
    "zone file": (changed("Asia/Shanghai", "../etc"), f"{ROW_PATH}: no such timezone: ../etc"),
    "summer time": (
        changed("Asia/Shanghai", "Europe/Berlin"),
        f"{ROW_PATH}: peak.timezone: the offset of Europe/Berlin changes",
    ),
    "window": (changed("09:00-12:00", "9-12"), f'{ROW_PATH}.peak.windows[0]: must be a text such as "09:00-12:00"'),
    "empty window": (changed("09:00-12:00", "12:00-12:00"), f"{ROW_PATH}.peak.windows[0]: must end after it starts"),
    "late window": (changed("14:00-24:00", "14:00-24:01"), f"{ROW_PATH}.peak.windows[1]: must end after it starts"),
    "weekday": (SMALLEST + PEAK + 'weekdays = ["Monday"]', f"{ROW_PATH}.peak.weekdays[0]: Input should be"),
    "holidays": (
        SMALLEST + PEAK + 'holidays = "mars"',
        'models."model-1.0".targets[0]: no such holidays: mars',
    ),
    "margin": ("margin_basis_points = -1\n" + SMALLEST, "margin_basis_points: Input should be greater"),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_refused_with_its_path_in_the_file(file: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogueError) as refused:
        load(file, text)

    assert message in str(refused.value)
    assert str(file) in str(refused.value)


def test_every_fault_is_named_at_once(file: Path) -> None:
    with pytest.raises(CatalogueError) as refused:
        load(file, changed('"0.55"', '"a"').replace('"2.19"', '"b"'))

    assert f"{ROW_PATH}.input" in str(refused.value)
    assert f"{ROW_PATH}.output" in str(refused.value)


def test_a_file_that_is_not_there_is_a_catalogue_error(file: Path) -> None:
    with pytest.raises(CatalogueError, match="No such file"):
        load_catalogue(file, {})


async def test_publishing_keeps_the_price_rows_and_gives_the_first_version(books: Store, file: Path) -> None:
    loaded = load(file, SMALLEST)
    async with books.begin() as connection:
        catalogue = await publish(connection, loaded, NOW_MS)

        assert (catalogue.version, catalogue.published_at_ms) == (1, NOW_MS)
        assert catalogue.models == loaded.models
        stored = (await connection.execute(select(price_rows.c.id))).scalars().all()
        assert loaded.models["model-1.0"].targets[0].prices[0].id in stored


async def test_the_same_content_published_again_keeps_its_version(books: Store, file: Path) -> None:
    async with books.begin() as connection:
        first = await publish(connection, load(file, SMALLEST), NOW_MS)
        again = await publish(connection, load(file, "# a comment\n" + SMALLEST), NOW_MS + 1)

        assert again == first
        assert await count(connection, catalogue_versions) == 1


async def test_other_content_gets_the_next_version_and_old_rows_stay(books: Store, file: Path) -> None:
    async with books.begin() as connection:
        await publish(connection, load(file, SMALLEST), NOW_MS)
        before = await count(connection, price_rows)
        second = await publish(connection, load(file, SMALLEST.replace("2.19", "2.20")), NOW_MS + 1)

        assert (second.version, second.published_at_ms) == (2, NOW_MS + 1)
        assert await count(connection, price_rows) == before + 1


async def test_going_back_to_earlier_content_is_a_new_version(books: Store, file: Path) -> None:
    async with books.begin() as connection:
        await publish(connection, load(file, SMALLEST), NOW_MS)
        await publish(connection, load(file, SMALLEST.replace("2.19", "2.20")), NOW_MS)
        third = await publish(connection, load(file, SMALLEST), NOW_MS)

    assert third.version == 3


async def test_a_target_needs_a_price_that_has_begun(books: Store, file: Path) -> None:
    loaded = load(file, SMALLEST)
    begins = ms(2026, 1, 2)
    async with books.begin() as connection:
        with pytest.raises(CatalogueError, match=r"model-1\.0: no price of lab is in force yet"):
            await publish(connection, loaded, begins - 1)

        assert (await publish(connection, loaded, begins)).version == 1


PUBLIC_NAMES = {
    "deepseek-reasoner": ("deepseek", "deepseek-flash"),
    "deepseek-chat": ("deepseek", "deepseek-flash"),
    "kimi-k2": ("moonshot", "kimi-k2.6"),
    "moonshot-v1-128k": ("moonshot", "kimi-k2.6"),
    "kimi-k3": ("moonshot", "kimi-k3"),
    "qwen3-max": ("dashscope", "qwen3-max"),
    "qwen-max": ("dashscope", "qwen3-max"),
    "qwen3-vl": ("dashscope", "qwen3-vl-plus"),
    "qwen2.5-72b-instruct": ("dashscope", "qwen2.5-72b-instruct"),
    "glm-5.2": ("zai", "glm-5.2"),
    "glm-4.6": ("zai", "glm-4.6"),
    "glm-4.5": ("zai", "glm-4.5"),
    "glm-4-flash": ("zai", "glm-4.7-flash"),
    "spark-lite": ("spark", "lite"),
    "spark-pro": ("spark", "generalv3"),
    "spark-pro-128k": ("spark", "pro-128k"),
    "spark-max": ("spark", "generalv3.5"),
    "spark-max-32k": ("spark", "max-32k"),
    "spark-4.0-ultra": ("spark", "4.0Ultra"),
}


def test_the_projects_catalogue_serves_every_promised_name_by_what_the_lab_calls_it_now() -> None:
    models = load_catalogue(PROJECT_CATALOGUE, {}).models

    first_targets = {name: model.targets[0] for name, model in models.items() if not name.startswith("drill/")}
    assert {name: (target.provider, target.model) for name, target in first_targets.items()} == PUBLIC_NAMES


SECOND_TARGETS = {
    "deepseek-reasoner": ("deepseek-v4.1-flash", {"enable_thinking": True}),
    "deepseek-chat": ("deepseek-v4.1-flash", {"enable_thinking": False}),
    "kimi-k3": ("kimi-k3", {}),
    "glm-5.2": ("glm-5.2", {}),
}


def test_the_projects_catalogue_has_the_models_that_dashscope_serves_too() -> None:
    models = load_catalogue(PROJECT_CATALOGUE, {}).models

    second_targets = {name: model.targets[1] for name, model in models.items() if len(model.targets) > 1}
    labs = {name: target for name, target in second_targets.items() if not name.startswith("drill/")}
    assert {target.provider for target in labs.values()} == {"dashscope"}
    assert {name: (target.model, target.inject) for name, target in labs.items()} == SECOND_TARGETS
    assert all(row.source != models[name].targets[0].prices[0].source for name in labs for row in labs[name].prices)


@pytest.mark.parametrize(
    ("beijing", "output_price"),
    [
        ("2026-11-22T07:59:59.999", 600_000),
        ("2026-11-22T08:00:00.000", 1_200_000),
        ("2026-10-01T12:00:00.000", 1_200_000),
        ("2026-11-23T21:59:59.999", 1_200_000),
        ("2026-11-23T22:00:00.000", 600_000),
    ],
)
def test_dashscopes_peak_for_deepseek_is_every_day(beijing: str, output_price: int) -> None:
    at_ms = int(datetime.fromisoformat(beijing + "+08:00").timestamp() * 1000)
    row = row_in_force(load_catalogue(PROJECT_CATALOGUE, {}).models["deepseek-chat"].targets[1].prices, at_ms=at_ms)

    assert row is not None
    assert rates_for(row, input_tokens=1, at_ms=at_ms).output == output_price


def test_the_projects_catalogue_passes_through_kv_unchanged() -> None:
    catalogue = load_catalogue(PROJECT_CATALOGUE, {}).at_version(7, published_at_ms=NOW_MS)

    assert Catalogue.from_fields(Fields.parse(encode(catalogue.to_json()), "catalogue")) == catalogue


@pytest.mark.parametrize(
    ("beijing", "input_price"),
    [
        ("2026-11-23T08:59:59.999", 150_000),
        ("2026-11-23T09:00:00.000", 300_000),
        ("2026-11-23T11:59:59.999", 300_000),
        ("2026-11-23T12:00:00.000", 150_000),
        ("2026-11-23T14:00:00.000", 300_000),
        ("2026-11-23T18:00:00.000", 150_000),
        ("2026-11-22T10:00:00.000", 150_000),
        ("2026-10-01T10:00:00.000", 150_000),
        ("2026-10-08T10:00:00.000", 300_000),
    ],
)
def test_deepseeks_peak_is_weekday_office_hours_in_beijing_but_for_holidays(beijing: str, input_price: int) -> None:
    at_ms = int(datetime.fromisoformat(beijing + "+08:00").timestamp() * 1000)
    row = row_in_force(load_catalogue(PROJECT_CATALOGUE, {}).models["deepseek-chat"].targets[0].prices, at_ms=at_ms)

    assert row is not None
    assert rates_for(row, input_tokens=1, at_ms=at_ms).input == input_price


@pytest.mark.parametrize(
    ("input_tokens", "prices"),
    [
        (32_768, (1_200_000, 240_000, 6_000_000)),
        (32_769, (2_400_000, 480_000, 12_000_000)),
        (131_072, (2_400_000, 480_000, 12_000_000)),
        (131_073, (3_000_000, 600_000, 15_000_000)),
    ],
)
def test_qwens_tier_is_that_of_the_whole_input(input_tokens: int, prices: tuple[int, int, int]) -> None:
    row = row_in_force(load_catalogue(PROJECT_CATALOGUE, {}).models["qwen3-max"].targets[0].prices, at_ms=NOW_MS)

    assert row is not None
    rates = rates_for(row, input_tokens=input_tokens, at_ms=NOW_MS)
    assert (rates.input, rates.cached_input, rates.output) == prices


def test_the_projects_prices_are_passed_through() -> None:
    loaded = load_catalogue(PROJECT_CATALOGUE, {})

    assert {row.margin_basis_points for _, target in loaded.targets for row in target.prices} == {0}
