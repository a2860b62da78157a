"""From the files of a sparse dictionary to the dictionary, and to what it says of where it reads and writes.

sparsify 1.3 (`SparseCoder.load_from_disk`); Gemma Scope (Lieberum et al. 2024); SAELens in a file of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llminspect.core.array import Array
from llminspect.core.dictionary import Dictionary
from llminspect.errors import ModelError, reader
from llminspect.files.dictionaries import DictionaryFiles
from llminspect.files.weights import all_finite
from llminspect.model import dictionary_settings as settings
from llminspect.model.saelens_files import of_saelens


@reader("the dictionary")
def dictionary_of(files: DictionaryFiles) -> settings.StatedDictionary:
    """Raises ModelError for a dictionary that is not understood, or whose arrays do not belong together."""
    made = {"SAELens": of_saelens, "sparsify": _of_sparsify, "Gemma Scope": _of_gemma_scope}[files.maker](files)
    _check(made.dictionary, files.arrays)
    return made


_SPARSIFY_READ = {"activation", "k", "signed", "transcode", "skip_connection", "d_in", "num_latents", "multi_topk"}
_SPARSIFY_OF_TRAINING = {"expansion_factor", "normalize_decoder"}


def _of_sparsify(files: DictionaryFiles) -> settings.StatedDictionary:
    config, arrays = files.config, files.arrays
    settings.check_known(config, _SPARSIFY_READ | _SPARSIFY_OF_TRAINING)
    rule: Any = config.get("activation", "topk")
    if rule not in ("topk", "groupmax"):
        settings.refuse_setting("activation", rule, "those that are read: topk, groupmax")
    if settings.flag_of(config, "signed", False):
        settings.refuse_setting("signed", True, "activations below 0 are not read")
    skip, writes = settings.flag_of(config, "skip_connection", False), settings.flag_of(config, "transcode", False)
    settings.check_arrays(arrays, ["encoder.weight", "encoder.bias", "W_dec", "b_dec", *(["W_skip"] if skip else [])])
    latents = len(arrays["W_dec"])
    settings.check_sizes(config, {"d_in": arrays["encoder.weight"].shape[1]})
    if config.get("num_latents"):
        settings.check_sizes(config, {"num_latents": latents})
    k = settings.count_of(config, "k")
    if rule == "groupmax" and latents % k:
        settings.refuse_setting("k", k, f"{latents} features are not {k} groups")
    made = Dictionary(
        arrays["encoder.weight"].T, arrays["encoder.bias"], arrays["W_dec"], arrays["b_dec"], rule,
        k=k, subtracts=not writes, restores=not writes, skip_OD=arrays.get("W_skip"),
    )  # fmt: skip
    kind = f"{rule}{' transcoder' if writes else ''}{' with a skip connection' if skip else ''}"
    return settings.StatedDictionary(made, files.maker, kind, files.path.resolve().name, "" if writes else None)


_PARTS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}


def _of_gemma_scope(files: DictionaryFiles) -> settings.StatedDictionary:
    arrays = files.arrays
    settings.check_arrays(arrays, ["W_enc", "W_dec", "b_enc", "b_dec", "threshold"])
    made = Dictionary(
        arrays["W_enc"], arrays["b_enc"], arrays["W_dec"], arrays["b_dec"], "jumprelu", threshold_F=arrays["threshold"]
    )
    # Nothing in the archive says where it is from; the folders of the published ones do.
    whole = files.path.resolve().as_posix()
    layers = re.findall(r"/layer_([0-9]{1,4})/", whole)
    part = re.findall(r"gemma-scope-[\w.-]*?-(res|mlp|att|transcoders)(?=[-/])", whole)
    hook = hook_out = None
    if layers and part and part[-1] == "transcoders":
        hook, hook_out = f"blocks.{layers[-1]}.ln2.hook_normalized", f"blocks.{layers[-1]}.hook_mlp_out"
    elif layers and part:
        hook = f"blocks.{layers[-1]}.{_PARTS[part[-1]]}"
    return settings.StatedDictionary(
        made, files.maker, "jumprelu" if hook_out is None else "jumprelu_transcoder", hook, hook_out
    )


def _check(made: Dictionary, arrays: Mapping[str, Array]) -> None:
    """Raise ModelError where the arrays do not belong together, or hold what is no number."""
    (width, features), outputs = made.encoder_DF.shape, made.decoder_FO.shape[1]
    same = outputs == width or not made.restores or made.skip_OD is not None or made.rule == "jumprelu"
    wrong = [
        *(array for array in (made.bias_F, made.threshold_F, made.gate_F, made.stretch_F)
          if array is not None and array.shape != (features,)),
        *([made.bias_O] if made.bias_O.shape != (outputs,) else []),
        *([made.skip_OD] if made.skip_OD is not None and made.skip_OD.shape != (outputs, width) else []),
    ]  # fmt: skip
    if wrong or len(made.decoder_FO) != features or not same or (made.subtracts and outputs != width):
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise ModelError(f"the arrays of the dictionary do not belong together: {shapes:.300}")
    if made.rule in ("topk", "groupmax") and made.k > features:
        raise ModelError(f"the dictionary has {features} features, and k = {made.k} of them should be on")
    for name, array in arrays.items():
        if not all_finite(array):
            raise ModelError(f"the array {name} of the dictionary holds numbers that are not finite")
