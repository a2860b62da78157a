"""LoRA: pairs of narrow matrices that are added to a model's own, W + s·B·A (Hu et al. 2021, section 4.1).

As PEFT saves them and adds them: s is alpha/r, or alpha/√r with `use_rslora` (Kalajdzievski 2023); the rank and alpha
of single modules may differ by patterns of their names. Which modules are changed the tensors say. A regular expression
in `target_modules` is not run: it is a stranger's, and could run for ever.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError
from llminspect.files.adapter import AdapterFiles
from llminspect.model.adapter_experts import ExpertPair, expert_pairs, is_of_experts, is_target
from llminspect.model.config import Sizes
from llminspect.model.spec import Architecture, TensorSpec, expanded_shape

WHERE = "adapter_config.json"
_READ = frozenset(
    "peft_type r lora_alpha use_rslora target_modules rank_pattern alpha_pattern init_lora_weights "
    "target_parameters".split()
)
_HARMLESS = frozenset(
    """
    task_type auto_mapping peft_version base_model_name_or_path revision inference_mode lora_dropout fan_in_fan_out
    exclude_modules layers_to_transform layers_pattern megatron_core runtime_config qalora_group_size
    loftq_config eva_config corda_config lora_ga_config
    """.split()
)
"""Of training, of what the tensors say themselves, and `fan_in_fan_out`, which follows from the kind of module."""
_NAMED = {
    "use_dora": "DoRA",
    "modules_to_save": "whole modules in place of the model's",
    "lora_bias": "biases",
    "bias": "biases",
    "trainable_token_indices": "rows of the embedding",
    "alora_invocation_tokens": "aLoRA",
    "use_qalora": "QALoRA",
    "layer_replication": "repeated layers",
}
_KEEPS_THE_BASE = (None, True, False, "gaussian", "eva", "orthogonal")
"""First values of the pairs (`init_lora_weights`) that leave the model's own weights as they are."""
_PAIR = re.compile(r"base_model\.model\.(?P<module>.+?)\.lora_(?P<embedding>embedding_)?(?P<half>[AB])(?:\.weight)?")
_BASE = re.compile(r"base_model\.model\.(?P<module>.+)\.base_layer\.(?P<array>weight|bias)")
_QUANTIFIED_GROUP, _QUANTIFIER, MOST_QUANTIFIERS = re.compile(r"\)[*+?{]"), re.compile(r"[*+{]"), 2
LONGEST_PATTERN = 300
TABLES = ("embedding.weight", "position.weight", "segment.weight")
"""Arrays whose rows are looked up: their pairs are kept the other way round."""


@dataclass(frozen=True)
class Pair:
    a: str
    """The names of the two tensors: A [r, I] and B [O, r]."""
    b: str
    scale: float
    turned: bool
    """Whether the file of the model holds the matrix input by output."""
    experts: int = 1


@dataclass(frozen=True)
class Adapter:
    """What is added, by the model's own names of its tensors."""

    files: AdapterFiles
    architecture: Architecture
    pairs: Mapping[str, Pair]
    replaced: Mapping[str, str]
    """The tensors that stand in place of the model's own, as PEFT saves both ends of a model that it changes."""
    experts: Mapping[str, ExpertPair]
    """By the names of the core's arrays."""

    def changes(self, spec: TensorSpec) -> bool:
        return spec.name in self.experts or any(
            name in self.pairs or name in self.replaced for name in self._names(spec)
        )

    def added(self, spec: TensorSpec, config: Any) -> Array | None:
        """What is added to an array that it changes, in the layout of the core; None where it is only replaced."""
        if spec.name in self.experts:
            return self.experts[spec.name].product(self.files)
        found = {name: self._product(self.pairs[name]) for name in self._names(spec) if name in self.pairs}
        if not found:
            return None
        nothing = np.zeros_like(next(iter(found.values())))
        parts = [found.get(name, nothing) for name in self._names(spec)]
        array = parts[0] if isinstance(spec.huggingface, str) else np.stack(parts)
        return array if spec.huggingface_fix is None else spec.huggingface_fix(array, config)

    def base(self, spec: TensorSpec, config: Any, model_array: Array) -> Array:
        """What it is added to, in the layout of the core: `model_array`, or the adapter's in its place."""
        found = [self.replaced[name] for name in self._names(spec) if name in self.replaced]
        if not found:
            return model_array
        array = self.files.weights.array(found[0])
        return array if spec.huggingface_fix is None else spec.huggingface_fix(array, config)

    def _names(self, spec: TensorSpec) -> list[str]:
        return [self.architecture.canonical(name) for name in spec.sources("huggingface")]

    def _product(self, pair: Pair) -> Array:
        product: Array = self.files.weights.array(pair.b) @ self.files.weights.array(pair.a) * np.float32(pair.scale)
        return product.T if pair.turned else product


