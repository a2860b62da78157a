"""What a BART and its kin may not say, and the waves that a file may hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llminspect.analysis.stated_settings import of_transformers
from llminspect.core.positions import sinusoids
from llminspect.core.tap import Capture
from llminspect.errors import ModelError
from llminspect.model.copies import waves
from llminspect.model.registry import architecture_for
from llminspect.opening import open_model
from tests.model.golden import Golden

KINDS = ["bart", "blenderbot", "blenderbot-small", "m2m_100", "marian", "mbart", "pegasus", "plbart"]


def read(name: str, **changed: Any) -> Any:
    return architecture_for(name, "huggingface").config_from_huggingface({**Golden(name).config(), **changed})


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("bart", "normalize_before", True),
        ("mbart", "add_final_layer_norm", False),
        ("pegasus", "normalize_embedding", True),
        ("blenderbot", "static_position_embeddings", True),
        ("blenderbot-small", "add_bias_logits", True),
        ("bart", "is_encoder_decoder", False),
        ("m2m_100", "pad_token_id", 41),
        ("m2m_100", "pad_token_id", None),
        ("m2m_100", "d_model", 3),
        ("mbart", "activation_function", "strange"),
        *((name, "num_hidden_layers", 1) for name in KINDS),
        *((name, "encoder_attention_heads", 5) for name in KINDS),
    ],
)
def test_what_is_not_computed_is_refused(name: str, key: str, value: Any) -> None:
    with pytest.raises(ModelError, match=key):
        read(name, **{key: value})


@pytest.mark.parametrize(("older", "first"), [({}, None), ({"force_bos_token_to_be_generated": True}, 0)])
def test_the_older_key_of_the_first_token_is_read(older: dict[str, bool], first: int | None) -> None:
    model = open_model(str(Golden("bart").folder))
    found = of_transformers(replace(model, generation={**Golden("bart").config(), **older}))
    assert found is not None
    assert found.settings.forced_bos_token_id == first


def test_only_waves_of_its_own_kind_may_be_in_a_file() -> None:
    config, places = read("m2m_100"), np.arange(9)
    table_TD = sinusoids(np.zeros(1), places, config.sizes.D, "fairseq")
    table_TD[config.padding_id] = 0
    assert waves(table_TD, config) and not waves(sinusoids(np.zeros(1), places, config.sizes.D), config)
    assert not waves(table_TD[:, :18], config) and not waves(table_TD, read("bart"))


@pytest.mark.parametrize(("name", "gated", "scaled"), [("t5", False, True), ("mt5", True, False), ("umt5", True, True)])
def test_what_a_t5_of_another_name_is_by_default(name: str, gated: bool, scaled: bool) -> None:
    stated = ("feed_forward_proj", "dense_act_fn", "is_gated_act")
    values = {key: value for key, value in Golden("t5").config().items() if key not in stated}
    found = architecture_for(name, "huggingface").config_from_huggingface({**values, "model_type": name})
    assert (found.gated, found.scaled, found.distances_in_layers) == (gated, scaled, name == "umt5")


def test_tokens_that_are_normed_by_themselves_are_not_scaled() -> None:
    """As the decoder of the reference's Blenderbot-small; its encoder scales, and norms the sum with positions."""
    golden = Golden("blenderbot-small")
    model = open_model(str(golden.folder), offline=True)
    assert model.config.embedding_scale == 1
    scaled = replace(model, config=replace(model.config, embedding_scale=3.0))
    source, ids = golden.expected["source_ids"], golden.expected["ids"]
    taps = [Capture("*embedding.output") for _ in range(2)]
    for one, tap in zip((model, scaled), taps, strict=True):
        one.run(ids, tap, one.encode_source(source, tap))
    first, second = taps
    assert np.array_equal(first["embedding.output"], second["embedding.output"])
    assert not np.allclose(first["encoder.embedding.output"], second["encoder.embedding.output"])
