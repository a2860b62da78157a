"""`llminspect info`: what is inside a model, without computing anything with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llminspect.analysis.languages import languages
from llminspect.analysis.passes import streams_shown
from llminspect.analysis.result import Result, fields_of
from llminspect.analysis.sentence import Pooling, document_of_step
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import several
from llminspect.errors import ModelError, TokenizerAlone
from llminspect.files.home import Progress
from llminspect.model.describing import layers_after
from llminspect.model.heads import Kind, Problem
from llminspect.model.opened import Description
from llminspect.model.spec import TensorSpec, expanded_shape
from llminspect.model.text_part import FRONTS, left_out
from llminspect.opening import describe_model, open_tokenizer, standalone, tokenizer_of, with_note
from llminspect.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llminspect.model.adapter import Adapter

LONGEST_SHOWN = 64
"""Entries of a list in a file's metadata that are given; of a longer one (a vocabulary) only their number."""


@dataclass(frozen=True)
class ModelTensor:
    """One array of the model."""

    name: str
    shape: list[int]
    axes: str
    """The shape by the dimension letters: "HE D" is heads times their width, by model width."""
    parameters: int
    types: list[str]
    """The number types that the file keeps it in."""
    file_names: list[str]
    """What the file calls it; none where it is built in."""
    bytes: int
    """In the file; of a tensor that several arrays are cut out of, this one's share."""


@dataclass(frozen=True)
class ModelPart:
    """The parameters of one part of the model, over all layers."""

    name: str
    parameters: int
    share: float
    bits: float = 32.0
    """In the file for each parameter: of a quantized part with its scales."""


@dataclass(frozen=True)
class TokenizerDetails:
    """How the model's tokenizer works."""

    kind: str
    vocabulary_size: int
    lossless: bool
    """Whether decoding gives back every text byte by byte."""
    special_tokens: dict[str, int]
    prefix_ids: list[int]
    """What is put in front of a text."""
    suffix_ids: list[int]
    eos_ids: list[int]
    """Where generation stops."""
    bos_id: int | None = None
    mask_id: int | None = None
    unknown_id: int | None = None
    languages: list[str] | None = None
    """Those that --target-language names, where it has tokens of languages."""


@dataclass(frozen=True)
class HeadDetails:
    """A head that says something else than the next token."""

    kind: Kind
    labels: list[str]
    """One for each number that it gives."""
    problem: Problem
    """How they become probabilities: by softmax, by sigmoid, or as `regression` not at all."""


@dataclass(frozen=True)
class AdapterDetails:
    """A LoRA that is added."""

    name: str
    matrices: int
    """How many of the model's it changes."""
    ranks: list[int]
    parameters: int
    revision: str | None = None


@dataclass(frozen=True)
class SentenceDetails:
    """What the settings of a sentence encoder do with a text before it is read."""

    max_tokens: int | None = None
    """A longer one is cut off."""
    lowercase: bool = False
    prompts: dict[str, str] | None = None
    """What may be put in front of it, by name."""
    default_prompt: str | None = None
    """The name of that which is."""


@dataclass(frozen=True)
class InfoResult(Result):
    """What is inside a model. What its file does not have is left out."""

    title: str
    family: str | None = None
    format: str | None = None
    """`gguf`, `huggingface` or `built in`."""
    capabilities: list[str] | None = None
    """`generate`, `fill` (masks), `unmask` (writes by filling masks), `encode` (sees both ways), `source` (an
    encoder–decoder); with a head `classify` (a text), `tag` (its tokens), `answer` (with a part of it)."""
    parameters: int | None = None
    sizes: dict[str, int] | None = None
    """By the dimension letters, and the context."""
    config: dict[str, Any] | None = None
    """What else the forward pass depends on."""
    weight_types: dict[str, int] | None = None
    """How many tensors of the file are of each number type."""
    file_bytes: int | None = None
    memory_bytes: int | None = None
    """As float32."""
    parts: list[ModelPart] | None = None
    tied: bool | None = None
    """Whether the embedding serves as the output matrix as well."""
    output: Literal["own", "embedding", "none"] | None = None
    """The output matrix that is used: the file's own, the embedding once more, or there is none."""
    head: HeadDetails | None = None
    """In place of an output matrix: a head for labels or for spans of the text."""
    adapter: AdapterDetails | None = None
    pooling: Pooling | None = None
    """How the files declare that the vectors of a text's tokens become one; no steps: that they do not."""
    sentence: SentenceDetails | None = None
    tensors: list[ModelTensor] | None = None
    tokenizer: TokenizerDetails | None = None
    chat_template: str | None = None
    metadata: dict[str, Any] | None = None
    """The file's own configuration; of a long list only how many entries it has."""