def read_adapter(
    files: AdapterFiles, architecture: Architecture, sizes: Sizes, specs: Sequence[TensorSpec], one_matrix: bool
) -> Adapter:
    """The adapter of a model of these sizes with these arrays; `one_matrix`: its embedding is its output matrix too.

    Raises ModelError where it has parts that are not understood, or that the model has no place for.
    """
    settings = _checked_settings(files.config)
    halves = _halves(files)
    places: dict[str, list[TensorSpec]] = {}
    for spec in specs:
        for name in spec.sources("huggingface"):
            places.setdefault(architecture.canonical(name), []).append(spec)
    pairs, replaced = {}, {}
    parameters = settings["target_parameters"] or []
    of_experts = {module: halves.pop(module) for module in list(halves) if parameters and is_of_experts(module)}
    experts = expert_pairs(
        files, of_experts, parameters, partial(_rank_and_scale, settings), specs, sizes, architecture.experts_alternate
    )
    for module, tensors in halves.items():
        name = architecture.canonical(f"{module}.weight")
        made = places.get(name, [])
        if not made or name in pairs:
            raise ModelError(
                f"the adapter changes {module!r:.200}, which this model does not have as a matrix of its own",
                _base_hint(files),
            )
        if one_matrix and made[0].name in ("embedding.weight", "unembedding.weight"):
            raise ModelError(
                f"the adapter changes {module!r:.200}, which this model uses as embedding and as output matrix",
                "merge it with PEFT first",
            )
        by_parameter = is_target(f"{module}.weight", parameters)
        rank, scale = _rank_and_scale(settings, f"{module}.weight" if by_parameter else module)
        is_table = made[0].name in TABLES
        _check_shapes(files, module, tensors, rank, made, sizes, is_table)
        # A pair of a parameter is of the matrix as it is kept.
        by_input = not by_parameter and fnmatchcase(name, architecture.input_by_output)
        turned = is_table or by_input
        pairs[name] = Pair(tensors["A"], tensors["B"], scale, turned)
        for array in tensors.keys() & {"weight", "bias"}:
            place = architecture.canonical(f"{module}.{array}")
            takers = places.get(place, [])
            if len(takers) != 1 or not isinstance(takers[0].huggingface, str):
                what = f"the adapter holds {tensors[array]!r:.200}, which stands for no single array of the model"
                raise ModelError(what, "merge it with PEFT first")
            replaced[place] = tensors[array]
    twice = [
        name for name, changed in places.items() if name in pairs and any(spec.name in experts for spec in changed)
    ]
    if twice:
        raise ModelError(f"the adapter changes {twice[0]!r:.200} twice", "merge it with PEFT first")
    return Adapter(files, architecture, pairs, replaced, experts)


def _base_hint(files: AdapterFiles) -> str | None:
    base = files.config.get("base_model_name_or_path")
    return f"it was made for {base!r:.200}" if isinstance(base, str) and base else None


