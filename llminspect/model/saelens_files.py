"""Dictionaries of SAELens, as its version 6 saves them and as older ones did.

SAELens 6.54: `SAE.load_from_disk`, `handle_pre_6_0_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llminspect.core.dictionary import Dictionary, Rule, Scaling
from llminspect.errors import ModelError, as_json
from llminspect.files.dictionaries import DictionaryFiles
from llminspect.model import dictionary_settings as settings

_READ = frozenset(
    """
    architecture d_in d_sae d_out apply_b_dec_to_input normalize_activations reshape_activations k
    rescale_acts_by_decoder_norm finetuning_scaling_factor metadata activation_fn activation_fn_str activation_fn_kwargs
    hook_name hook_point hook_name_out hook_head_index hook_point_head_index hook_head_index_out model_name
    model_from_pretrained_kwargs model_class_name seqpos_slice hook_layer hook_point_layer hook_layer_out
    """.split()
)
_OF_TRAINING = frozenset(
    """
    dtype device sae_lens_version sae_lens_training_version dataset_path dataset_trust_remote_code prepend_bos
    context_size exclude_special_tokens neuronpedia_id hf_hook_name hf_hook_name_out is_dataset_tokenized streaming
    use_cached_activations cached_activations_path n_batches_in_buffer total_training_tokens training_tokens
    store_batch_size store_batch_size_prompts seed b_dec_init_method expansion_factor from_pretrained_path
    l1_coefficient lp_norm l1_warm_up_steps lr lr_scheduler_name lr_warm_up_steps lr_decay_steps lr_end
    n_restart_cycles adam_beta1 adam_beta2 train_batch_size train_batch_size_tokens use_ghost_grads
    feature_sampling_window feature_sampling_method feature_reinit_scale resample_batches dead_feature_window
    dead_feature_threshold dead_feature_estimation_method log_to_wandb wandb_project wandb_entity wandb_log_frequency
    wandb_id eval_every_n_wandb_logs n_checkpoints checkpoint_path run_name unique_id tokens_per_buffer verbose
    autocast autocast_lm compile_llm llm_compilation_mode compile_sae sae_compilation_mode act_store_device
    n_eval_batches eval_batch_size_prompts model_kwargs resume normalize_sae_decoder noise_scale decoder_orthogonal_init
    decoder_heuristic_init decoder_heuristic_init_norm init_encoder_as_decoder_transpose mse_loss_normalization
    scale_sparsity_penalty_by_decoder_norm jumprelu_init_threshold jumprelu_bandwidth from_pretrained_path
    release sae_id training_samples hook_eval
    """.split()
)
"""What is of how it was trained, and changes no number."""
_RULES: dict[str, Rule] = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
_SCALINGS: dict[Any, Scaling] = {"none": "none", "constant_norm_rescale": "length", "layer_norm": "layer_norm"}
_MODEL_SETTINGS = {"center_writing_weights", "dtype", "n_devices", "device_map", "torch_dtype", "trust_remote_code"}


def of_saelens(files: DictionaryFiles) -> settings.StatedDictionary:
    """Raises ModelError for settings that are not understood, and arrays that are not those of its architecture."""
    arrays = dict(files.arrays)
    stated, kind = _of_architecture(_stated(files.config))
    scaling, writes, rule = _scaling(stated), "transcoder" in kind, _RULES[kind]
    subtracts = settings.flag_of(stated, "apply_b_dec_to_input", not writes)
    if subtracts and writes:
        settings.refuse_setting("apply_b_dec_to_input", True, "of a transcoder")
    factor = arrays.pop("scaling_factor", None)
    if (factor is not None and not np.allclose(factor, 1)) or "finetuning_scaling_factor" in arrays:
        raise ModelError("the dictionary has a finetuning_scaling_factor, which is not read", "fold it into W_dec")
    wanted = ["W_enc", "W_dec", "b_dec", *(["b_mag", "b_gate", "r_mag"] if rule == "gated" else ["b_enc"])]
    wanted += ["threshold"] if rule == "jumprelu" else []
    wanted += ["W_skip"] if "skip" in kind else []
    settings.check_arrays(arrays, wanted)
    settings.check_sizes(stated, {"d_in": arrays["W_enc"].shape[0], "d_sae": len(arrays["W_dec"])})
    settings.check_sizes(stated, {"d_out": arrays["W_dec"].shape[1]})
    by_length = settings.flag_of(stated, "rescale_acts_by_decoder_norm", False)
    if by_length and rule != "topk":
        settings.refuse_setting("rescale_acts_by_decoder_norm", True)
    made = Dictionary(
        arrays["W_enc"], arrays["b_mag" if rule == "gated" else "b_enc"], arrays["W_dec"], arrays["b_dec"], rule,
        k=settings.count_of(stated, "k") if rule == "topk" else 0,
        threshold_F=arrays.get("threshold"), gate_F=arrays.get("b_gate"), stretch_F=arrays.get("r_mag"),
        subtracts=subtracts, scaling=scaling, restores=not writes, by_length=by_length, skip_OD=arrays.get("W_skip"),
    )  # fmt: skip
    hook = settings.either_name(stated, "hook_name", "hook_point", None)
    _check_shape(stated, hook)
    return settings.StatedDictionary(
        made, files.maker, kind, hook, settings.text_of(stated, "hook_name_out") if writes else None,
        _centred(stated.get("model_from_pretrained_kwargs")), settings.text_of(stated, "model_name"),
    )  # fmt: skip


def _stated(config: Mapping[str, Any]) -> dict[str, Any]:
    """All settings: those of the metadata, where version 6 has what is of the model, beside the others."""
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        settings.refuse_setting("metadata", metadata)
    settings.check_known(config, _READ | _OF_TRAINING)
    settings.check_known(metadata, _READ | _OF_TRAINING, "metadata.")
    for name in config.keys() & metadata.keys():
        if config[name] != metadata[name]:
            settings.refuse_setting(name, config[name], f"metadata says {as_json(metadata[name])}")
    stated = {**config, **metadata}
    for name in ("hook_head_index", "hook_point_head_index", "hook_head_index_out"):
        if stated.get(name) is not None:
            settings.refuse_setting(name, stated[name], "a dictionary of one head is not read")
    if stated.get("seqpos_slice") not in (None, [None], [None, None], [None, None, None]):
        settings.refuse_setting(
            "seqpos_slice", stated["seqpos_slice"], "a dictionary of some positions only is not read"
        )
    return stated


def _of_architecture(stated: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The settings as version 6 has them, and the architecture; before that TopK was an activation."""
    activation = settings.either_name(stated, "activation_fn", "activation_fn_str", "relu")
    given, kind = stated.get("activation_fn_kwargs") or {}, stated.get("architecture", "standard")
    if activation == "topk" and kind in ("standard", "topk"):
        settings.check_known(given, {"k"}, "activation_fn_kwargs.")
        kind, stated = "topk", {**stated, "k": given.get("k", stated.get("k"))}
    elif activation != "relu" or given:
        settings.refuse_setting("activation_fn", activation if activation != "relu" else given)
    if not isinstance(kind, str) or kind not in _RULES:
        settings.refuse_setting("architecture", kind, f"those that are read: {', '.join(_RULES)}")
    return stated, kind


