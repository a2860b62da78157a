"""What a pass asks of a model's configuration, and its sizes, read from the keys that files have for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Literal, TypeVar

from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import GatedUnit, Glu
from llminspect.core.rotary import Rotary
from llminspect.model.settings import ACTIVATIONS, Settings
from llminspect.model.sizes import Experts as Experts
from llminspect.model.sizes import Masking as Masking
from llminspect.model.sizes import Sizes as Sizes
from llminspect.model.states import State

Kind = TypeVar("Kind", bound="OlderConfig")

SWIGLU = Glu("silu")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a pass asks of a configuration.

    A family's own adds what else its files say; what they do not say is as here.
    """

    stated: ClassVar[str] = "sizes causal"
    """The names of the fields that its files say something of, as `stated_fields` gives them."""
    sizes: Sizes
    causal: bool = True
    """Whether a token sees only itself and those before it."""
    norm: Literal["rms", "layer"] = "rms"
    norm_epsilon: float
    embedding_scale: float = 1.0
    waves: Literal["", "marian", "fairseq"] = ""
    """Which sines and cosines of its position are added to each token, if any are."""
    first_wave: int = 0
    """The position of the first token there."""
    padding_id: int | None = None
    """Where positions count from after this id, and only tokens that are not it."""
    scale: float | None = None
    """Of the scores; None: 1 / √E."""
    rotary: Rotary | None = None
    """How queries and keys are turned by position."""
    local_rotary: Rotary | None = None
    """That of the layers with a window, where they have another."""
    unturned: tuple[int, ...] = ()
    """The layers whose attention knows no positions."""
    window: int | None = None
    """How many tokens a token sees, itself included, in the layers that do not let it see all before it."""
    windowed: tuple[int, ...] = ()
    """Those layers."""
    buckets: int = 0
    """How many distances the attention tells apart, where it knows only those …"""
    farthest: int = 0
    """… and the distance from which on all are alike."""
    alibi: bool = False
    """Whether the scores are made smaller with the distance, by a slope for each head …"""
    mirrored: bool = False
    """… after a token as before it, as an encoder is trained, and not larger and larger after it …"""
    rounded_alibi: bool = False
    """… or larger with the place of the key, by such a slope in bfloat16."""
    parallel: bool = False
    """Whether the feed-forward step reads what the attention read, not what came of it."""
    tied: bool = True
    """Whether the embedding serves as the output matrix where the file has no other."""
    activation: str | None = None
    """Where that of a feed-forward step without a gate has a key of its own."""
    experts: Experts | None = None
    score_cap: float | None = None
    logit_cap: float | None = None
    weightless_norms: bool = False
    """Whether there is a norm before each step and at the end that has neither weight nor bias."""
    clip: float | None = None
    """Between minus and plus which the numbers of queries, keys and values are kept."""
    residual_scale: float = 1.0
    """What each step's result is multiplied by before it is added to the stream."""
    logit_scale: float = 1.0
    blanked_id: int | None = None
    """The id whose row of the embedding is nought; the others' are made larger where it stands often (ESM)."""
    bent: str | None = None
    """The function after a convolution over the text, where a layer has one."""
    reads: Literal["first", "mean", "late"] = "first"
    """What of a text its labels are made of, where one more layer stands before them: its first token, the mean of all,
    or each of them, and then the mean of the labels."""
    masking: Masking | None = None
    """Where it writes by filling masks."""
    state: State | None = None
    """How a layer that has a state keeps what came before …"""
    state_layers: tuple[int, ...] = ()
    """… and which layers have one."""
    without_attention: tuple[int, ...] = ()
    """The layers in which no token looks at another."""
    latent_epsilon: float | None = None
    """ε of the norms of the shorter vectors that queries, keys and values are made of, where there are such."""
    per_layer: int = 0
    """How many numbers each layer reads of the tokens themselves, beside the stream."""
    value_norms: bool = False
    """Whether values are normed, without a weight …"""
    heads_normed: bool = False
    """… and queries and keys, once they are turned …"""
    embedding_normed: bool = False
    """… and what enters the stream."""
    curves: tuple[tuple[float, ...], ...] = ()
    """What the learned function of each layer's feed-forward step is made of, where it is a setting of the file."""
    whole_heads: tuple[int, int] | None = None
    """Keys and values, and the width of a head, in the layers without a window, where they have others."""
    layers_after: int = 0
    """How many layers the file has after the last, which predict further tokens and are not run."""
    streams: int = 1
    """How many residual streams run side by side …"""
    active: int = 0
    """… and which of them the layers work on."""
    sparsity: tuple[float, ...] = ()
    """Which share of its hidden units each layer shuts, where some are shut that open less than most."""
    borrowing: int = 0
    """How many of the last layers work with the keys and values of the last one before them with the same window."""

    def stated_fields(self) -> dict[str, Any]:
        """What its files say, by the names of the fields: those of `stated`, and those that its family alone has."""
        others = (each.name for each in fields(self) if each.name not in COMMON)
        return {name: getattr(self, name) for name in dict.fromkeys((*self.stated.split(), *others))}

    @property
    def attending(self) -> tuple[int, ...]:
        """The layers with attention."""
        return tuple(index for index in range(self.sizes.L) if self.attends(index))

    def attends(self, index: int) -> bool:
        return self.sizes.H > 0 and index not in self.without_attention

    def state_of(self, index: int) -> State | None:
        return self.state if index in self.state_layers else None

    @property
    def unit(self) -> GatedUnit:
        """How a gated feed-forward step joins its halves."""
        return SWIGLU

    @property
    def ungated(self) -> str:
        """The activation of a feed-forward step without a gate."""
        return self.activation or "relu"

    @property
    def encoder(self) -> Config:
        """That of the encoder, where it is a stack of its own."""
        return self

    def curve_of(self, index: int) -> tuple[float, ...]:
        """What the learned function of a feed-forward step is made of, where no arrays say it."""
        return self.curves[index] if self.curves else ()

    def scale_of(self, index: int) -> float:
        """What the scores of a layer are multiplied by."""
        scale: float = self.sizes.E**-0.5 if self.scale is None else self.scale
        return scale

    def rotary_of(self, index: int) -> Rotary | None:
        if index in self.unturned:
            return None
        return self.local_rotary if self.local_rotary is not None and index in self.windowed else self.rotary

    def heads_of(self, index: int) -> tuple[int, int]:
        """How many keys and values a layer has, and how wide the values are: K and U."""
        if self.whole_heads is not None and index not in self.windowed:
            return self.whole_heads
        return self.sizes.K, self.sizes.value_width

    def keys_of(self, index: int) -> int:
        """The layer whose keys and values a layer works with: mostly its own."""
        lenders = range(self.sizes.L - self.borrowing)
        if index in lenders:
            return index
        return max(layer for layer in lenders if (layer in self.windowed) == (index in self.windowed))

    def window_of(self, index: int) -> int | None:
        """How many tokens a token sees in a layer, itself included; None: all before it."""
        return self.window if index in self.windowed else None


