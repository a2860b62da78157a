"""Quantized weights in safetensors files: what `config.json` says of them, and the arrays as if they were stored plain.

`opened` puts itself before the stored tensors: for the several that a method keeps in place of one matrix there is
that matrix, under its plain name, decoded when it is asked for. A method is a function of the stored tensors and of
what the configuration states, which gives the matrices (`METHODS`). Activations stay as they are: what a method would
round them to when it computes is not part of the weights, and its scales for them are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from llminspect.errors import ModelError, as_json, reader
from llminspect.files.weights import WeightFile

METHODS = {
    "awq": "gptq",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed",
    "fbgemm_fp8": "scaled",
    "fp8": "scaled",
    "gptq": "gptq",
    "mlx": "mlx",
    "modelopt": "scaled",
    "mxfp4": "small_floats",
}
"""By `quant_method` the file with the function of that name; `mlx` is not called so in a configuration."""
_KEYS = ("quantization_config", "compression_config", "quantization")


@reader("the description of the quantization")
def opened(weights: WeightFile, config: Mapping[str, Any]) -> WeightFile:
    """The weights with their arrays decoded, or as they are where the configuration says nothing.

    Raises ModelError for a method, a setting or stored sizes that are not understood.
    """
    found = _stated(config)
    if found is None:
        return weights
    method, key, values = found
    if not isinstance(method, str) or method not in METHODS:
        raise ModelError(
            f"the weights are quantized by {as_json(method, 60)} (config.json, {key}), which is not understood",
            f"methods that are: {', '.join(sorted(METHODS))}; or take the model's unquantized weights or a GGUF file",
        )
    from llminspect.files.quantized.decoded import DecodedFile
    from llminspect.files.quantized.stated import Stated

    stated = Stated(method, key, values)
    decode = getattr(import_module(f"llminspect.files.quantized.{METHODS[method]}"), method.replace("-", "_"))
    made, passed_over = decode(weights, stated)
    stated.done()
    if not made:
        raise ModelError(f"config.json says that the weights are quantized ({method}), and none is")
    stated.check_left_out([array.name for array in made])
    return DecodedFile(weights, made, passed_over)


def _stated(config: Mapping[str, Any]) -> tuple[Any, str, dict[str, Any]] | None:
    """The method, and where it is stated: at the top, or of the text part alone."""
    text = config.get("text_config")
    for place, front in ((config, ""), (text, "text_config, ")):
        for key in _KEYS:
            values = place.get(key) if isinstance(place, dict) else None
            if values is None or values == {}:
                continue
            if not isinstance(values, dict):
                raise ModelError(f"config.json: {front}{key} is not an object")
            if key == "quantization" or ("quant_method" not in values and {"bits", "group_size"} <= values.keys()):
                return "mlx", front + key, values
            return values.get("quant_method", "unknown"), front + key, values
    return None