def inside(
    name: str, *, progress: Progress | None = None, **reading: Any
) -> tuple[Description | None, Tokenizer | None, dict[str, Any]]:
    """What `info` tells of: a model and its tokenizer, or a tokenizer alone, with the provenance.

    `reading` is what `describe_model` takes. Raises ModelError.
    """
    alone = standalone(name)
    if alone is not None:
        return None, alone, {"file": "built in"}
    try:
        description = describe_model(name, progress=progress, **reading)
    except TokenizerAlone:
        return None, *open_tokenizer(name, revision=reading["revision"], offline=reading["offline"], progress=progress)
    tokenizer = tokenizer_of(description)
    provenance = {"file": "built in"} if description.located is None else description.located.provenance
    return description, tokenizer, with_note(provenance, tokenizer)


def info(description: Description | None, tokenizer: Tokenizer | None, name: str) -> InfoResult:
    """From the headers alone; `description` is None for a tokenizer that stands alone."""
    facts = None if tokenizer is None else tokenizer_details(tokenizer)
    template = None if tokenizer is None else tokenizer.chat_template
    if description is None:
        return InfoResult(name, tokenizer=facts, chat_template=template)
    located = description.located
    config: Any = description.config
    tensors = [_tensor(description, spec) for spec in description.specs]
    total = sum(tensor.parameters for tensor in tensors)
    capabilities = description.capabilities
    settings = description.config.stated_fields()
    output, head = _output(description), description.architecture.head
    if "tied" in settings:  # What the file says is one thing, what is used another.
        settings["tied"] = output == "embedding"
    metadata, stated = {} if located is None else dict(located.config), _sentence(description)
    if more := layers_after(description):
        note = f"{several(more, 'layer')} after the last, to predict further tokens, not run"
        stated["notes"] = [note, *stated.get("notes", ())]
    if description.architecture.fronts == FRONTS:
        stated["notes"] = [left_out(description.architecture.model_types[0]), *stated.get("notes", ())]
    if several_streams := streams_shown(config):
        stated["notes"] = [*stated.get("notes", ()), *several_streams]
    return InfoResult(
        title=str(metadata.get("general.name") or name),
        family=description.architecture.name,
        format="built in" if located is None else located.format,
        capabilities=sorted(capabilities),
        parameters=total,
        sizes=dataclasses.asdict(config.sizes),
        config={
            key: fields_of(value) if dataclasses.is_dataclass(value) else value
            for key, value in settings.items()
            if key != "sizes"
        },
        weight_types=None if located is None else located.provenance.get("weight_types"),
        file_bytes=sum(tensor.bytes for tensor in tensors),
        memory_bytes=4 * total,
        parts=parts(tensors),
        tied=output == "embedding",
        output=output,
        head=None if head is None else HeadDetails(head.kind, list(head.labels), head.problem),
        adapter=None if description.adapter is None else _adapter(description.adapter),
        **stated,
        tensors=tensors,
        tokenizer=facts,
        chat_template=template,
        metadata={key: _shortened(value) for key, value in metadata.items()} or None,
    )