def _checked_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration. Raises ModelError for what is not understood in it."""
    kind = config.get("peft_type")
    if kind is None:
        raise ModelError(f"{WHERE} does not say what kind of adapter it is (peft_type)", "LORA is known")
    if kind != "LORA":
        raise ModelError(f"the adapter is of the kind {kind!r:.40}", "LoRA can be added")
    for key, value in config.items():
        off = value is None or value in ([], {}) or (key in _NAMED and value in (False, "none"))
        known_off = value is False and key.startswith(("use_", "ensure_"))
        if key not in _READ | _HARMLESS and not off and not known_off:
            what = f" ({_NAMED[key]})" if key in _NAMED else ""
            raise ModelError(
                f"{WHERE}: {key} = {value!r:.60}{what} is not understood", "merge the adapter into its model with PEFT"
            )
    first = config.get("init_lora_weights")
    if not isinstance(first, str | bool | None) or first not in _KEEPS_THE_BASE:
        raise ModelError(
            f"{WHERE}: init_lora_weights = {first!r:.60} changes the model's own weights as well",
            "convert the adapter with PEFT: save_pretrained(path_initial_model_for_weight_conversion=…)",
        )
    for key, kind_of, named in (
        ("r", int, "a whole number above 0"),
        ("lora_alpha", int | float, "a number"),
        ("use_rslora", bool, "true or false"),
        ("rank_pattern", dict, "an object"),
        ("alpha_pattern", dict, "an object"),
        ("target_parameters", list | None, "a list of names"),
    ):
        value = config.get(key, _DEFAULTS[key])
        if not isinstance(value, kind_of) or (isinstance(value, bool) and kind_of is not bool):
            raise ModelError(f"{WHERE}: {key} = {value!r:.60} is not understood", f"known: {named}")
    return {**_DEFAULTS, **config}


_DEFAULTS: dict[str, Any] = {
    "r": 8, "lora_alpha": 8, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}, "target_parameters": None,
}  # fmt: skip


def _halves(files: AdapterFiles) -> dict[str, dict[str, str]]:
    """The tensors of each module, by "A" and "B" ("embedding" too where it is one, and the module's own "weight" and
    "bias" where they are there). ModelError: others, or a half."""
    found: dict[str, dict[str, str]] = {}
    for name in files.weights.tensors:
        match = _PAIR.fullmatch(name)
        if match is None and (base := _BASE.fullmatch(name)):
            found.setdefault(base["module"], {})[base["array"]] = name
            continue
        if match is None:
            what = " (DoRA)" if "lora_magnitude_vector" in name else ""
            raise ModelError(
                f"the adapter holds {name!r:.200}{what}, which is not half of a low-rank pair",
                "merge the adapter into its model with PEFT",
            )
        tensors = found.setdefault(match["module"], {})
        if match["half"] in tensors:
            raise ModelError(f"the adapter changes {match['module']!r:.200} twice", "fetch it again")
        tensors[match["half"]] = name
        if match["embedding"]:
            tensors["embedding"] = name
    if not found:
        raise ModelError("the adapter holds no tensors")
    targets, parameters = files.config.get("target_modules"), files.config.get("target_parameters") or []
    for module, tensors in found.items():
        if "A" not in tensors or "B" not in tensors:
            raise ModelError(f"the adapter holds one half of {module!r:.200}", "fetch it again")
        known = is_of_experts(module) or is_target(f"{module}.weight", parameters)
        if isinstance(targets, list) and not known and not is_target(module, targets):
            raise ModelError(f"the adapter changes {module!r:.200}, which is none of its target_modules")
    return found


def _rank_and_scale(settings: Mapping[str, Any], module: str) -> tuple[int, float]:
    rank = _by_pattern(settings["rank_pattern"], module, settings["r"])
    alpha = _by_pattern(settings["alpha_pattern"], module, settings["lora_alpha"])
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ModelError(f"{WHERE}: the rank {rank!r:.40} is no whole number above 0")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) <= 1e12:
        raise ModelError(f"{WHERE}: lora_alpha = {alpha!r:.40} is not a number from -1e12 to 1e12")
    return rank, alpha / (math.sqrt(rank) if settings["use_rslora"] else rank)


def _by_pattern(patterns: Mapping[str, Any], module: str, otherwise: Any) -> Any:
    """The value of the first pattern that the module's name ends with, as a whole part of it."""
    for pattern, value in patterns.items():
        quantifiers = len(_QUANTIFIER.findall(pattern))
        if len(pattern) > LONGEST_PATTERN or quantifiers > MOST_QUANTIFIERS or _QUANTIFIED_GROUP.search(pattern):
            raise ModelError(f"{WHERE}: the pattern {pattern!r:.100} is not run: it could take for ever")
        try:
            if re.match(rf"(.*\.)?({pattern})$", module[-LONGEST_PATTERN:]):
                return value
        except (re.error, OverflowError, RecursionError):
            raise ModelError(f"{WHERE}: {pattern!r:.100} is no regular expression") from None
    return otherwise


def _check_shapes(
    files: AdapterFiles,
    module: str,
    tensors: Mapping[str, str],
    rank: int,
    made: Sequence[TensorSpec],
    sizes: Sizes,
    is_table: bool,
) -> None:
    """Raise ModelError where B·A would not be a matrix of the model's size, before it is multiplied; `made`: the arrays
    that the matrix is in, in whole or in part."""
    first, second = (files.weights.tensors[tensors[half]].shape for half in "AB")
    # What takes the same cut of it takes the same numbers: a matrix that several layers or steps use counts once.
    parts = {spec.huggingface_fix: math.prod(expanded_shape(spec.shape, sizes)) for spec in made}
    room = sum(parts.values())
    fits = len(first) == len(second) == 2 and first[0] == second[1] == rank and is_table == ("embedding" in tensors)
    if fits:  # Of a stack each is a part.
        size = first[1] * second[0]
        fits = size == room if isinstance(made[0].huggingface, str) else size <= room
    if not fits:
        raise ModelError(
            f"the adapter's pair of {module!r:.200} has the shapes {first} and {second}, and its rank is {rank}: "
            f"it does not fit the model's matrix of {room:,} numbers",
            _base_hint(files),
        )
