"""Reading a configuration so that nothing in it is dropped: what is never asked for is refused in the end."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from llminspect.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Value = TypeVar("Value")

HARMLESS = frozenset(
    """
    _name_or_path _commit_hash architectures auto_map custom_pipelines dtype id2label label2id _num_labels num_labels
    model_type name_or_path problem_type finetuning_task task_specific_params prefix tokenizer_class torch_dtype
    torchscript transformers_version transformers.js_config unsloth_fixed unsloth_version use_cache
    bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id decoder_start_token_id
    initializer_range initializer_factor init_std gradient_checkpointing pretraining_tp neftune_noise_alpha
    attention_dropout attention_probs_dropout_prob attn_pdrop embd_pdrop resid_pdrop hidden_dropout hidden_dropout_prob
    dropout dropout_rate activation_dropout classifier_dropout embedding_dropout layerdrop
    output_attentions output_hidden_states output_past output_router_logits router_aux_loss_coef router_jitter_noise
    return_dict chunk_size_feed_forward _attn_implementation _attn_implementation_autoset attn_implementation
    _flash_attn_2_enabled use_bfloat16 tf_legacy_loss
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id
    renormalize_logits remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    """.split()
)
"""Keys that change no number of a forward pass: training, bookkeeping, how the reference implementation computes, how
it would choose tokens, and ids that the tokenizer states as well."""

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
"""`core.feedforward.ACTIVATIONS` by their names in `config.json`."""

MOST_REPEATED = 4096
"""Layers or experts; the largest published models have some hundreds. A file's own number is a promise, not a fact."""
_REPEATED = ("layer", "layers", "block_count", "experts", "expert_count")
_LARGEST = 1 << 40


@contextmanager
def understood(where: str) -> Iterator[None]:
    """Around what only reads a stranger's settings: where their kinds do not fit together, the file is to blame."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        what = " ".join(str(error).split())
        raise ModelError(f"{where} is not understood: {what:.200}", "check it where the model came from") from None


class Settings:
    """A configuration and which of its keys were read.

    Raises ModelError: a key that is needed is missing, a value is none of those that are known, and at `done` a key
    that nobody read and that says something (is not None, False, 0 or empty).
    """

    def __init__(self, values: Mapping[str, Any], where: str, metadata: Mapping[str, Any] | None = None) -> None:
        self.values, self.where = values, where
        self.metadata = values if metadata is None else metadata
        """All that the file says: of a GGUF file also what is not of its family."""
        self._read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` where the key is missing or None; only where the format itself defines one."""
        self._read.add(key)
        value = self.values.get(key)
        return default if value is None else value

    def need(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            raise ModelError(f"{self.where} lacks the setting {key!r}")
        return value

    def skip(self, *keys: str) -> None:
        """Keys that change no number of this family, or repeat what others say."""
        self._read.update(keys)

    def flag(self, key: str, default: bool = False) -> bool:
        return bool(self.get(key, default))

    def perhaps(self, key: str) -> float | None:
        """A number, or None where there is none."""
        value = self.get(key)
        return None if value is None else float(value)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number above 0; of layers and experts not more than there can be."""
        value = self.need(key) if default is None else self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(key, "a whole number above 0")
        if value > (most := MOST_REPEATED if key.endswith(_REPEATED) else _LARGEST):
            raise self.wrong(key, f"at most {most:,}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.need(key) if default is None else self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
            raise self.wrong(key, "a number")
        return float(value)

    def one_of(self, key: str, known: Mapping[str, Value], default: str | None = None) -> Value:
        """What `known` has for the value."""
        value = self.need(key) if default is None else self.get(key, default)
        if not isinstance(value, str) or value not in known:
            raise self.wrong(key, " or ".join(known))
        return known[value]

    def only(self, key: str, *accepted: Any) -> None:
        """Any other value would be a model that this is not."""
        value = self.get(key)
        if value is not None and value not in accepted:
            raise self.wrong(key, " or ".join(map(str, accepted)))

    def wrong(self, key: str, known: str) -> ModelError:
        return ModelError(f"{self.where}: {key} = {self.values.get(key)!r:.60} is not understood", f"known: {known}")

    def under(self, key: str) -> Settings:
        """A configuration inside this one."""
        value = self.need(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Settings(value, f"{self.where}, {key}")

    def done(self) -> None:
        allowed = self._read | HARMLESS
        strange = sorted(
            key for key, value in self.values.items() if key not in allowed and value not in (None, False, "", [], {})
        )
        if strange:
            named = ", ".join(f"{key} = {self.values[key]!r:.60}" for key in strange)
            raise ModelError(
                f"{self.where} has settings that are not understood: {named}",
                "a setting that is not understood could change every number, so the model is not opened",
            )


def huggingface(config: Mapping[str, Any]) -> Settings:
    """Of a `config.json`. Raises ModelError where it says that the weights are quantized."""
    settings = Settings(config, "config.json")
    quantized = settings.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method", "unknown") if isinstance(quantized, dict) else "unknown"
        raise ModelError(
            f"the weights are quantized ({method}), which is not understood in safetensors files",
            "take the model's unquantized weights, or a GGUF file of it",
        )
    return settings


def gguf(metadata: Mapping[str, Any]) -> Settings:
    """The keys of a GGUF file that begin with its family's name, without that, and the size of its vocabulary."""
    prefix = f"{metadata['general.architecture']}."
    values = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list):
        values["vocab_size"] = len(tokens)
    return Settings(values, f"this GGUF file ({prefix}*)", metadata)