def _check_shape(stated: Mapping[str, Any], hook: str | None) -> None:
    """Heads are put side by side where it reads them, and nowhere else."""
    given = stated.get("reshape_activations", "none")
    if given != "none" and not (given == "hook_z" and hook and hook.endswith("hook_z")):
        settings.refuse_setting("reshape_activations", given, f"it reads at {as_json(hook)}")


def _scaling(stated: Mapping[str, Any]) -> Scaling:
    given = stated.get("normalize_activations")
    if given in (None, False):
        return "none"
    if given in (True, "expected_average_only_in"):
        settings.refuse_setting(
            "normalize_activations", given, "its factor is not in the files: fold it in with SAELens"
        )
    if not isinstance(given, str) or given not in _SCALINGS:
        settings.refuse_setting("normalize_activations", given, f"those that are read: {', '.join(_SCALINGS)}")
    return _SCALINGS[given]


def _centred(given: Any) -> bool:
    """Whether the model's writing weights were centred, which takes the mean from every vector of the stream."""
    given = given or {}
    if not isinstance(given, dict):
        settings.refuse_setting("model_from_pretrained_kwargs", given)
    settings.check_known(given, _MODEL_SETTINGS, "model_from_pretrained_kwargs.")
    return settings.flag_of(given, "center_writing_weights", False)
