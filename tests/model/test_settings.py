"""Every setting is read, known by its name, or refused; every number has a range; a copy that is none is refused."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llminspect.errors import ModelError, as_json, understood
from llminspect.model.known_settings import HARMLESS, MAY_BE_OFF, RANGES
from llminspect.model.registry import architecture_for, architecture_of
from llminspect.model.settings import Settings
from llminspect.opening import describe_model, open_model
from tests.model.golden import FOLDER, NAMES, Golden

if TYPE_CHECKING:
    from pathlib import Path

NOTHING: list[Any] = [None, False, 0, 0.0, "", [], {}]
DECODERS = [name for name in NAMES if "greedy" in Golden(name).expected and not Golden(name).has_source]


def read(config: dict[str, Any]) -> Any:
    return architecture_of(config, "huggingface", "it").config_from_huggingface(config)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [*NOTHING, True, 1], ids=repr)
def test_a_key_that_is_not_known_is_refused_whatever_it_says(name: str, value: Any) -> None:
    with pytest.raises(ModelError, match="not understood: strange"):
        read({**Golden(name).config(), "strange": value})


@pytest.mark.parametrize("key", sorted(MAY_BE_OFF))
def test_a_part_of_other_families_may_be_off_and_not_on(key: str) -> None:
    def done(value: Any) -> None:
        Settings({key: value}, "config.json").done()

    off: list[Any] = [[], ["full_attention"]] if key == "layer_types" else [None, False, 0, "", [], {}]
    on: list[Any] = [True, 1, 0.5, "yes", ["sliding_attention"], {"a": 1}]
    for value in off:
        done(value)
    for value in on:
        with pytest.raises(ModelError, match=key):
            done(value)


def test_what_is_harmless_may_say_anything() -> None:
    assert not HARMLESS & MAY_BE_OFF
    Settings({key: value for value in (True, 7, "x", None) for key in HARMLESS}, "config.json").done()


@pytest.mark.parametrize("name", NAMES)
def test_keys_of_published_files_that_change_nothing_open_the_same_model(name: str) -> None:
    config = Golden(name).config()
    more = {"model_max_length": 99, "seq_length": 9, "max_new_tokens": 5, "eos_token_ids": [2], "license": "mit"}
    assert read({**config, **more}) == read(config)


def test_a_setting_can_be_passed_over_by_its_name() -> None:
    config = {**Golden("llama").config(), "strange": 3}
    family = architecture_for("llama", "huggingface")
    assert family.config_from_huggingface(config, ignored=["strange"]) == read(Golden("llama").config())


@pytest.mark.parametrize("name", NAMES)
def test_a_number_out_of_its_range_is_refused(name: str) -> None:
    config = Golden(name).config()
    for key in config.keys() & RANGES.keys():
        low, high = RANGES[key]
        for value in (low - 1e-3 - abs(low), high * 2, float("nan"), float("inf"), True, "1", [1]):
            with pytest.raises(ModelError, match=key):
                read({**config, key: value})


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_that_sees_both_ways_says_so(name: str) -> None:
    config = Golden(name).config()

    if read(config).state is not None or config["model_type"] in ("gpt_neo", "openai-gpt", "modernbert-decoder"):
        # A state is made from the front; the first GPT and GPT-Neo mask what comes after whatever is written.
        with pytest.raises(ModelError, match="is_causal"):
            read({**config, "is_causal": False})
        return

    def saying(value: Any) -> Any:
        inner = config.get("text_config")
        return read(config | ({"text_config": inner | {"is_causal": value}} if inner else {"is_causal": value}))

    assert read(config).causal and saying(True).causal
    assert not saying(False).causal
    assert not saying(None).causal
    wrong: list[Any] = [0, 1, "no", []]
    for value in wrong:
        with pytest.raises(ModelError, match="is_causal"):
            saying(value)


def test_a_gguf_decoder_that_sees_both_ways_says_so() -> None:
    llama = architecture_for("llama", "gguf")
    keys: dict[str, Any] = {
        "block_count": 1,
        "embedding_length": 4,
        "attention.head_count": 2,
        "feed_forward_length": 4,
    }
    keys |= {"context_length": 8, "attention.layer_norm_rms_epsilon": 1e-5}
    metadata: dict[str, Any] = {f"llama.{key}": value for key, value in keys.items()}
    metadata |= {"general.architecture": "llama", "tokenizer.ggml.tokens": ["a"]}
    assert llama.config_from_gguf(metadata).causal
    assert not llama.config_from_gguf({**metadata, "llama.attention.causal": False}).causal


@pytest.mark.parametrize(("name", "key"), [("mixtral", "num_experts_per_tok"), ("qwen3-moe", "num_experts_per_tok")])
def test_no_more_experts_work_than_there_are(name: str, key: str) -> None:
    with pytest.raises(ModelError, match=f"{key} = 99"):
        read({**Golden(name).config(), key: 99})


DEFAULTS: dict[str, dict[str, Any]] = json.loads((FOLDER / "defaults.json").read_text())
"""What the reference's class takes for each key without which a golden configuration is another (tools/defaults.py)."""


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_key_that_is_left_out_has_the_reference_s_default(name: str) -> None:
    config = Golden(name).config()
    # Of the start token its `generate` takes what the file says, or BOS: test_target_start.py.
    for key, default in ((key, value) for key, value in DEFAULTS[name].items() if key != "decoder_start_token_id"):
        *around, last = key.split(".")
        without, stated = (json.loads(json.dumps(config)) for _ in range(2))
        for changed in (without, stated):
            inner = changed
            for part in around:
                inner = inner[part]
            inner.pop(last)
            if changed is stated:
                inner[last] = default
        assert outcome(without) == outcome(stated), key


