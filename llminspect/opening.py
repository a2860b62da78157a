"""From a name to an open model: where files, architecture and tokenizer meet."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError, TokenizerAlone, UsageError
from llminspect.model.opened import Description, Model, end_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from llminspect.backends.jax.settings import EngineSettings
    from llminspect.files.locate import Located
    from llminspect.files.prepared_file import Planned
    from llminspect.model.params import Params
    from llminspect.model.spec import TensorSpec
    from llminspect.text.tokenizer import Tokenizer

    Progress = Callable[[str, int, int | None], None]

BUILT_IN = ("toy", "toy-relu", "toy-attention", "toy-induction", "toy-translate")
"""The names of `model.toy.TOYS`, which a tokenizer is found by without numpy."""


def describe_model(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    ignore_settings: Sequence[str] = (),
    adapter: str | None = None,
    progress: Progress | None = None,
) -> Description:
    """What `open_model` would open, with nothing dequantized or prepared. Raises ModelError."""
    from llminspect.model.toy import TOYS

    if name in TOYS:
        _built_in(name, ignore_settings, adapter)
        toy = TOYS[name]()
        return Description(name, toy.architecture, toy.config, list(toy.architecture.tensors(toy.config)))
    from llminspect.model.describing import describe

    return describe(_located(name, revision, offline, progress), ignore_settings, adapter, offline)


def open_model(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    ignore_settings: Sequence[str] = (),
    adapter: str | None = None,
    progress: Progress | None = None,
    streamed: bool = False,
    finite: bool = True,
    kernels: Literal["compiled", "none"] | None = None,
    precision: Literal["float32", "int8"] | None = None,
    engine: EngineSettings | None = None,
    note: Callable[[str], None] | None = None,
    writing: bool = False,
) -> Model:
    """Open a model by what `--model` takes: a built-in toy, a path, a catalogue name or a name on the hub.

    With `streamed` no prepared weights are used or made: a layer's weights are read from the model's own file each time
    they are needed, and only that layer's and the next one's are in memory. So it is, without being asked for, with
    weights that as float32 are larger than the machine's memory.
    With compiled `kernels` matrices that a file holds as plain numbers, or in blocks of 4, 5, 6 or 8 bits, stay so and
    are multiplied with as they are; where nothing is said, so it is with more than half a billion weights, or `writing`
    with 50 million in blocks. Raises UsageError where a file has no such matrix, UserError where nothing is compiled.
    With a `precision` of int8 such products round what they multiply to 8 bits, and the provenance says how far off the
    logits are. Raises as with compiled `kernels`.
    `ignore_settings` are names of settings that are passed over though they are not understood; `adapter` is a LoRA
    that is added. The provenance says so.
    With an `engine` (`engine_settings`) JAX computes; `note` is given what it has to say of its devices and memory.
    Raises ModelError where it cannot be found or opened, or is of a kind that is not known; where weights hold NaN or
    infinity, unless `finite` is false (of a streamed model when they are read).
    """
    if engine is not None:
        on_numpy = open_model(
            name,
            revision=revision,
            offline=offline,
            ignore_settings=ignore_settings,
            adapter=adapter,
            progress=progress,
            streamed=True,
            finite=finite,
            kernels="none",
        )
        from llminspect.backends.jax.start import on_jax

        return on_jax(on_numpy, engine, progress=progress, note=note)
    from llminspect.model.toy import TOYS

    rounding = precision == "int8"
    if name in TOYS:
        _built_in(name, ignore_settings, adapter, blocks=rounding or kernels == "compiled")
        toy = TOYS[name]()
        return Model(name, toy.architecture, toy.config, toy.params, _toy_tokenizer(name), {"file": "built in"})
    from llminspect.model.describing import describe

    if adapter is not None and (rounding or kernels == "compiled"):
        raise UsageError("compiled products are of the file's own blocks, to which no adapter can be added")
    description = describe(_located(name, revision, offline, progress), ignore_settings, adapter, offline)
    return _assemble(description, progress, streamed, finite, "none" if adapter else kernels, rounding, note, writing)


def _located(name: str, revision: str | None, offline: bool, progress: Progress | None) -> Located:
    """Where a model lies. Raises ModelError; of another kind for the name of a tokenizer that stands alone."""
    from llminspect.files.locate import locate
    from llminspect.text.tiktoken_encodings import OPENAI_NAMES, encoding_of_openai_model

    try:
        return locate(name, revision=revision, offline=offline, progress=progress, others=BUILT_IN, alone=OPENAI_NAMES)
    except ModelError:
        if standalone(name) is None:
            raise
    if encoding_of_openai_model(name) and not name.startswith(("gpt2", "gpt-2", "gpt-oss")):
        raise TokenizerAlone(f"the weights of {name} are not public, only its tokenizer is")
    raise TokenizerAlone(f"{name} is a tokenizer without a model")


def _built_in(name: str, ignore_settings: Sequence[str], adapter: str | None, blocks: bool = False) -> None:
    """Raise UsageError for what says nothing to a toy."""
    for option in ("--ignore-setting",) * bool(ignore_settings) + ("--adapter",) * (adapter is not None):
        raise UsageError(f"{option} has no effect on {name}, which is built in", "leave it out")
    if blocks:
        from llminspect.backends.kernels import nothing_quantized

        raise nothing_quantized(name)


def open_tokenizer(
    name: str, *, revision: str | None = None, offline: bool = False, progress: Progress | None = None
) -> tuple[Tokenizer, dict[str, Any]]:
    """A tokenizer and its provenance, without touching any weights.

    Takes what `open_model` takes and the tokenizers that stand alone: words, characters, bytes, letters, tiktoken's
    encodings and OpenAI's model names. Raises ModelError.
    """
    found = standalone(name)
    if found is not None:
        return found, {"file": "built in"}
    if name in BUILT_IN:
        return _toy_tokenizer(name), {"file": "built in"}
    from llminspect.files.locate import locate
    from llminspect.text.standalone import standalone_names
    from llminspect.text.tiktoken_encodings import OPENAI_NAMES

    others = (*BUILT_IN, *standalone_names(), *OPENAI_NAMES)
    located = locate(name, revision=revision, offline=offline, progress=progress, weights=False, others=others)
    tokenizer = _tokenizer(located)
    if tokenizer is None:
        from llminspect.text.from_huggingface import READABLE

        raise ModelError(
            f"{name} comes without a tokenizer: no {READABLE}",
            "give ids with --ids, or take the tokenizer of another model",
        )
    return tokenizer, with_note(located.provenance, tokenizer)


def with_note(provenance: dict[str, Any], tokenizer: Tokenizer | None) -> dict[str, Any]:
    """The provenance, and what to know about how the tokenizer was read, if there is something."""
    return {**provenance, "tokenizer_note": tokenizer.note} if tokenizer and tokenizer.note else provenance


def standalone(name: str) -> Tokenizer | None:
    """A tokenizer that needs no model, by its name; None where the name is none of theirs."""
    from llminspect.files.encodings import rank_table
    from llminspect.text.standalone import standalone_tokenizer

    return standalone_tokenizer(name, rank_table)


def tokenizer_of(description: Description) -> Tokenizer | None:
    """The tokenizer of a model that was described; None where it comes without one."""
    if description.located is None:
        return _toy_tokenizer(description.name)
    return _tokenizer_or_reason(description.located)


def _toy_tokenizer(name: str) -> Tokenizer:
    from llminspect.model.toy import TOYS
    from llminspect.text.standalone import WordList

    toy = TOYS[name]()
    return WordList(name, toy.vocabulary, toy.special, toy.ends)


def _tokenizer(located: Located) -> Tokenizer | None:
    if located.format == "gguf":
        from llminspect.text.from_gguf import tokenizer_from_gguf

        return tokenizer_from_gguf(located.config, located.name)
    if not located.tokenizer_files:
        return None
    from llminspect.files.source import read_bytes
    from llminspect.text.from_huggingface import can_be_read, tokenizer_from_files

    files = {name: read_bytes(path) for name, path in located.tokenizer_files.items()}
    if not can_be_read(files):  # Settings of one, or Marian's: ids are enough.
        return None
    tokenizer = tokenizer_from_files(files, located.name, str(located.config.get("model_type") or ""))
    tokenizer.eos_ids |= end_ids(located.generating)
    return tokenizer


def _tokenizer_or_reason(located: Located, rows: int | None = None) -> Tokenizer | None:
    """The same, where ids are enough: one that cannot be read says why, where a text needs it. One that has
    more ids than the embedding has `rows` is refused."""
    from llminspect.text.vocabulary import kept_to

    try:
        tokenizer = _tokenizer(located)
    except ModelError as error:
        from llminspect.text.from_huggingface import ids_are_enough
        from llminspect.text.unreadable import Unreadable

        if located.format != "gguf" and not ids_are_enough(located.tokenizer_files):
            raise
        tokenizer = Unreadable(located.name, located.config, error)
    return kept_to(tokenizer, rows)


def _assemble(
    description: Description,
    progress: Progress | None,
    streamed: bool,
    finite: bool,
    kernels: Literal["compiled", "none"] | None,
    rounding: bool,
    note: Callable[[str], None] | None,
    writing: bool,
) -> Model:
    from llminspect.backends.kernels import kept_in_blocks
    from llminspect.files.machine import keep_freed_memory
    from llminspect.model import pooling, preparing, reading

    keep_freed_memory()
    reading.check_decodable(description)
    located, config = description.files, description.config
    tokenizer = _tokenizer_or_reason(located, rows=config.sizes.V)
    plan = preparing.planned(description)
    size = sum(planned.nbytes for _, planned in plan) // 4
    in_blocks = kept_in_blocks(description, size, "compiled" if rounding else kernels, finite, note, writing)
    if in_blocks:
        plan = [(spec, planned) for spec, planned in plan if spec.name not in in_blocks]
    if streamed or reading.larger_than_memory(sum(planned.nbytes for _, planned in plan)):
        params = _read_when_needed(description, plan, in_blocks, finite)
    else:
        params = preparing.prepared_params(description, [planned for _, planned in plan], in_blocks, finite, progress)
    model = Model(
        located.name,
        description.architecture,
        config,
        params,
        tokenizer,
        with_note(located.provenance, tokenizer),
        located.generating,
        finite=finite,
        declared_pooling=cache(partial(pooling.declared, located, config.sizes.D)),
    )
    if rounding:
        from llminspect.backends.kernels.rounded import rounded

        model = rounded(model, in_blocks)
    if in_blocks:
        from llminspect.backends.kernels.one_token import one_token

        model.params.one_token = one_token(model.params, config)
    return model


def _read_when_needed(
    description: Description, plan: list[tuple[TensorSpec, Planned]], in_blocks: Mapping[str, Any], finite: bool
) -> Params:
    from llminspect.model import reading
    from llminspect.model.params import OnDemand, Params

    parts = {spec.name: reading.part_reader(description, spec) for spec, _ in plan}
    readers = {p.name: partial(reading.checked_array, p) if finite else p.read for _, p in plan}
    on_demand = OnDemand(readers, {name: part for name, part in parts.items() if part})
    for spec, _ in plan:
        if spec.shape == "V D" and spec.name in on_demand.parts:
            on_demand[spec.name] = reading.row_by_row(on_demand, spec, description.config)
    on_demand.update({name: partial(in_blocks.__getitem__, name) for name in in_blocks})
    for spec, planned in plan:
        if spec.copies:  # They are compared where it is read whole, which may be never.
            planned.read()
    return Params(on_demand, keep=False)
