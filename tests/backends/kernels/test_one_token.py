"""One more token through all layers in one call, against the same layers step by step."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pytest

from llminspect.backends.kernels.library import library
from llminspect.backends.kernels.matrices import Blocks
from llminspect.backends.kernels.one_token import one_token
from llminspect.backends.kernels.rounded import RoundedBlocks
from llminspect.core.cache import Cache
from llminspect.core.feedforward import Glu
from llminspect.core.rotary import Growth, Rotary
from llminspect.core.tap import NO_TAP, Capture
from llminspect.files.quant_types import COMPILED
from llminspect.model.config import DecoderConfig
from llminspect.model.params import OnDemand, Params
from llminspect.model.sizes import Sizes
from llminspect.model.transformer import forward
from llminspect.opening import open_model
from tests.backends.kernels.test_blocks import random_blocks
from tests.closeness import SINGLE, assert_close

if TYPE_CHECKING:
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model

KINDS = ("Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS")
"""One a shape of blocks, of codes with and without signs."""


def config(**more: Any) -> DecoderConfig:
    sizes = Sizes(L=2, D=256, H=4, K=2, E=64, F=256, V=40, context=400)
    usual: dict[str, Any] = {"norm_epsilon": 1e-5, "scale": 0.125, "rotary": Rotary(64, 10_000.0), "tied": True}
    return DecoderConfig(**{"sizes": sizes, **usual, **more})


def params(its: DecoderConfig, kind: str, *more: str, made_as: type[Blocks] = Blocks, threads: int = 2) -> Params:
    """Random blocks that keep the stream's size, and random vectors by the names in `more`."""
    generator, sizes = np.random.default_rng(len(kind)), its.sizes
    arrays: dict[str, Any] = {"embedding.weight": generator.normal(size=(sizes.V, sizes.D)).astype(np.float32)}
    of_heads, of_keys = sizes.H * sizes.E, sizes.K * sizes.E
    shapes = {"attention.query": (of_heads, sizes.D), "attention.key": (of_keys, sizes.D)}
    shapes |= {"attention.value": (of_keys, sizes.D), "attention.output": (sizes.D, of_heads)}
    shapes |= {"feedforward.gate": (sizes.F, sizes.D), "feedforward.up": (sizes.F, sizes.D)}
    shapes |= {"feedforward.down": (sizes.D, sizes.F)}
    for layer in range(sizes.L):
        for number, (name, (rows, width)) in enumerate(shapes.items()):
            of_kind = (
                "Q6_K" if kind == "Q4_K" and name.endswith(("value", "down")) else kind
            )  # As llama.cpp mixes them.
            raw = random_blocks(of_kind, rows, width // COMPILED[of_kind].weights, seed=9 * layer + number)
            arrays[f"layers.{layer}.{name}.weight"] = made_as(COMPILED[of_kind], raw, threads)
        for name in ("attention.norm.weight", "feedforward.norm.weight", *more):
            length = sizes.E if "query.norm" in name or "key.norm" in name else sizes.D
            length = shapes[name.removesuffix(".bias")][0] if name.endswith("bias") else length
            arrays[f"layers.{layer}.{name}"] = generator.normal(1, 0.5, length).astype(np.float32)
    return Params(arrays)


def run(of: Params, its: DecoderConfig, ids: list[int], cache: Cache | None, tap: Tap = NO_TAP) -> Any:
    with np.errstate(all="ignore"):
        return forward(of, its, np.asarray(ids), tap, cache)


def assert_same(of: Params, its: DecoderConfig, *, prompt: int = 5, tokens: int = 4, bound: float = SINGLE) -> None:
    """Each token's stream, and all keys and values, as step by step; and that it was one call."""
    quick = one_token(of, its)
    assert quick is not None
    start = run(of, its, [index * 7 % 40 for index in range(prompt)], None).cache
    slow = fast = start
    for index in range(tokens):
        of.one_token = None
        expected = run(of, its, [index + 3], slow)
        watched = Mock(side_effect=quick)
        of.one_token = watched
        found = run(of, its, [index + 3], fast)
        assert watched.call_count == 1 and quick(*watched.call_args.args) is not None
        assert_close(found.stream_TD, expected.stream_TD, bound)
        slow, fast = expected.cache, found.cache
        for got, wanted in zip(fast.layers, slow.layers, strict=True):
            assert_close(got.key_KSE, wanted.key_KSE, bound)
            assert_close(got.value_KSE, wanted.value_KSE, bound)
    of.one_token = None


BY_DIGITS = pytest.mark.parametrize("made_as", [Blocks, RoundedBlocks] if library().by_digits() else [RoundedBlocks])
"""Where float32 is no slower than whole numbers, exact products are float32, and go step by step."""


def bound_of(made_as: type[Blocks]) -> float:
    """x in 8 bits: where a number of x is just between two, the last bit before chooses, of a 127th of the largest."""
    return SINGLE if made_as is Blocks else 0.03


@BY_DIGITS
@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_decoder(kind: str, made_as: type[Blocks]) -> None:
    its = config()
    assert_same(params(its, kind, made_as=made_as), its, bound=bound_of(made_as))


@BY_DIGITS
@pytest.mark.parametrize(
    ("changed", "more"),
    [
        ({"rotary": Rotary(64, 500.0, pairs="interleaved")}, ()),
        ({"rotary": Rotary(24, 10_000.0)}, ()),
        ({"rotary": Rotary(24, 10_000.0, pairs="interleaved")}, ()),
        ({"scale": 0.3, "embedding_scale": 4.0, "logit_cap": 30.0}, ()),
        ({}, ("attention.query.bias", "attention.key.bias", "attention.value.bias")),
        ({}, ("attention.key.bias",)),
        ({}, ("attention.query.norm.weight", "attention.key.norm.weight")),
        ({"window": 400, "windowed": (1,)}, ()),
        ({"norm_epsilon": 10.0}, ()),
    ],
)
def test_what_some_decoders_do_otherwise(changed: dict[str, Any], more: tuple[str, ...], made_as: type[Blocks]) -> None:
    its = config(**changed)
    assert_same(params(its, "Q8_0", *more, made_as=made_as), its, bound=bound_of(made_as))


@BY_DIGITS
@pytest.mark.parametrize("inner", [64, 256])
@pytest.mark.parametrize("more", [(), ("attention.query.bias", "attention.key.norm.weight")])
def test_rows_of_queries_and_keys_that_lie_in_another_order(
    more: tuple[str, ...], inner: int, made_as: type[Blocks]
) -> None:
    """As GGUF files of Llama have them; also with a feed-forward step narrower than what the attention reads."""
    its = config(sizes=replace(config().sizes, F=inner))
    of = params(its, "Q8_0", *more, made_as=made_as)
    for name in ("query", "key"):
        matrix: Any = of.arrays[f"layers.1.attention.{name}.weight"]
        order_O = np.arange(len(matrix)).reshape(-1, 32, 2).swapaxes(1, 2).reshape(-1)
        lying = made_as(matrix._kind, matrix._blocks_OB, 2, order_O)
        of = of.replacing({f"layers.1.attention.{name}.weight": lying})
    assert_same(of, its, bound=bound_of(made_as))


@BY_DIGITS
@pytest.mark.parametrize("heads", [(4, 4), (4, 1), (8, 2)])
def test_heads_that_share_keys(heads: tuple[int, int], made_as: type[Blocks]) -> None:
    sizes = replace(config().sizes, H=heads[0], K=heads[1], E=256 // heads[0])
    its = config(sizes=sizes, rotary=Rotary(sizes.E, 10_000.0))
    assert_same(params(its, "Q4_0", made_as=made_as, threads=1), its, bound=bound_of(made_as))


@BY_DIGITS
def test_a_long_text_whose_heads_are_shared_out_to_threads(made_as: type[Blocks]) -> None:
    """And one that outgrows its room (64 tokens) on the way."""
    its = config()
    assert_same(params(its, "Q4_K", made_as=made_as), its, prompt=300, tokens=3, bound=bound_of(made_as))
    assert_same(params(its, "Q4_K", made_as=made_as), its, prompt=62, tokens=6, bound=bound_of(made_as))


@BY_DIGITS
def test_threads_do_not_share_their_scores(made_as: type[Blocks]) -> None:
    sizes = replace(config().sizes, H=16, K=16, E=16)
    its = config(sizes=sizes, rotary=Rotary(16, 10_000.0))
    assert_same(params(its, "Q8_0", made_as=made_as), its, prompt=300, tokens=12, bound=bound_of(made_as))


@BY_DIGITS
def test_two_texts_that_begin_alike_do_not_meet(made_as: type[Blocks]) -> None:
    its = config()
    of = params(its, "Q8_0", made_as=made_as)
    of.one_token = one_token(of, its)
    shared = run(of, its, [4], run(of, its, [1, 2, 3], None).cache).cache
    first, second = (run(of, its, [id], shared) for id in (5, 6))
    third = run(of, its, [7], first.cache).stream_TD
    of.one_token = None
    assert_close(third, run(of, its, [1, 2, 3, 4, 5, 7], None).stream_TD[-1:], bound_of(made_as))
    assert shared.layers[0].key_KSE.shape[-2] == 4
    assert second.cache.layers[0].key_KSE.shape[-2] == 5


@BY_DIGITS
def test_one_that_looks_and_several_tokens_go_step_by_step(made_as: type[Blocks]) -> None:
    its = config()
    of, calls = params(its, "Q8_0", made_as=made_as), list[Any]()
    start = run(of, its, [1, 2], None).cache
    of.one_token = lambda *given: calls.append(given)
    seen = Capture("layers.1.attention.weights")
    run(of, its, [3], start, seen), run(of, its, [3, 4], start), run(of, its, [3], None)
    assert not calls
    assert seen["layers.1.attention.weights"].shape == (4, 1, 3)
    run(of, its, [3], start)
    assert len(calls) == 1


@pytest.mark.skipif(not library().by_digits(), reason="exact products are float32 here")
def test_numbers_without_digits_and_the_end_of_a_window_go_step_by_step() -> None:
    its = config(window=6, windowed=(0,))
    of = params(its, "Q8_0")
    quick = one_token(of, its)
    assert quick is not None
    start = run(of, its, [1, 2, 3, 4, 5], None).cache
    for weights, tokens in ((np.nan, 1), (1e-38, 1), (1.0, 3)):
        of.arrays["embedding.weight"][30] = weights
        slow = fast = start
        for _ in range(tokens):
            of.one_token = None
            expected = run(of, its, [30], slow)
            of.one_token = quick
            found = run(of, its, [30], fast)
            assert np.isnan(weights) or np.isfinite(found.stream_TD).all()
            np.testing.assert_allclose(found.stream_TD, expected.stream_TD, rtol=1e-3, atol=1e-5)
            slow, fast = expected.cache, found.cache


@pytest.mark.parametrize(
    "changed",
    [
        {"unit": Glu("gelu")},
        {"score_cap": 20.0},
        {"norm": "layer"},
        {"parallel": True},
        {"residual_scale": 0.5},
        {"clip": 3.0},
        {"unturned": (1,)},
        {"local_rotary": Rotary(64, 100.0), "windowed": (1,), "window": 9},
        {"causal": False},
        {"heads_normed": True},
        {"value_norms": True},
        {"rotary": Rotary(64, 10_000.0, growth=Growth(0.1, 100))},
        {"sizes": replace(config().sizes, U=32)},
    ],
    ids=str,
)
def test_a_model_that_does_more_goes_step_by_step(changed: dict[str, Any]) -> None:
    plain, other = config(), config(**changed)
    of = params(plain, "Q8_0", made_as=RoundedBlocks)
    assert one_token(of, plain) is not None
    assert one_token(of, other) is None


@pytest.mark.parametrize("name", ["attention.norm_after.weight", "feedforward.down.bias", "attention.sink"])
def test_one_array_more_is_one_step_more(name: str) -> None:
    of = params(config(), "Q8_0", made_as=RoundedBlocks)
    assert one_token(Params({**of.arrays, f"layers.1.{name}": np.ones(256, np.float32)}), config()) is None


def test_a_streamed_model_goes_step_by_step() -> None:
    """Its matrices need not be there any more when C comes back to them."""
    of = params(config(), "Q8_0", made_as=RoundedBlocks)
    makers = {name: partial(of.arrays.__getitem__, name) for name in of.arrays}
    assert one_token(Params(OnDemand(makers), keep=False), config()) is None


def test_a_matrix_of_another_kind_goes_step_by_step() -> None:
    of = params(config(), "Q8_0", made_as=RoundedBlocks)
    exact = random_blocks("Q8_0", 256, 8)
    others: list[Any] = [np.ones((256, 256), np.float32), Blocks(COMPILED["F32"], np.zeros((256, 1024), np.uint8), 1)]
    for other in (*others, Blocks(COMPILED["Q8_0"], exact, 1)):
        assert one_token(Params({**of.arrays, "layers.1.feedforward.down.weight": other}), config()) is None


def test_smollm2(smollm2: Model) -> None:
    """What it writes is what prepared weights write."""
    rounding = open_model("smollm2", offline=True, precision="int8")
    exact = open_model("smollm2", offline=True, kernels="compiled")
    assert rounding.params.one_token is not None
    assert (exact.params.one_token is not None) == bool(library().by_digits())
    ids, caches = [504, 3575, 282, 4649, 314], list[Cache | None]([None, None])
    for _ in range(6):
        done = [model.run(ids, cache=cache) for model, cache in zip((smollm2, exact), caches, strict=True)]
        assert_close(done[1].stream_TD, done[0].stream_TD)
        ids, caches = [int(smollm2.logits(done[0].stream_TD)[-1].argmax())], [each.cache for each in done]
