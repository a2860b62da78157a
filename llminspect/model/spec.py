"""What an architecture file states: the formats it answers to, its configuration, its tensors, its forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Protocol

from llminspect.core.array import Array
from llminspect.core.cache import Cache, Pass
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Tap
from llminspect.errors import ModelError
from llminspect.files.weights import Format, WeightFile
from llminspect.model.config import Config, Sizes
from llminspect.model.heads import HeadFiles, OutputHead
from llminspect.model.params import Params
from llminspect.model.settings import Settings
from llminspect.model.settings import gguf as gguf_settings
from llminspect.model.settings import huggingface as huggingface_settings
from llminspect.model.transformer import forward, readout

if TYPE_CHECKING:
    from llminspect.model.copies import Copy


@dataclass(frozen=True)
class RowOrder:
    """What brings the rows of an array into the core's order and changes nothing else: a `fix` of `TensorSpec`.

    Who keeps a matrix as the file has it can put its products into order instead.
    """

    order: Callable[[int, Any], Array]
    """Which row of the file each row of the core is, [O], by their number and the configuration."""

    def __call__(self, array: Array, config: Any) -> Array:
        return array[self.order(len(array), config)]


@dataclass(frozen=True)
class TensorSpec:
    """One array of the core and where the files keep it.

    `shape` is by letters, an axis each: "HE D" is an array [H·E, D], "2 D" one of two rows. A tuple of file names is
    stacked on a new first axis. `fix` functions turn what the file holds into what the core means (a transpose, the
    rotary permutation, a part of a fused tensor); they take the array and the configuration.
    """

    name: str
    shape: str
    huggingface: str | tuple[str, ...] | None = None
    gguf: str | tuple[str, ...] | None = None
    huggingface_fix: Callable[[Array, Any], Array] | None = None
    gguf_fix: Callable[[Array, Any], Array] | None = None
    optional: bool | str = False
    """A name: there are all arrays that have it, or none."""
    copies: tuple[tuple[str, Copy], ...] = ()
    """Tensors of the file that are compared when this one is read."""
    other: tuple[str, Callable[[Array, Any], Array] | None] | None = None
    """What Hugging Face files may have in its place, and how that is turned: all experts in one tensor."""

    def sources(self, file_format: Format) -> tuple[str, ...]:
        """The names of the tensors in a file of that format that this array is made of."""
        names = self.huggingface if file_format == "huggingface" else self.gguf
        return (names,) if isinstance(names, str) else names or ()


def linear_specs(
    *maps: tuple[str, str, str | None, str | None], bias: bool | tuple[str, ...] | None = False, **fixes: Any
) -> list[TensorSpec]:
    """`name.weight` of each (name, shape, Hugging Face, GGUF) and, where it has one, `name.bias`.

    `bias`: whether there are any; a tuple names those that have one; None: the file knows.
    """
    specs = []
    for name, shape, huggingface, gguf in maps:
        with_bias = name in bias if isinstance(bias, tuple) else bias
        for part in ("weight",) if with_bias is False else ("weight", "bias"):
            in_huggingface, in_gguf = (None if file is None else f"{file}.{part}" for file in (huggingface, gguf))
            its_shape, optional = shape if part == "weight" else shape.split()[0], part == "bias" and with_bias is None
            specs.append(TensorSpec(f"{name}.{part}", its_shape, in_huggingface, in_gguf, optional=optional, **fixes))
    return specs


def flat(array: Array, _: Any) -> Array:
    """A fix: all numbers in a row."""
    return array.reshape(-1)


def plus_one(weight: Array, _: Any) -> Array:
    """A fix of the weight of a norm, where the file holds it less one."""
    return weight + 1


def renamed(spec: TensorSpec, names: Mapping[str, str]) -> TensorSpec:
    """The same under the names of another family's files: parts of its Hugging Face name are replaced."""
    parts = spec.huggingface.split(".") if isinstance(spec.huggingface, str) else []
    return replace(spec, huggingface=".".join(names.get(part, part) for part in parts) or None)


def fused_specs(
    parts: Mapping[str, str], huggingface: str, gguf: str, bias: bool = False, transposed: bool = False
) -> list[TensorSpec]:
    """Linear maps, shapes by name, whose rows one tensor of the file holds; `transposed`: columns in Hugging Face's."""

    def rows_of(part: str, turned: bool) -> Callable[[Array, Any], Array]:
        def cut(array: Array, config: Any) -> Array:
            array = array.T if turned else array
            lengths = {name: expanded_shape(shape, config.sizes)[0] for name, shape in parts.items()}
            if len(array) != sum(lengths.values()):
                kinds = ", ".join(name.rpartition(".")[2] for name in parts)
                raise ModelError(f"a tensor of {kinds} has {len(array)} rows, not {sum(lengths.values())}")
            start = sum(lengths[name] for name in list(parts)[: list(parts).index(part)])
            return array[start : start + lengths[part]]

        return cut

    specs = []
    for name, shape in parts.items():
        fixes = {"huggingface_fix": rows_of(name, transposed), "gguf_fix": rows_of(name, False)}
        specs += linear_specs((name, shape, huggingface, gguf), bias=bias, **fixes)
    return specs


