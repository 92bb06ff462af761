"""The README's table of parameters says what the code does."""

from pathlib import Path

from gateway.providers import DIALECTS
from gateway.providers.lab import Lab
from gateway.providers.parameters import COMMON, NO_EFFECT, PASSES, Parameter

README = Path(__file__).parents[2] / "README.md"
COLUMNS = {
    "DeepSeek": ("deepseek", "deepseek-flash"),
    "Kimi (K2.6)": ("moonshot", "kimi-k2.6"),
    "Qwen": ("dashscope", "qwen3-max"),
    "GLM": ("zai", "glm-4.6"),
    "Spark": ("spark", "generalv3.5"),
}


def table() -> str:
    """What the labs take of each parameter, as far as they differ; an empty cell means that it is refused."""
    cells = {name: [cell(column, name) for column in COLUMNS] for name in known()}
    rows = [["parameter", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    rows += [[f"`{name}`", *words] for name, words in cells.items() if len(set(words)) > 1]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def in_common() -> list[str]:
    """What all of them take alike."""
    return [
        f"`{name}`: {cell('Qwen', name)}" for name in known() if len({cell(column, name) for column in COLUMNS}) == 1
    ]


def known() -> list[str]:
    """Every parameter with an effect that any of them knows."""
    names = {name for column in COLUMNS for thinking in (False, True) for name in parameters(column, thinking=thinking)}
    return sorted(name for name in names if COMMON.get(name) is not NO_EFFECT)


def without_effect() -> list[str]:
    return sorted(f"`{name}`" for name, parameter in COMMON.items() if parameter is NO_EFFECT)


def parameters(column: str, *, thinking: bool) -> dict[str, Parameter]:
    dialect_name, model = COLUMNS[column]
    dialect = DIALECTS[dialect_name]
    assert isinstance(dialect, Lab)
    return dict(dialect.parameters(model, thinking=thinking))


def cell(column: str, name: str) -> str:
    plain, thinking = (word(parameters(column, thinking=on).get(name)) for on in (False, True))
    return plain if plain == thinking else f"{plain}; thinking: {thinking}"


def word(parameter: Parameter | None) -> str:
    if parameter is None:
        return ""
    return "any" if parameter is PASSES else parameter.takes


def test_the_readme_s_table_of_parameters_is_the_code_s() -> None:
    readme = README.read_text(encoding="utf-8")
    sentences = " ".join(readme.split())

    assert table() in readme
    assert ", ".join(in_common()) in sentences
    assert ", ".join(without_effect()) in sentences