def outcome(config: dict[str, Any]) -> Any:
    """What is read of it, or why it is refused: of a model as small as these a default may be impossible."""
    try:
        return read(config)
    except ModelError as error:
        return error.message


@pytest.mark.parametrize("name", ["apertus", "cwm", "gpt-oss", "ministral3"])
def test_a_rotation_that_is_null_is_that_of_the_definition(name: str) -> None:
    config = {key: value for key, value in Golden(name).config().items() if key != "rope_parameters"}
    assert read({**config, "rope_parameters": None}) == read(config)
    if name == "apertus":  # Beside it, the reference passes over a base.
        with pytest.raises(ModelError, match="rope_theta = 400"):
            read({**config, "rope_theta": 400})


def test_a_t5_whose_tying_is_null_is_scaled() -> None:
    config = Golden("t5").config("config.older.json")
    assert read({**config, "tie_word_embeddings": None}).scaled
    assert not read({**config, "tie_word_embeddings": False}).scaled


INNER: dict[tuple[str, ...], tuple[str, str]] = {}
"""The objects in the golden configurations: their keys, and one that has them, by the name of the model and its own."""
for each in NAMES:
    for key, value in Golden(each).config().items():
        if isinstance(value, dict) and key not in ("id2label", "label2id", "vision_config"):
            INNER.setdefault(tuple(sorted(value)), (each, key))


@pytest.mark.parametrize(("name", "inside"), INNER.values())
def test_what_cannot_be_inside_an_object_is_refused_or_read_as_a_number(name: str, inside: str) -> None:
    """`tools/impossible.py` gives each key of each configuration what cannot be, and runs a pass."""

    def numbers(of: Any) -> list[Any]:
        values = vars(of).values() if hasattr(of, "__dict__") else of if isinstance(of, tuple) else ()
        return [of] if isinstance(of, int | float) else [number for value in values for number in numbers(value)]

    def changed(inner: Any, value: Any) -> list[Any]:
        each = [{**inner, key: value} for key in inner]
        return each + [
            {**inner, key: one} for key in inner if isinstance(inner[key], dict) for one in changed(inner[key], value)
        ]

    config = Golden(name).config()
    for value in (-1, 1e300, float("nan"), True, None, "1"):
        for other in changed(config[inside], value):
            with suppress(ModelError), understood("it"):
                found = read({**config, inside: other})
                assert all(np.isfinite(number) for number in numbers(found))
                assert all(
                    type(size) is int and size >= 0
                    for size in (*vars(found.sizes).values(), *found.heads_of(found.sizes.L - 1))
                )


def test_a_cap_that_is_null_is_none() -> None:
    config = Golden("gemma2").config()
    assert read({**config, "final_logit_softcapping": None}).logit_cap is None


def test_gpt_neox_turns_a_quarter_where_nothing_says_how_much() -> None:
    config = Golden("gpt-neox").config("config.older.json")
    del config["rotary_pct"]
    assert read({**config, "hidden_size": 96}).rotary.width == 8


def test_gpt_oss_has_the_rotation_of_its_definition() -> None:
    config = Golden("gpt-oss").config()
    del config["rope_parameters"]
    found = read(config).rotary
    assert (found.base, found.scaling.factor, found.scaling.context) == (150_000, 32, 4096)


def changed_copy(name: str, tensor: str, folder: Path, change: Any) -> Path:
    """A golden model with one tensor more or another value in it."""
    golden = Golden(name)
    arrays = load_file(golden.folder / "model.safetensors")
    arrays[tensor] = change(arrays)
    shutil.copy(golden.folder / "config.json", folder)
    save_file(arrays, folder / "model.safetensors")
    return folder