def for_layers(
    layers: int,
    specs: Iterable[TensorSpec] | Callable[[int], Iterable[TensorSpec]],
    *,
    huggingface: str,
    gguf: str = "",
    stack: str = "layers",
) -> list[TensorSpec]:
    """The specs of each layer, named relative to it: by its number, or the same. `{}` in a prefix is the number."""
    found, same = [], () if callable(specs) else tuple(specs)
    for index in range(layers):
        for spec in specs(index) if callable(specs) else same:
            named: dict[str, Any] = {"name": f"{stack}.{index}.{spec.name}"}
            for kind, prefix in (("huggingface", huggingface.format(index)), ("gguf", gguf.format(index))):
                names = getattr(spec, kind)
                whole = tuple(prefix + name for name in names) if isinstance(names, tuple) else names and prefix + names
                named[kind] = whole
            other = spec.other and (huggingface.format(index) + spec.other[0], spec.other[1])
            found.append(replace(spec, **named, other=other))
    return found


def around(
    layers: int,
    layer: Iterable[TensorSpec] | Callable[[int], Iterable[TensorSpec]],
    embedding: str,
    final: str,
    stack: str,
    *,
    words: str = "lm_head",
    after_embedding: Iterable[TensorSpec] = (),
    bias: bool = True,
    gguf: bool = True,
) -> list[TensorSpec]:
    """The embedding, the final norm, the output matrix (`words`) and the specs of each layer, by what Hugging Face
    files call them; `bias`: the norm's; `gguf`: whether there are GGUF files, where they have one name each."""
    table, norm, matrix, block = ("token_embd.weight", "output_norm", "output.weight", "blk.{}.")
    return [
        TensorSpec("embedding.weight", "V D", f"{embedding}.weight", table if gguf else None),
        *after_embedding,
        *linear_specs(("final.norm", "D", final, norm if gguf else None), bias=bias),
        TensorSpec("unembedding.weight", "V D", f"{words}.weight", matrix if gguf else None, optional=True),
        *for_layers(layers, layer, huggingface=stack, gguf=block if gguf else ""),
    ]


class Forward(Protocol):
    def __call__(
        self,
        params: Params,
        config: Any,
        ids_T: Array,
        tap: Tap,
        cache: Cache | None = None,
        hidden_S: Array | None = None,
    ) -> Pass:
        """Ids [..., T] through every layer.

        With `cache` the ids are those that follow the cached ones; that of an encoder–decoder holds its source.
        `hidden_S` [..., S] marks positions (True) that no token may attend to, whatever the mask allows.
        """
        ...


class EncodeSource(Protocol):
    def __call__(self, params: Params, config: Any, ids_S: Array, tap: Tap, hidden_S: Array | None = None) -> Cache:
        """The source text's ids [..., S] through the encoder: the cache that the decoder starts from.

        Taps are named as a decoder's with `encoder.` in front, and `layers.N.cross_attention.key` and `.value`.
        """
        ...


class Readout(Protocol):
    def __call__(self, params: Params, config: Any, stream_TD: Array, tap: Tap) -> Array:
        """The final norm and the product with the vocabulary: a residual stream of any layer to logits [..., T, V]."""
        ...


