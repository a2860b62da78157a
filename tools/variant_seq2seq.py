"""The encoder–decoders that are kin of BART in `variants.py`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
from variant_draw import ACTIVATIONS, Draw, perhaps

BARTS: dict[str, tuple[Any, Any]] = {
    "bart": (t.BartConfig, t.BartForConditionalGeneration),
    "mbart": (t.MBartConfig, t.MBartForConditionalGeneration),
    "pegasus": (t.PegasusConfig, t.PegasusForConditionalGeneration),
    "m2m_100": (t.M2M100Config, t.M2M100ForConditionalGeneration),
    "blenderbot": (t.BlenderbotConfig, t.BlenderbotForConditionalGeneration),
    "plbart": (t.PLBartConfig, t.PLBartForConditionalGeneration),
    "blenderbot-small": (t.BlenderbotSmallConfig, t.BlenderbotSmallForConditionalGeneration),
}


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        config, model = BARTS[name]
        heads = random.choice((1, 2, 3))
        found: dict[str, Any] = {"vocab_size": random.randint(40, 140), "d_model": heads * 2 * random.choice((2, 5, 8))}
        for stack in ("encoder", "decoder"):
            found |= {f"{stack}_attention_heads": random.choice((heads, 1)), f"{stack}_layers": random.randint(1, 3)}
            found[f"{stack}_ffn_dim"] = random.randint(5, 60)
        found |= {"max_position_embeddings": 64, "decoder_start_token_id": 2}
        found |= perhaps(random, activation_function=ACTIVATIONS, scale_embedding=(True, False))
        found |= perhaps(
            random,
            tie_word_embeddings=(True, True, True, True, False),
            pad_token_id=(0, 1, 5),
            forced_bos_token_id=(0, 7),
        )
        head = random.choice(("", "SequenceClassification", "QuestionAnswering")) if name in ("bart", "mbart") else ""
        if head:
            found |= {"num_labels": random.choice((1, 2, 5))} if head.startswith("S") else {}
            model = getattr(t, model.__name__.replace("ConditionalGeneration", head))
        return Draw(name, config(**found), model, "read-twice" if head else "encoder-decoder")

    draw.__name__ = name
    return draw


FAMILIES = tuple(drawing(name) for name in BARTS)