COPIES: list[tuple[str, str, Any]] = [
    ("bert", "cls.predictions.decoder.bias", lambda arrays: arrays["cls.predictions.bias"]),
    ("roberta", "lm_head.decoder.bias", lambda arrays: arrays["lm_head.bias"]),
    ("bert", "bert.embeddings.position_ids", lambda arrays: np.arange(64)[None]),
    ("marian", "model.encoder.embed_tokens.weight", lambda arrays: arrays["model.shared.weight"]),
    ("marian", "lm_head.weight", lambda arrays: arrays["model.shared.weight"]),
    ("t5", "decoder.embed_tokens.weight", lambda arrays: arrays["shared.weight"]),
    ("gpt2", "transformer.h.0.attn.bias", lambda arrays: np.tri(64, dtype=np.float32)[None, None]),
    ("gpt2", "transformer.h.0.attn.masked_bias", lambda arrays: np.full((), -1e4, np.float32)),
    ("gpt-neox", "gpt_neox.layers.0.attention.bias", lambda arrays: np.tri(64, dtype=bool)[None, None]),
    (
        "llama",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        lambda arrays: (500.0 ** (-np.arange(0, 10, 2) / 10)).astype(np.float32),
    ),
]


@pytest.mark.parametrize(("name", "tensor", "copy"), COPIES, ids=[tensor for _, tensor, _ in COPIES])
def test_a_copy_is_passed_over_and_one_that_is_none_is_refused(
    name: str, tensor: str, copy: Any, tmp_path: Path
) -> None:
    expected = open_model(str(Golden(name).folder))
    (tmp_path / "same").mkdir()
    found = open_model(str(changed_copy(name, tensor, tmp_path / "same", copy)))
    assert sorted(found.params.arrays) == sorted(expected.params.arrays)

    def other(arrays: dict[str, Any]) -> Any:
        array = np.array(copy(arrays))
        array.reshape(-1)[-1] = 0 if array.reshape(-1)[-1] != 0 else 1
        return array

    (tmp_path / "other").mkdir()
    folder = str(changed_copy(name, tensor, tmp_path / "other", other))
    for how in ({}, {"streamed": True}, {"kernels": "compiled"}):
        with pytest.raises(ModelError, match="is not what it should repeat"):
            model = open_model(folder, **how)
            [model.params[name] for name in model.params.arrays]


def test_a_head_is_whole_or_not_there(tmp_path: Path) -> None:
    golden = Golden("bert")
    arrays = load_file(golden.folder / "model.safetensors")
    del arrays["cls.predictions.transform.LayerNorm.bias"]
    shutil.copy(golden.folder / "config.json", tmp_path)
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"missing: cls\.predictions\.transform\.LayerNorm\.bias"):
        describe_model(str(tmp_path))


def test_no_warning_of_numpy_s_comes_of_a_number_that_is_allowed(tmp_path: Path) -> None:
    """(Warnings are errors in the tests.) The ends of every range, in a pass."""
    for name in ("llama", "gemma2", "gpt-oss"):
        golden = Golden(name)
        for key in golden.config().keys() & RANGES.keys():
            for value in RANGES[key]:
                folder = tmp_path / f"{name}-{key}-{value}"
                folder.mkdir()
                shutil.copy(golden.folder / "model.safetensors", folder)
                (folder / "config.json").write_text(json.dumps({**golden.config(), key: value}))
                model = open_model(str(folder), finite=False)
                model.logits(model.run([5, 6, 7]).stream_TD)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"strange": None}, "strange = null"),
        ({"strange": False, "stranger": {"a": [True]}}, 'strange = false, stranger = {"a": [true]}'),
        ({"rms_norm_eps": False}, "rms_norm_eps = false is not understood"),
        ({"hidden_act": "gelu2"}, 'hidden_act = "gelu2" is not understood'),
        ({"tie_word_embeddings": "\u202eno"}, r'tie_word_embeddings = "\u202eno" is not understood'),
        ({"rope_parameters": {}}, "rope_parameters lacks the setting 'rope_type'"),
        ({"rope_parameters": {"type": None}}, "rope_parameters lacks the setting 'rope_type'"),
        ({"rope_parameters": {"rope_type": True}}, "rope_type = true is not understood"),
        ({"rope_parameters": None, "rope_scaling": {"type": "magic"}}, 'type = "magic" is not understood'),
    ],
    ids=str,
)
def test_a_value_in_an_error_is_written_as_in_the_file(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as error:
        read({**Golden("llama").config(), **changed})
    assert message in error.value.message


def test_a_value_that_is_long_or_cannot_be_written_is_shortened() -> None:
    assert as_json("x" * 99) == '"' + "x" * 59 + "…"
    assert as_json({1, 2}) == "a set"
    assert as_json(10**5000) == "a int"
    assert as_json([1.5, None, "é"], 40) == '[1.5, null, "é"]'
