"""nanochat: Llama's layers whose norms have no weight, also of what enters and of queries and keys once they are
turned; a feed-forward step that squares what is above 0.

Karpathy 2025, "nanochat: The best ChatGPT that $100 can buy".
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    biased = files.attention_biases(settings)
    return files.from_huggingface(
        settings,
        logit_cap=settings.perhaps("final_logit_softcapping"),
        weightless_norms=True,
        embedding_normed=True,
        heads_normed=True,
        biased=biased,
    )


def other_way(array: files.Array, config: files.DecoderConfig) -> files.Array:
    """It turns heads the other way round: as the others do where the halves of each head change places."""
    width = config.sizes.E
    halves = array.reshape(len(array) // width, 2, width // 2, *array.shape[1:])
    return halves[:, ::-1].reshape(array.shape)


TURNED = ("attention.query", "attention.key")


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    attention = [
        replace(spec, huggingface_fix=other_way) if spec.name.startswith(TURNED) else spec
        for spec in files.attention_specs(config)
    ]
    return files.around_layers(config, [*attention, *files.ungated_specs(config, "fc1", "fc2")], final=())


ARCHITECTURE = files.family(
    "nanochat",
    from_huggingface,
    tensors,
    defaults={"hidden_act": "relu2", "final_logit_softcapping": 15.0, "max_position_embeddings": 2048},
)
