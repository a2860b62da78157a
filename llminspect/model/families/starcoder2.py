"""StarCoder 2: layer norms, a window, biases on every map, a feed-forward step without a gate.

Lozhkov et al. 2024, "StarCoder 2 and The Stack v2", section 6.1.
"""

from __future__ import annotations

from functools import partial

from llminspect.core.feedforward import Glu
from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    biased = (*files.ATTENTION, *files.UNGATED) if settings.flag("use_bias") else ()
    found = files.from_huggingface(settings, epsilon="norm_epsilon", norm="layer", biased=biased)
    settings.only("norm_type", "layer_norm")  # In the published files, as the next, beside what the reference reads.
    settings.only("mlp_type", "default")
    return files.with_windows(found, settings)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    feed_forward = files.ungated_specs(config, "c_fc", "c_proj")
    layer = [*files.BIASED_NORMS_BEFORE, *files.attention_specs(config), *feed_forward]
    return files.around_layers(config, layer, final=files.BIASED_FINAL_NORM)


DEFAULTS = {
    "hidden_act": "gelu_pytorch_tanh",
    "norm_epsilon": 1e-5,
    "num_key_value_heads": 2,
    "use_bias": True,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}
# Without the window, which is not stated there.
OF_GGUF = partial(files.from_gguf, norm="layer", unit=Glu("gelu_tanh"))
ARCHITECTURE = files.family("starcoder2", from_huggingface, tensors, read_gguf=OF_GGUF, defaults=DEFAULTS)
