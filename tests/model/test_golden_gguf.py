"""A GGUF file of a golden model's weights gives the reference's numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llminspect.errors import ModelError
from llminspect.files.gguf import GGUFFile
from llminspect.model.opened import Model
from llminspect.model.params import Params
from llminspect.model.registry import architecture_for, claim
from tests.model.gguf_of import KINDS, UNSAID, write
from tests.model.golden import Golden, assert_as_expected, computed, greedy

ARCHITECTURE = "general.architecture"
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def opened(
    golden: Golden,
    folder: Path,
    more: Callable[[Any], None] = lambda _: None,
    kind: str | None = None,
    without: str | None = None,
) -> Model:
    """As `open_model` opens it, but without the tokenizer, which these files only pretend to have; as of the `kind`,
    and `without` a key."""
    write(golden, folder / "model.gguf", more)
    file = GGUFFile(folder / "model.gguf")
    name = str(file.metadata["general.architecture"])
    architecture = architecture_for(kind or name, "gguf")
    assert architecture.config_from_gguf is not None
    stated = {key.replace(f"{name}.", f"{kind or name}."): value for key, value in file.metadata.items()}
    stated.pop(f"{kind or name}.{without}", None)
    config = UNSAID.get(golden.name, same)(architecture.config_from_gguf({**stated, ARCHITECTURE: kind or name}))
    config = config if architecture.settle is None else architecture.settle(config, file)
    arrays = {}
    for spec in claim(architecture, config, "gguf", {name: info.shape for name, info in file.tensors.items()}):
        (source,) = spec.sources("gguf")
        fix = spec.gguf_fix
        array = file.array(source)
        arrays[spec.name] = array if fix is None else fix(array, config)
    return Model(golden.name, architecture, config, Params(arrays), None)


@pytest.mark.parametrize("name", KINDS)
def test_the_numbers_are_the_reference_s(name: str, tmp_path: Path) -> None:
    golden = Golden(name)
    model = opened(golden, tmp_path)
    found = computed(model, golden)
    assert_as_expected(found, golden)
    if "greedy" in golden.expected:
        assert greedy(model, golden, cached=True) == golden.expected["greedy"].tolist()


def write_sections(writer: Any) -> None:
    writer.add_rope_dimension_sections([1, 1, 1, 0])


@pytest.mark.parametrize(
    ("name", "kind", "more", "change"),
    [
        ("llama", "xverse", lambda writer: writer.add_tensor_data_layout("Meta AI original pth"), {}),
        ("llama", "baichuan", lambda writer: None, {}),
        ("llama", "internlm2", lambda writer: None, {}),
        ("ernie4_5", "exaone", lambda writer: None, {"pairs": "interleaved"}),
        ("llama", "llama-embed", lambda writer: writer.add_causal_attention(True), {}),
        ("ernie4_5", "paddleocr", write_sections, {"pairs": "interleaved"}),
        ("hunyuan", "hunyuan_vl", write_sections, {}),
    ],
)
def test_a_kind_of_another_name(name: str, kind: str, more: Any, change: Any, tmp_path: Path) -> None:
    model = opened(Golden(name), tmp_path, more, kind)
    if "pairs" in change:
        assert model.config.rotary.pairs == "halves"  # type: ignore[union-attr]
        turned = replace(model.config, rotary=replace(model.config.rotary, **change))  # type: ignore[type-var]
        model = replace(model, config=turned)
    assert_as_expected(computed(model, Golden(name)), Golden(name))


def test_a_minicpm_is_a_granite_whose_scores_have_llama_s_scale(tmp_path: Path) -> None:
    golden = Golden("granite")
    model = opened(golden, tmp_path, kind="minicpm", without="attention.scale")
    assert model.config.scale_of(0) == pytest.approx(model.config.sizes.E**-0.5)
    as_granite = replace(model.config, scale=golden.config()["attention_multiplier"])
    assert_as_expected(computed(replace(model, config=as_granite), golden), golden)


def test_a_base_that_is_not_stretched_yet_is_stretched(tmp_path: Path) -> None:
    key, golden = "hunyuan_vl.rope.freq_base", Golden("hunyuan")
    write(golden, tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata
    stated = {name.replace("hunyuan-dense.", "hunyuan_vl."): value for name, value in metadata.items()}
    stated |= {ARCHITECTURE: "hunyuan_vl", key: 100.0, "hunyuan_vl.rope.scaling.alpha": 3.0}
    read = architecture_for("hunyuan_vl", "gguf").config_from_gguf
    width = read(stated).sizes.E
    assert read(stated).rotary.base == pytest.approx(100 * 3 ** (width / (width - 2)))


def test_a_llama_embed_sees_both_ways(tmp_path: Path) -> None:
    write(Golden("llama"), tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata
    stated = {name.replace("llama.", "llama-embed."): value for name, value in metadata.items()}
    config = architecture_for("llama-embed", "gguf").config_from_gguf({**stated, ARCHITECTURE: "llama-embed"})
    assert config.causal is False


def test_the_larger_baichuan_is_refused(tmp_path: Path) -> None:
    write(Golden("llama"), tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata
    stated = {name.replace("llama.", "baichuan."): value for name, value in metadata.items()}
    with pytest.raises(ModelError, match="block_count = 40"):
        architecture_for("baichuan", "gguf").config_from_gguf(
            {**stated, ARCHITECTURE: "baichuan", "baichuan.block_count": 40}
        )


@pytest.mark.parametrize("wrong", ["steep", [0.5], [0.5, "steep"], [float("nan")] * 2])
def test_learned_functions_that_are_none_are_refused(wrong: Any, tmp_path: Path) -> None:
    write(Golden("apertus"), tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata
    with pytest.raises(ModelError, match="xielu"):
        architecture_for("apertus", "gguf").config_from_gguf({**metadata, "xielu.beta": wrong})


def test_a_table_that_no_version_of_t5_uses_may_be_there(tmp_path: Path) -> None:
    """The first T5s have one, and so have the GGUF files that are made of them."""
    golden = Golden("t5")
    write(golden, tmp_path / "model.gguf")
    file, architecture = GGUFFile(tmp_path / "model.gguf"), architecture_for("t5", "gguf")
    assert architecture.config_from_gguf is not None
    config = architecture.config_from_gguf(file.metadata)
    shapes = {name: info.shape for name, info in file.tensors.items()}
    unused = {"dec.blk.0.cross_attn_rel_b.weight": shapes["dec.blk.0.attn_rel_b.weight"]}
    assert claim(architecture, config, "gguf", shapes | unused) == claim(architecture, config, "gguf", shapes)


@pytest.mark.parametrize("rounding", [0.0, 0.3])
def test_a_t5_that_has_its_embedding_twice_is_tied(rounding: float, tmp_path: Path) -> None:
    """As files made of the first checkpoints have it, quantized or not: what is read out is divided all the same."""
    golden = Golden("t5")
    embedding = load_file(golden.folder / "model.safetensors")["shared.weight"]
    spread = np.random.default_rng(1).normal(size=embedding.shape) * embedding.std() * rounding
    model = opened(golden, tmp_path, lambda writer: writer.add_tensor("output.weight", embedding + np.float32(spread)))
    assert model.config.scaled is True and "unembedding.weight" in model.params  # type: ignore[attr-defined]
    if not rounding:
        assert_as_expected(computed(model, golden), golden)


def test_a_t5_with_an_output_matrix_of_its_own_is_not(tmp_path: Path) -> None:
    golden = Golden("t5")
    embedding = load_file(golden.folder / "model.safetensors")["shared.weight"]
    other = opened(golden, tmp_path, lambda writer: writer.add_tensor("output.weight", embedding[::-1].copy()))
    assert other.config.scaled is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(("pattern", "windowed"), [(None, (0, 1, 2, 3, 4, 6)), (3, (0, 1, 3, 4, 6))])
def test_the_layers_with_a_window(pattern: int | None, windowed: tuple[int, ...], tmp_path: Path) -> None:
    key = "gemma3.attention.sliding_window_pattern"
    write(Golden("gemma3"), tmp_path / "model.gguf")
    metadata = GGUFFile(tmp_path / "model.gguf").metadata
    read = architecture_for("gemma3", "gguf").config_from_gguf
    assert read is not None
    assert read(metadata | ({} if pattern is None else {key: pattern})).windowed == windowed
    marked = [index in windowed for index in range(7)]
    assert read(metadata | {key: marked}).windowed == windowed
    for wrong in ([*marked, True], ["yes"] * 7, "six"):
        with pytest.raises(ModelError, match="sliding_window_pattern"):
            read(metadata | {key: wrong})


def same(config: Any) -> Any:
    return config
