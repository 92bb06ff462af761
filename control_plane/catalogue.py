"""The catalogue: from catalogue.toml to what the edge serves from, in versions that only change with the content."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import published_health
from control_plane.catalogue_file import (
    WEEKDAYS,
    CatalogueError,
    CatalogueFile,
    ModelShape,
    PeakShape,
    PriceShape,
    ProviderShape,
    TargetShape,
    check_url,
    read_catalogue_file,
)
from control_plane.pricing import catalogue_versions, store_price_rows
from gateway.pricing import row_in_force
from gateway.records import Catalogue, Model, Peak, PriceRow, Provider, Target, TargetHealth, Tier, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCatalogue:
    """What the file says, with the environment's base URLs in place, before it has a version."""

    providers: dict[str, Provider]
    models: dict[str, Model]

    def at_version(
        self, version: int, *, published_at_ms: int, health: Mapping[tuple[str, str], TargetHealth] | None = None
    ) -> Catalogue:
        """``health`` of what is no target of the file is left out."""
        watched = self.watched
        return Catalogue(
            version=version,
            published_at_ms=published_at_ms,
            providers=self.providers,
            models=self.models,
            health={target: found for target, found in (health or {}).items() if target in watched},
        )

    @property
    def targets(self) -> Iterator[tuple[Model, Target]]:
        return ((model, target) for model in self.models.values() for target in model.targets)

    @property
    def watched(self) -> list[tuple[str, str]]:
        """The targets whose health matters, by provider and its id of the model, in order. Drills fail on purpose."""
        found = {(target.provider, target.model) for _, target in self.targets}
        return sorted(target for target in found if not self.providers[target[0]].is_drill)


def load_catalogue(path: Path, environment: Mapping[str, str]) -> LoadedCatalogue:
    """Read the file; ``<PROVIDER>_BASE_URL`` in the environment replaces a base_url. Raises CatalogueError."""
    file = read_catalogue_file(path)
    return LoadedCatalogue(
        providers={name: _provider(name, shape, environment) for name, shape in file.providers.items()},
        models={name: _model(name, shape, file) for name, shape in file.models.items()},
    )


async def publish(connection: AsyncConnection, loaded: LoadedCatalogue, now_ms: int) -> Catalogue:
    """Keep the price rows, and give the catalogue, with the health that is to be published, a version: a new one if it
    says anything new. It is the caller's to project. Raises CatalogueError when a target has no price in force now.
    """
    _check_prices_in_force(loaded, now_ms)
    rows = [row for _, target in loaded.targets for row in target.prices]
    await store_price_rows(connection, rows, now_ms=now_ms)
    newest, health = (await connection.execute(_newest_version())).one_or_none(), await _health(connection)
    content = encode(loaded.at_version(0, published_at_ms=0, health=health).to_json())
    content_sha256 = hashlib.sha256(content.encode()).hexdigest()
    if newest is not None and newest.content_sha256 == content_sha256:
        return loaded.at_version(newest.version, published_at_ms=newest.published_at_ms, health=health)
    version = 1 if newest is None else newest.version + 1
    await connection.execute(
        insert(catalogue_versions).values(version=version, content_sha256=content_sha256, published_at_ms=now_ms)
    )
    return loaded.at_version(version, published_at_ms=now_ms, health=health)


async def published(connection: AsyncConnection, loaded: LoadedCatalogue) -> Catalogue:
    """The catalogue as it was published last, which every start does."""
    newest, health = (await connection.execute(_newest_version())).one(), await _health(connection)
    return loaded.at_version(newest.version, published_at_ms=newest.published_at_ms, health=health)


async def newest_version(connection: AsyncConnection) -> int:
    """The number of the catalogue that was published last."""
    return int((await connection.execute(_newest_version())).scalars().one())


def _newest_version() -> Select[Any]:
    return select(catalogue_versions).order_by(catalogue_versions.c.version.desc()).limit(1)


async def _health(connection: AsyncConnection) -> dict[tuple[str, str], TargetHealth]:
    return {target: item.health for target, item in (await published_health.read(connection)).items()}


def _check_prices_in_force(loaded: LoadedCatalogue, now_ms: int) -> None:
    for model, target in loaded.targets:
        if row_in_force(target.prices, at_ms=now_ms) is None:
            raise CatalogueError(f"{model.id}: no price of {target.provider} is in force yet")


def _provider(name: str, shape: ProviderShape, environment: Mapping[str, str]) -> Provider:
    variable = f"{name.upper()}_BASE_URL"
    base_url = shape.base_url
    if override := environment.get(variable):
        try:
            base_url = check_url(override)
        except ValueError as error:
            raise CatalogueError(f"{variable}: {error}") from error
    return Provider(name=name, **(shape.model_dump() | {"base_url": base_url}))


def _model(name: str, shape: ModelShape, file: CatalogueFile) -> Model:
    return Model(
        id=name,
        context_length=shape.context_length,
        max_output_tokens=shape.max_output_tokens,
        image_tokens=shape.image_tokens,
        targets=tuple(_target(name, target, shape.prices_of(target), file) for target in shape.targets),
    )


def _target(model: str, shape: TargetShape, prices: list[PriceShape], file: CatalogueFile) -> Target:
    rows = [_price_row(f"{model}/{shape.provider}", price, file) for price in prices]
    newest_first = sorted(rows, key=lambda row: row.effective_from_ms, reverse=True)
    return Target(
        provider=shape.provider,
        model=shape.model,
        inject=shape.inject,
        prices=tuple(newest_first),
        context_length=shape.context_length,
        max_output_tokens=shape.max_output_tokens,
    )


def _price_row(subject: str, shape: PriceShape, file: CatalogueFile) -> PriceRow:
    row = PriceRow(
        id="",
        effective_from_ms=int(shape.effective_from.timestamp()) * 1000,
        effective_until_ms=None,
        tiers=tuple(Tier(up_to_input_tokens=tier.up_to_input_tokens, rates=tier.rates()) for tier in shape.all_tiers),
        peak=None if shape.peak is None else _peak(shape.peak, shape.effective_from, file),
        margin_basis_points=file.margin_basis_points,
        source=shape.source,
    )
    content = json.dumps(asdict(row), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return replace(row, id=f"{subject}@{_instant_text(shape.effective_from)}#{digest}")


def _peak(shape: PeakShape, effective_from: datetime, file: CatalogueFile) -> Peak:
    holidays = file.holidays[shape.holidays] if shape.holidays is not None else []
    return Peak(
        utc_offset_minutes=int(shape.utc_offset(effective_from).total_seconds()) // 60,
        weekdays=tuple(sorted(WEEKDAYS.index(day) for day in set(shape.weekdays))),
        holidays=tuple(day.isoformat() for day in sorted(set(holidays))),
        windows_minutes=tuple(sorted(shape.windows)),
        rates=shape.rates(),
    )


def _instant_text(instant: datetime) -> str:
    """The date alone for the start of a day in UTC."""
    text = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    return text.removesuffix("T00:00:00Z")
