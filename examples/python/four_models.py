"""The same prompt to four models in parallel, and what each answer cost.

Costs are exact: x-haotokai-cost-usd is a decimal, so it is added as one and never as a float.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from decimal import Decimal

from openai import AsyncOpenAI

MODELS = ("deepseek-chat", "kimi-k2", "qwen3-max", "glm-4.6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the report."""

    model: str
    provider: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


async def ask(client: AsyncOpenAI, model: str, prompt: str) -> Line:
    response = await client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": prompt}]
    )
    usage = response.parse().usage
    return Line(
        model=model,
        provider=response.headers["x-haotokai-provider"],
        input_tokens=usage.prompt_tokens if usage else 0,
        output_tokens=usage.completion_tokens if usage else 0,
        cost_usd=Decimal(response.headers["x-haotokai-cost-usd"]),
    )


def report(lines: list[Line]) -> None:
    print(f"{'model':<16}{'provider':<12}{'in':>8}{'out':>8}  {'USD':>14}")
    for line in lines:
        print(f"{line.model:<16}{line.provider:<12}{line.input_tokens:>8}{line.output_tokens:>8}  {line.cost_usd:>14f}")
    total_usd = sum((line.cost_usd for line in lines), Decimal(0))
    print(f"{'total':<46}{total_usd:>14f}")


async def main(prompt: str) -> None:
    async with AsyncOpenAI(base_url=os.environ["HAOTOKAI_BASE_URL"], api_key=os.environ["HAOTOKAI_API_KEY"]) as client:
        report(await asyncio.gather(*(ask(client, model, prompt) for model in MODELS)))


asyncio.run(main(" ".join(sys.argv[1:]) or "Name three uses of bamboo."))
