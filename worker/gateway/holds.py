"""How much a request holds: the most that it can use and cost, and what can be had for less."""

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.frozen import frozen
from gateway.money import NanoUsd
from gateway.ports import Document
from gateway.pricing import most_it_can_cost, output_tokens_within
from gateway.routing import Call, Candidate

# A token stands for at least one byte of the text that it came from, and the JSON of a request is never shorter than
# the text in it; what a chat template adds around each message and tool is within this allowance.
TEMPLATE_TOKENS_PER_MESSAGE = 16
TEMPLATE_TOKENS = 512
# Below this an answer is of no use, so a wallet that cannot pay for it is refused rather than clamped.
LEAST_OUTPUT_TOKENS = 16
# An ordinary answer, for a call that names no bound.
MODEST_OUTPUT_TOKENS = 4096


@frozen
class Bound:
    """The most tokens that a request can use at any of its candidates."""

    input_tokens: int
    output_tokens: int
    choices: int

    @property
    def least_output_tokens(self) -> int:
        return min(LEAST_OUTPUT_TOKENS, self.output_tokens)


def bound_of(call: Call, candidates: Sequence[Candidate]) -> Bound:
    """The token bound of a call: a token a byte of input, what its images may take, and the output it may ask for."""
    most_output = max(candidate.max_output_tokens for candidate in candidates)
    most_image = max(candidate.model.image_tokens for candidate in candidates)
    images, image_bytes = _images(call.parts(), takes_images=most_image > 0)
    template = TEMPLATE_TOKENS_PER_MESSAGE * len(call.document.items("messages")) + TEMPLATE_TOKENS
    return Bound(
        input_tokens=call.size_bytes - image_bytes + images * most_image + template,
        output_tokens=min(call.max_tokens or most_output, most_output),
        choices=call.choices,
    )


def _images(parts: Iterable[Document], *, takes_images: bool) -> tuple[int, int]:
    """How many images there are, and how many bytes of the body are image data rather than text.

    Raises UnsupportedParameter for a part that is neither text nor an image, and for an image that no target takes:
    what it would use cannot be bounded.
    """
    images = image_bytes = 0
    for part in parts:
        kind = part.read("type")
        if kind == "image_url" and takes_images:
            images += 1
            image_bytes += _data_url_bytes(part.read("image_url"))
        elif kind != "text":
            raise UnsupportedParameter(f"The model does not take parts of type {kind!r}.", param="messages")
    return images, image_bytes


def _data_url_bytes(image: Any) -> int:
    url = image.get("url") if isinstance(image, dict) else None
    return len(url) if isinstance(url, str) and url.startswith("data:") and url.isascii() else 0


def worst_case(bound: Bound, candidates: Iterable[Candidate], *, output_tokens: int, at_ms: int) -> NanoUsd:
    """The most that the request can cost at any of its candidates with at most ``output_tokens`` a choice."""
    return max(_most_at(bound, candidate, output_tokens=output_tokens, at_ms=at_ms) for candidate in candidates)


def least_case(bound: Bound, candidates: Iterable[Candidate], *, at_ms: int) -> NanoUsd:
    """The least for which one of the candidates can give an answer that is of use."""
    least = bound.least_output_tokens
    return min(_most_at(bound, candidate, output_tokens=least, at_ms=at_ms) for candidate in candidates)


def _most_at(bound: Bound, candidate: Candidate, *, output_tokens: int, at_ms: int) -> NanoUsd:
    return most_it_can_cost(
        candidate.price,
        input_tokens=bound.input_tokens,
        output_tokens=min(output_tokens, candidate.max_output_tokens) * bound.choices,
        at_ms=at_ms,
    )


def affordable(
    bound: Bound, candidates: Sequence[Candidate], *, granted: NanoUsd, at_ms: int
) -> tuple[tuple[Candidate, ...], int]:
    """Whom what was granted can pay, and for how many output tokens a choice.

    The first candidate that it pays a useful answer of decides how long the answer may be; those that it cannot pay an
    answer of that length are left out. So no answer is cut short for the sake of a dearer fallback, and none of those
    who are left can cost more than was granted.
    """
    outputs = [_output_within(bound, candidate, granted, at_ms) for candidate in candidates]
    output_tokens = next(output for output in outputs if output >= bound.least_output_tokens)
    left = [candidate for candidate, output in zip(candidates, outputs, strict=True) if output >= output_tokens]
    return tuple(left), output_tokens


def _output_within(bound: Bound, candidate: Candidate, granted: NanoUsd, at_ms: int) -> int:
    """The most output tokens a choice, up to the bound, for which the candidate's worst case stays within an amount."""
    within = output_tokens_within(candidate.price, granted, input_tokens=bound.input_tokens, at_ms=at_ms)
    output = within // bound.choices
    # A candidate that gives no more anyway can be asked for any length.
    return bound.output_tokens if output >= candidate.max_output_tokens else min(output, bound.output_tokens)
