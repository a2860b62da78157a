"""Which tiny models stand for kinds that came last: decoders of which few are published, and further kin of BERT."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import transformers as t
from golden_decoders import PART, SMALL, small
from golden_encoders import BASES
from golden_families import Family, eager
from golden_kin import Seen, kin
from golden_later import ROTATION_IN_THREE, with_pictures

if TYPE_CHECKING:
    import torch


class SqueezeBert(t.SqueezeBertForMaskedLM):
    """The reference gives the scores in place of the weights."""

    def forward(self, *arguments: Any, **given: Any) -> Any:
        output = super().forward(*arguments, **given)
        output.attentions = tuple(scores.softmax(dim=-1) for scores in output.attentions or ())
        return output


class Upright:
    """The streams of a layer that works on the numbers of all tokens side by side."""

    def __init__(self, module: Any, after: bool) -> None:
        self.module, self.after = module, after

    def register_forward_pre_hook(self, hook: Any, with_kwargs: bool) -> Any:
        turned = lambda module, given, more: hook(module, (given[0].mT,), more)  # noqa: E731
        return self.module.register_forward_pre_hook(turned, with_kwargs=with_kwargs)

    def register_forward_hook(self, hook: Any) -> Any:
        return self.module.register_forward_hook(lambda module, given, output: hook(module, given, output.mT))


def squeezed(model: Any) -> Any:
    layers = model.transformer.encoder.layers
    return [Seen(Upright(layer.attention, False), Upright(layer.output, True)) for layer in layers]


class Longformer(t.LongformerForMaskedLM):
    """The reference gives the weights of each token's window."""

    def forward(self, *arguments: Any, **given: Any) -> Any:
        output = super().forward(*arguments, **given)
        output.attentions = tuple(self.spread(weights) for weights in output.attentions or ())
        return output

    @staticmethod
    def spread(near: torch.Tensor) -> torch.Tensor:
        """[..., H, T, 2W + 1] to [..., H, T, T]."""
        *_, tokens, width = near.shape
        whole = near.new_zeros(*near.shape[:-1], tokens + width - 1)
        for at in range(tokens):
            whole[..., at, at : at + width] = near[..., at, :]
        return whole[..., width // 2 : width // 2 + tokens]


FAMILIES = [
    small("nanochat", t.NanoChatConfig, t.NanoChatForCausalLM, rope_parameters=PART, final_logit_softcapping=2.0),
    replace(
        small(
            "openai-gpt",
            t.OpenAIGPTConfig,
            t.OpenAIGPTLMHeadModel,
            layers=lambda model: model.transformer.h,
        ),
        config=eager(t.OpenAIGPTConfig, vocab_size=47, n_positions=40, n_embd=16, n_layer=2, n_head=2),
    ),
    Family(
        "modernbert-decoder",
        eager(
            t.ModernBertDecoderConfig,
            **{key: value for key, value in SMALL.items() if key not in ("head_dim", "num_key_value_heads")},
            local_attention=6,
            rope_parameters=BASES,
            cls_token_id=1,
            sep_token_id=2,
        ),
        t.ModernBertDecoderForCausalLM,
        tokens=11,
        prompt=5,
        vocabulary=47,
    ),
    replace(
        with_pictures(
            "glm4v",
            t.Glm4vConfig,
            t.Glm4vForConditionalGeneration,
            {
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "rope_parameters": {**ROTATION_IN_THREE, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.5},
            },
            {
                "hidden_size": 8,
                "depth": 1,
                "num_heads": 2,
                "image_size": 8,
                "patch_size": 4,
                "out_hidden_size": 16,
                "intermediate_size": 10,
            },
        ),
        tokens=11,
        prompt=5,
    ),
    kin(
        "squeezebert",
        t.SqueezeBertConfig,
        SqueezeBert,
        squeezed,
        embedding_size=8,
        q_groups=2,
        intermediate_groups=2,
        output_groups=1,
    ),
    replace(
        kin(
            "longformer",
            t.LongformerConfig,
            Longformer,
            lambda model: model.longformer.encoder.layer,
            attention_window=[4, 6],
            pad_token_id=1,
        ),
        tokens=12,
    ),
]