COMMON = {each.name for each in fields(Config)}


@dataclass(frozen=True, kw_only=True)
class OlderConfig(Config):
    """Of the families before Llama, and of BERT's kin: layer norms, and feed-forward steps without a gate."""

    norm: Literal["rms", "layer"] = "layer"
    activation: str


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(Config):
    """Of the decoders since Llama."""

    stated = """
        sizes norm_epsilon scale rotary tied local_rotary unturned window windowed biased head_norms unit
        embedding_scale score_cap logit_cap experts causal norm parallel weightless_norms clip residual_scale
        logit_scale masking state state_layers without_attention latent_epsilon layers_after split per_layer value_norms
        heads_normed embedding_normed curves whole_heads borrowing
    """
    scale: float
    rotary: Rotary
    biased: tuple[str, ...] | None = ()
    """The linear maps of a layer that have a bias; None: those whose bias the file holds."""
    head_norms: bool | None = False
    """Whether queries and keys are normed, in a family whose files say so; None: where the file has such norms."""
    unit: GatedUnit = SWIGLU
    split: bool = False
    """Whether the file holds the matrices of keys and values apart, where most files with latents have one of both."""

    @property
    def ungated(self) -> str:
        return self.unit.activation if isinstance(self.unit, Glu) else super().ungated


HUGGINGFACE = {
    "L": "num_hidden_layers",
    "D": "hidden_size",
    "H": "num_attention_heads",
    "F": "intermediate_size",
    "context": "max_position_embeddings",
}
GGUF = {
    "L": "block_count",
    "D": "embedding_length",
    "H": "attention.head_count",
    "F": "feed_forward_length",
    "context": "context_length",
}
"""The keys of most families, by the letter of the size."""


def start_token(settings: Settings, vocabulary: int, *instead: object) -> int | None:
    """What the decoder of an encoder–decoder starts from: the id that is stated, else the first of `instead` that is an
    id; None where there is none. Raises ModelError where the one that is stated is none of the vocabulary's."""
    key = "decoder_start_token_id"
    stated = settings.get(key)
    ids = [value for value in (stated, *instead) if type(value) is int and 0 <= value < vocabulary]
    if settings.values.get(key) is not None and stated not in ids:
        raise settings.wrong(key, f"an id from 0 to {vocabulary - 1}")
    return ids[0] if ids else None


def read_sizes(settings: Settings, keys: Mapping[str, str], **known: int) -> Sizes:
    """The sizes under `keys`, and those that are `known`.

    Where neither says otherwise each head has a key and a value of its own, and D / H numbers.
    """
    found = {letter: settings.whole(key) for letter, key in keys.items() if letter not in known} | known
    if "D" in keys and "E" not in found and found["D"] < found["H"]:
        raise settings.wrong(keys["D"], f"at least {found['H']}, as many as heads")
    return Sizes(**{"K": found["H"], "E": found["D"] // (found["H"] or 1), "V": settings.whole("vocab_size"), **found})


def read_older(
    kind: type[Kind],
    settings: Settings,
    sizes: Sizes,
    *,
    epsilon: str = "layer_norm_eps",
    activation: str = "hidden_act",
    **known: Any,
) -> Kind:
    """What the families before Llama and BERT's kin write alike, two of it under keys of their own; and what is
    `known`."""
    return kind(
        sizes=sizes,
        norm_epsilon=settings.number(epsilon),
        activation=settings.one_of(activation, ACTIVATIONS),
        tied=settings.flag("tie_word_embeddings"),
        **known,
    )