def _adapter(adapter: Adapter) -> AdapterDetails:
    tensors, origin = adapter.files.weights.tensors, adapter.files.provenance
    pairs: list[Any] = [*adapter.pairs.values(), *adapter.experts.values()]
    ranks = sorted({tensors[pair.a].shape[0] // pair.experts for pair in pairs})
    numbers = sum(math.prod(info.shape) for name, info in tensors.items() if ".lora_" in name)
    matrices = sum(pair.experts for pair in pairs)
    return AdapterDetails(origin.get("repo", adapter.files.name), matrices, ranks, numbers, origin.get("revision"))


def _sentence(description: Description) -> dict[str, Any]:
    """What the files declare of one vector for a text; where that is not understood a note."""
    located = description.located
    if located is None or description.architecture.instead is not None:
        return {}
    from llminspect.model import pooling

    try:
        declared = pooling.declared(located, description.config.sizes.D)
    except ModelError as error:
        return {"notes": [error.message]}
    if declared is None:
        return {}
    known = (declared.longest, declared.lowercase, dict(declared.prompts) or None, declared.default_prompt)
    sentence = SentenceDetails(*known) if any(known) else None
    return {"pooling": Pooling(True, list(map(document_of_step, declared.steps))), "sentence": sentence}


def _output(description: Description) -> Literal["own", "embedding", "none"]:
    names = {spec.name for spec in description.specs}
    if description.architecture.without_output(description.config, names):
        return "none"
    return "own" if "unembedding.weight" in names else "embedding"


def _tensor(description: Description, spec: TensorSpec) -> ModelTensor:
    located = description.located
    shape = expanded_shape(spec.shape, description.config.sizes)
    parameters = math.prod(shape)
    if located is None or located.weights is None:
        return ModelTensor(spec.name, list(shape), spec.shape, parameters, ["F32"], [], 4 * parameters)
    found = [located.weights.tensors[source] for source in spec.sources(located.format)]
    types = list(dict.fromkeys(info.type for info in found))
    names = [info.name for info in found]
    nbytes, size = (sum(getattr(info, what) for info in found) for what in ("nbytes", "size"))
    nbytes = round(nbytes * min(1, parameters / max(size, 1)))
    return ModelTensor(spec.name, list(shape), spec.shape, parameters, types, names, nbytes)


def parts(tensors: Sequence[ModelTensor]) -> list[ModelPart]:
    """Parameters by part, in the order of the flow; the norms are one part wherever they stand."""
    counts: dict[str, int] = {}
    nbytes: dict[str, int] = {}
    for tensor in tensors:
        name = part_of(tensor.name)
        counts[name] = counts.get(name, 0) + tensor.parameters
        nbytes[name] = nbytes.get(name, 0) + tensor.bytes
    total = sum(counts.values())
    return [
        ModelPart(name, count, count / max(total, 1), 8 * nbytes[name] / max(count, 1))
        for name, count in counts.items()
    ]


def part_of(name: str) -> str:
    """`layers.3.attention.query.weight` -> `attention`; of another stack `encoder attention`; any norm -> `norms`."""
    pieces = name.split(".")
    if any("norm" in piece for piece in pieces):
        return "norms"
    if len(pieces) > 2 and pieces[1].isdecimal():
        return pieces[2] if pieces[0] == "layers" else f"{pieces[0]} {pieces[2]}"
    return pieces[0]


def tokenizer_details(tokenizer: Tokenizer) -> TokenizerDetails:
    known = [field.name for field in dataclasses.fields(TokenizerDetails) if field.name != "languages"]
    facts = {name: getattr(tokenizer, name) for name in known}
    lists = {name: list(facts[name]) for name in ("prefix_ids", "suffix_ids")}
    special, eos_ids = dict(tokenizer.special_tokens), sorted(tokenizer.eos_ids)
    spoken = sorted(languages(tokenizer)) or None
    return TokenizerDetails(**facts | lists | {"special_tokens": special, "eos_ids": eos_ids, "languages": spoken})


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(entry) for key, entry in value.items()}
    if not isinstance(value, str | bytes) and hasattr(value, "__len__"):
        return {"entries": len(value)} if len(value) > LONGEST_SHOWN else list(value)
    return value