@dataclass(frozen=True)
class Architecture:
    """One family of models. `families/` holds a module for each, with its `ARCHITECTURE`, or `ARCHITECTURES`."""

    name: str
    read_huggingface: Callable[[Settings], Any]
    """The configuration, of the keys of a `config.json`; a key that it reads, or skips, is one that is understood."""
    tensors: Callable[[Any], Iterable[TensorSpec]]
    forward: Forward = forward
    readout: Readout = readout
    model_types: tuple[str, ...] = ()
    """What `config.json` calls it; nothing: by its name."""
    gguf_names: tuple[str, ...] = ()
    read_gguf: Callable[[Settings], Any] | None = None
    """The configuration, of the keys of a GGUF file."""
    settle: Callable[[Any, WeightFile], Any] | None = None
    """The configuration with what a file's settings do not say and its tensors do, if any."""
    ignored: tuple[Copy, ...] = ()
    """Tensors of its files that are not read, and what they repeat."""
    capabilities: frozenset[str] = field(default_factory=lambda: frozenset({"generate"}))
    """What it can do: "generate" (predicts the next token, has a cache), "fill" (fills masks), "unmask" (writes by
    filling masks step by step), "encode" (sees both ways), "source" (an encoder–decoder, takes a source text)."""
    only_causal: frozenset[str] = frozenset({"generate"})
    """What it can do only where no token sees those after it; where they do, it encodes."""
    requires: Mapping[str, str] = field(default_factory=dict)
    """The array without which a capability is not there: a BERT without its word predictor fills no masks."""
    encode_source: EncodeSource | None = None
    """What an encoder–decoder does before `forward`."""
    prefix: str = ""
    """What Hugging Face files may have in front of a tensor's name, or leave out where no head was saved."""
    fronts: tuple[str, ...] = ()
    """What may stand there besides, in the files of a model that has other parts as well."""
    input_by_output: str = ""
    """Matrices that Hugging Face files hold input by output, by the pattern of their names: what is added is too."""
    experts_alternate: bool = False
    """Whether gate and up take turns in the parameter that holds those of all experts: so is what is added."""
    older_spellings: tuple[tuple[str, str], ...] = ()
    """Ends of tensor names in older Hugging Face files, and today's."""
    heads: HeadFiles | None = None
    """How its files keep heads for labels and spans, if they do."""
    head: OutputHead | None = None
    """That of this model, in place of what predicts words or beside it."""
    headless: bool = False
    """Whether the head that the file has in its place is passed over."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What the reference takes where a `config.json` lacks the key; of other keys that are needed it is an error."""

    def __post_init__(self) -> None:
        self.__dict__["model_types"] = self.model_types or (self.name,)

    def config_from_huggingface(self, values: Mapping[str, Any], ignored: Collection[str] = ()) -> Any:
        """The configuration in a `config.json`. Raises ModelError where anything in it is not understood; `ignored` are
        keys that are passed over."""
        settings = huggingface_settings(values, self.defaults, ignored)
        config = self.read_huggingface(settings)
        settings.done()
        return config

    def config_from_gguf(self, metadata: Mapping[str, Any], ignored: Collection[str] = ()) -> Any:
        """The same of a GGUF file's metadata."""
        assert self.read_gguf is not None
        settings = gguf_settings(metadata, ignored)
        config = self.read_gguf(settings)
        settings.done()
        return config

    def capabilities_with(self, config: Config, arrays: Container[str]) -> frozenset[str]:
        """What a model can do that is configured so and whose arrays are these, by their names in the core."""
        if self.instead is not None:
            its = {self.instead.capability}
            return frozenset(its | (self.capabilities & {"source"} if config.causal else {"encode"}))
        able = {able for able in self.capabilities if able not in self.requires or self.requires[able] in arrays}
        if not config.causal and able & self.only_causal:
            able = able - self.only_causal | {"encode"}  # A decoder that sees both ways, or an encoder alone.
        able |= set() if self.head is None else {self.head.capability}
        return frozenset(able - {"generate", "fill"} if self.without_output(config, arrays) else able)

    @property
    def instead(self) -> OutputHead | None:
        """Its head where that stands in place of what predicts words."""
        return None if self.head is None or self.head.beside else self.head

    def without_output(self, config: Config, arrays: Container[str]) -> str | None:
        """Why such a model says nothing of words; None where it does."""
        if self.instead is not None:
            return f"it has a head for {self.instead.kind} in place of an output matrix"
        if self.headless:
            return "it has another head in place of an output matrix, which is passed over"
        if not config.tied and "unembedding.weight" not in arrays:
            return "its file has no output matrix, and its configuration does not say that the embedding serves as one"
        missing = [name for name in self.requires.values() if name not in arrays]
        return f"its file lacks {missing[0]}, without which nothing predicts words" if missing else None

    def canonical(self, name: str) -> str:
        """A Hugging Face file's name of a tensor as the specs have it: without the prefix, in today's spelling."""
        name = name.removeprefix(self.prefix)
        for front in self.fronts:
            name = name.removeprefix(front)
        for older, today in self.older_spellings:
            if name.endswith(older):
                return name.removesuffix(older) + today
        return name


def expanded_shape(shape: str, sizes: Sizes) -> tuple[int, ...]:
    """ "HE D" with H = 9, E = 64, D = 576 -> (576, 576)."""
    values = vars(sizes)
    result = []
    for axis in shape.split():
        result.append(int(axis) if axis.isdecimal() else math.prod(values[letter] for letter in axis))
    return tuple(result)
