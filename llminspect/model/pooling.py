"""What a sentence encoder declares: how the vectors of its tokens become one, in `modules.json` or a GGUF's metadata.

The keys are those of sentence-transformers' modules Pooling, Dense and Normalize, and of llama.cpp's `pooling_type`.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from llminspect.core.dataclass import dataclass
from llminspect.core.pooling import AFTER_DENSE, Dense, Normalize, Pool, Step
from llminspect.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llminspect.files.locate import Located
    from llminspect.files.sentence_modules import Module

POOLING = {
    "first": ("pooling_mode_cls_token", "cls"),
    "max": ("pooling_mode_max_tokens", "max"),
    "mean": ("pooling_mode_mean_tokens", "mean"),
    "mean_sqrt": ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
    "weighted_mean": ("pooling_mode_weightedmean_tokens", "weightedmean"),
    "last": ("pooling_mode_lasttoken", "lasttoken"),
}
"""Each mode: its switch in a Pooling's configuration, and its value of `pooling_mode`."""
OF_GGUF = {0: (), 1: (Pool(("mean",)),), 2: (Pool(("first",)),), 3: (Pool(("last",)),)}
ACTIVATIONS = {"Identity": "identity", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu"}
"""PyTorch's names of those of `AFTER_DENSE`."""
OTHERWISE = "--pool mean, first, last or none do without it"


@dataclass(frozen=True)
class Declared:
    """The steps that a model declares, and how its own settings treat a text before."""

    steps: tuple[Step, ...]
    """None: its vectors are meant to stay one a token."""
    longest: int | None = None
    """A text is cut off after so many tokens."""
    lowercase: bool = False
    """A text is put in lower case."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What may be put in front of a text, by name."""
    default_prompt: str | None = None
    """The name of that which is."""
    prompt_counts: bool = True
    """Whether its tokens are pooled as well."""

    def __str__(self) -> str:
        return ", ".join(map(str, self.steps)) or "none"


def of_gguf(metadata: Mapping[str, Any]) -> Declared | None:
    """By `pooling_type`: 0 none, 1 mean, 2 CLS, 3 last. Raises ModelError for 4, a score, and what is not known."""
    kind = metadata.get(f"{metadata.get('general.architecture')}.pooling_type")
    if kind is None:
        return None
    if type(kind) is not int or kind not in OF_GGUF:
        what = "a score of two texts (rank), which is no vector" if kind == 4 else "not known: 0 to 3 are"
        raise ModelError(f"the file declares pooling_type {kind!r:.40}, {what}", OTHERWISE)
    return Declared(OF_GGUF[kind])


def of_modules(modules: Sequence[Module], settings: Mapping[str, Any], width: int) -> Declared:
    """By the modules after the model, which gives vectors of `width` numbers; `settings`: those of the files beside.

    Raises ModelError for a module or a setting that is not understood, and for sizes that do not fit.
    """
    steps: list[Step] = []
    kinds = [module.kind for module in modules]
    if kinds[:1] != ["Transformer"] or "Pooling" not in kinds[1:2]:
        raise _not_known(f"modules.json lists {', '.join(kinds) or 'nothing'}, not Transformer, Pooling and others")
    for module in modules[1:]:
        if module.kind == "Pooling" and not steps:
            steps.append(_pool(module, width))
            width *= len(steps[0].modes)  # type: ignore[union-attr]
        elif module.kind == "Dense":
            dense = _dense(module, width)
            steps.append(dense)
            width = len(dense.weight_OI)
        elif module.kind == "Normalize":
            steps.append(Normalize())
        elif module.kind != "Dropout":  # Which acts in training only.
            raise _not_known(f"modules.json lists a {module.kind} here")
    longest = settings.get("max_seq_length")
    lowercase = settings.get("do_lower_case") is True
    counts = (modules[1].config or {}).get("include_prompt") is not False
    return Declared(tuple(steps), longest if type(longest) is int else None, lowercase, *_prompts(settings), counts)


def _prompts(settings: Mapping[str, Any]) -> tuple[Mapping[str, str], str | None]:
    """Those by name that say something, and the name of the usual one, if it does."""
    prompts, usual = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise _not_known("the prompts of config_sentence_transformers.json are no texts by name")
    if usual is not None and not (isinstance(usual, str) and usual in prompts):
        raise _not_known(f"config_sentence_transformers.json has no prompt of its default_prompt_name {usual!r:.60}")
    return {name: text for name, text in prompts.items() if text}, usual if usual and prompts[usual] else None


def _pool(module: Module, width: int) -> Pool:
    config = _checked(
        module,
        {"word_embedding_dimension", "embedding_dimension", "include_prompt", "pooling_mode"}
        | {switch for switch, _ in POOLING.values()},
    )
    named = config.get("pooling_mode")
    for key in ("word_embedding_dimension", "embedding_dimension"):
        if config.get(key, width) != width:
            raise _not_known(f"{module.path} pools vectors of {config[key]!r:.40} numbers, the model gives {width}")
    if named is not None:  # One, or several in the order in which they are put side by side.
        listed = named if isinstance(named, list) else [named]
        modes = [mode for name in listed for mode, (_, known) in POOLING.items() if known == name]
        modes = modes if len(modes) == len(listed) else []
    else:  # What is not said of the mean is true, of the others false.
        modes = [mode for mode, (switch, _) in POOLING.items() if config.get(switch, mode == "mean")]
    if not modes:
        raise _not_known(f"{module.path} names no way to pool")
    return Pool(tuple(modes))


def _dense(module: Module, width: int) -> Dense:
    config = _checked(
        module,
        {"in_features", "out_features", "bias", "activation_function", "module_input_name", "module_output_name"},
    )
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    activation = ACTIVATIONS.get(name)
    if activation not in AFTER_DENSE:
        raise _not_known(f"{module.path} has the activation {name!r:.60}")
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, "sentence_embedding") not in (None, "sentence_embedding"):
            raise _not_known(f"{module.path} has {key} {config[key]!r:.60}")
    weight, bias = module.arrays.get("linear.weight"), module.arrays.get("linear.bias")
    sizes = (config.get("out_features"), width)
    if weight is None or weight.shape != sizes or (bias is not None) != bool(config.get("bias", True)):
        raise _not_known(f"{module.path} holds no layer of {width} to {config.get('out_features')!r:.40} numbers")
    if set(module.arrays) - {"linear.weight", "linear.bias"} or (bias is not None and bias.shape != sizes[:1]):
        raise _not_known(f"{module.path} holds other tensors than linear.weight and linear.bias")
    return Dense(weight, bias, str(activation))


def _checked(module: Module, known: set[str]) -> Mapping[str, Any]:
    """Its configuration, of no other keys."""
    if module.config is None:
        raise _not_known(f"{module.path}/config.json is not there")
    strange = sorted(module.config.keys() - known)
    if strange:
        raise _not_known(f"{module.path} has the setting {strange[0]!r:.60}")
    return module.config


def _not_known(what: str) -> ModelError:
    return ModelError(f"the pooling that the model declares is not understood: {what}", OTHERWISE)


def declared(located: Located, width: int) -> Declared | None:
    """How a model's files say that the vectors of its tokens, of `width` numbers, become one. Raises ModelError."""
    if located.format == "gguf":
        return of_gguf(located.config)
    from llminspect.files.sentence_modules import read_modules

    found = read_modules(located.path)
    return None if found is None else of_modules(*found, width)
