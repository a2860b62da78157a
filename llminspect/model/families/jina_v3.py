"""jina-embeddings-v3: XLM-RoBERTa with queries and keys turned by position in place of a table.

Sturua et al. 2024, "jina-embeddings-v3: Multilingual Embeddings With Task LoRA", section 4. The adapters for tasks that
its first files hold are not read: what runs is the model without one.
"""

from __future__ import annotations

from functools import partial

from llminspect.core.rotary import Rotary
from llminspect.model import rotary_files
from llminspect.model.config import HUGGINGFACE, read_older, read_sizes
from llminspect.model.copies import Copy
from llminspect.model.decoder_files import QUERY_KEY_VALUE, sizes_from_gguf
from llminspect.model.families.bert import DEFAULTS, HEADS, ROBERTA_HEAD, BertConfig, copies, kin, readout_of, tensors
from llminspect.model.settings import Settings
from llminspect.model.spec import fused_specs, linear_specs

OF_TASKS = """
    lora_adaptations lora_prompts task_instructions lora_alpha lora_dropout_p lora_main_params_trainable lora_rank
    matryoshka_dimensions truncate_dim load_trained_adapters emb_pooler use_reentrant
""".split()


def from_huggingface(settings: Settings) -> BertConfig:
    """Today's form, and that of the model's own code, which calls itself XLM-RoBERTa."""
    settings.skip(*OF_TASKS)
    settings.only("position_embedding_type", "rotary")
    settings.only("is_decoder", False)
    sizes, base = read_sizes(settings, HUGGINGFACE), settings.perhaps("rotary_emb_base")
    turned = Rotary(sizes.E, base) if base is not None else None
    rotary = turned or rotary_files.from_huggingface(settings, sizes.E, sizes.context)
    return read_older(BertConfig, settings, sizes, segments=settings.whole("type_vocab_size"), rotary=rotary)


def from_gguf(settings: Settings) -> BertConfig:
    settings.only("attention.causal", False)
    sizes, segments = sizes_from_gguf(settings), settings.metadata.get("tokenizer.ggml.token_type_count")
    return BertConfig(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu",
        segments=1 if segments is None else int(segments),
        rotary=rotary_files.from_gguf(settings, sizes.E, sizes.context),
    )


LAYER = (
    *fused_specs(dict.fromkeys(QUERY_KEY_VALUE, "HE D"), "mixer.Wqkv", "attn_qkv", bias=True),
    *linear_specs(
        ("attention.output", "D HE", "mixer.out_proj", "attn_output"),
        ("middle.norm", "D", "norm1", "attn_output_norm"),
        ("feedforward.up", "F D", "mlp.fc1", "ffn_up"),
        ("feedforward.down", "D F", "mlp.fc2", "ffn_down"),
        ("output.norm", "D", "norm2", "layer_output_norm"),
        bias=True,
    ),
)

ARCHITECTURE = kin(
    "jina-v3",
    ROBERTA_HEAD,
    model_types=("jina_embeddings_v3",),
    gguf_names=("jina-bert-v3",),
    read_huggingface=from_huggingface,
    read_gguf=from_gguf,
    tensors=partial(tensors, layer=LAYER, stack="encoder.layers", head=ROBERTA_HEAD, norm="emb_ln"),
    readout=readout_of("gelu"),
    heads=HEADS["roberta"],
    prefix="roberta.",
    defaults={
        **DEFAULTS,
        "layer_norm_eps": 1e-5,
        "type_vocab_size": 1,
        "max_position_embeddings": 8194,
        "rope_theta": 20_000.0,
    },
    older_spellings=((".parametrizations.weight.original", ".weight"),),
    ignored=(*copies(ROBERTA_HEAD), Copy("*.parametrizations.weight.0.lora_?")),
)
