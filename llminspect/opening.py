"""From a name to an open model: where files, architecture and tokenizer meet."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError, UsageError, UserError
from llminspect.model.opened import Description, Model

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from llminspect.backends.jax.settings import EngineSettings, Number
    from llminspect.files.locate import Located
    from llminspect.text.tokenizer import Tokenizer

    Progress = Callable[[str, int, int | None], None]


def describe_model(
    name: str, *, revision: str | None = None, offline: bool = False, progress: Progress | None = None
) -> Description:
    """What `open_model` would open, with nothing dequantized or prepared. Raises ModelError."""
    from llminspect.model.toy import TOYS

    if name in TOYS:
        toy = TOYS[name]()
        return Description(name, toy.architecture, toy.config, list(toy.architecture.tensors(toy.config)))
    from llminspect.files.locate import locate

    return _describe(locate(name, revision=revision, offline=offline, progress=progress))


def open_model(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    streamed: bool = False,
    finite: bool = True,
    kernels: Literal["numpy", "numba"] = "numpy",
    engine: EngineSettings | None = None,
    note: Callable[[str], None] | None = None,
) -> Model:
    """Open a model by what `--model` takes: a built-in toy, a path, a catalogue name or a name on the hub.

    With `streamed` no prepared weights are used or made: a layer's weights are read from the model's own file each time
    they are needed, and only that layer's and the next one's are in memory. So it is, without being asked for, with
    weights that as float32 are larger than the machine's memory.
    With the kernels of numba matrices that a GGUF file holds in blocks of 4, 5, 6 or 8 bits stay so and are multiplied
    with as they are. Raises UsageError where there are none, UserError where numba is not installed.
    With an `engine` (`engine_settings`) JAX computes; `note` is given what it has to say of its devices and memory.
    Raises ModelError where it cannot be found or opened, or is of a kind that is not known; where weights hold NaN or
    infinity, unless `finite` is false (of a streamed model when they are read).
    """
    if engine is not None:
        on_numpy = open_model(
            name, revision=revision, offline=offline, progress=progress, streamed=True, finite=finite, kernels=kernels
        )
        from llminspect.backends.jax.start import on_jax

        return on_jax(on_numpy, engine, progress=progress, note=note)
    from llminspect.model.toy import TOYS

    if name in TOYS:
        if kernels == "numba":
            from llminspect.backends.kernels.matrices import nothing_quantized

            nothing_quantized(name)
        toy = TOYS[name]()
        return Model(name, toy.architecture, toy.config, toy.params, _toy_tokenizer(name), {"file": "built in"})
    from llminspect.files.locate import locate

    located = locate(name, revision=revision, offline=offline, progress=progress)
    return _assemble(located, progress, streamed, finite, kernels == "numba")


def engine_settings(
    engine: str, kernels: str, *, mesh: str | None, dtype: Number | None, coordinator: str | None, process: str | None
) -> EngineSettings | None:
    """How JAX runs, from the options of those names; None for numpy.

    Raises UsageError for options that are the other engine's alone, UserError for what is not installed.
    """
    if engine == "numpy":
        if kernels == "numba":
            from llminspect.backends.kernels import check_installed

            check_installed()
        given = {"mesh": mesh, "dtype": dtype, "coordinator": coordinator, "process": process}
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"--{option} says nothing to the engine numpy", "give --engine jax as well")
        return None
    if kernels != "numpy":
        raise UsageError("--kernels says nothing to the engine jax", "take --engine numpy")
    from importlib.util import find_spec

    from llminspect.backends.jax.settings import settings_of

    settings = settings_of(mesh, dtype, coordinator, process)
    if find_spec("jax") is None:
        raise UserError(
            "--engine jax needs JAX, which is not installed",
            "pip install 'llminspect-cli[jax]', or 'llminspect-cli[cuda]' for NVIDIA GPUs",
        )
    return settings


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
    if name in {"toy", "toy-attention"}:
        return _toy_tokenizer(name), {"file": "built in"}
    from llminspect.files.locate import locate
    from llminspect.text.standalone import standalone_names

    others = standalone_names()
    located = locate(name, revision=revision, offline=offline, progress=progress, weights=False, others=others)
    tokenizer = _tokenizer(located)
    if tokenizer is None:
        from llminspect.text.from_huggingface import READABLE

        raise ModelError(
            f"{name} comes without a tokenizer: no {READABLE}",
            "give ids with --ids, or take the tokenizer of another model",
        )
    return tokenizer, located.provenance


def standalone(name: str) -> Tokenizer | None:
    """A tokenizer that needs no model, by its name; None where the name is none of theirs."""
    from llminspect.files.encodings import rank_table
    from llminspect.text.standalone import standalone_tokenizer

    return standalone_tokenizer(name, rank_table)


def tokenizer_of(description: Description) -> Tokenizer | None:
    """The tokenizer of a model that was described; None where it comes without one."""
    if description.located is None:
        return _toy_tokenizer(description.name)
    return _tokenizer(description.located)


def _toy_tokenizer(name: str) -> Tokenizer:
    from llminspect.model.toy import TOYS
    from llminspect.text.standalone import WordList

    return WordList(name, TOYS[name]().vocabulary)


def _tokenizer(located: Located) -> Tokenizer | None:
    if located.format == "gguf":
        from llminspect.text.from_gguf import tokenizer_from_gguf

        return tokenizer_from_gguf(located.config, located.name)
    if not located.tokenizer_files:
        return None
    from llminspect.files.source import read_bytes
    from llminspect.text.from_huggingface import can_be_read, tokenizer_from_files

    if not can_be_read(located.tokenizer_files):  # Settings of one, or SentencePiece's own file: the ids are enough.
        return None
    files = {name: read_bytes(path) for name, path in located.tokenizer_files.items()}
    return tokenizer_from_files(files, located.name)


def _assemble(located: Located, progress: Progress | None, streamed: bool, finite: bool, kernels: bool) -> Model:
    from llminspect.files.machine import keep_freed_memory
    from llminspect.files.prepared import prepared
    from llminspect.files.prepared_file import Planned
    from llminspect.model.params import OnDemand, Params
    from llminspect.model.reading import checked_array, larger_than_memory, not_finite, part_reader, reader, row_by_row
    from llminspect.model.spec import expanded_shape

    keep_freed_memory()
    description = _describe(located)
    config, in_blocks = description.config, {}
    if kernels:
        from llminspect.backends.kernels.matrices import matrices

        in_blocks = matrices(description, finite)
    specs = [spec for spec in description.specs if spec.name not in in_blocks]
    plan = [Planned(spec.name, expanded_shape(spec.shape, config.sizes), reader(description, spec)) for spec in specs]
    if streamed or larger_than_memory(sum(planned.nbytes for planned in plan)):
        parts = {spec.name: part_reader(description, spec) for spec in specs}
        readers = {planned.name: partial(checked_array, planned) if finite else planned.read for planned in plan}
        on_demand = OnDemand(readers, {name: part for name, part in parts.items() if part})
        for spec in specs:
            if spec.shape == "V D" and spec.name in on_demand.parts:
                on_demand[spec.name] = row_by_row(on_demand, spec, config)
        on_demand.update({name: partial(in_blocks.__getitem__, name) for name in in_blocks})
        for spec, planned in zip(specs, plan, strict=True):
            if spec.copies:  # They are compared where it is read whole, which may be never.
                planned.read()
        params = Params(on_demand, keep=False)
    else:
        # The family is part of the key: another reading of the same file must not find this one's arrays.
        key = f"{located.identity}-{description.architecture.name}" + ("-beside-blocks" if in_blocks else "")
        arrays = prepared(key, plan, progress=progress)
        if finite and arrays.not_finite:
            raise not_finite(arrays.not_finite)
        params = Params({**arrays, **in_blocks})
    tokenizer, provenance = _tokenizer(located), located.provenance
    return Model(located.name, description.architecture, config, params, tokenizer, provenance, finite=finite)


def _describe(located: Located) -> Description:
    from llminspect.model.registry import architecture_for, claim
    from llminspect.model.settings import understood

    type_name = located.config.get("general.architecture" if located.format == "gguf" else "model_type")
    if not type_name:
        raise ModelError(f"{located.name} does not say what kind of model it is")
    architecture = architecture_for(str(type_name), located.format)
    read_config = architecture.config_from_gguf if located.format == "gguf" else architecture.config_from_huggingface
    assert read_config is not None
    with understood("the file's metadata" if located.format == "gguf" else "config.json"):
        config = read_config(located.config)
    weights = located.weights
    if weights is None:
        raise ModelError(f"{located.name} holds no weights")
    sizes, tensors = config.sizes, len(weights.tensors)
    if tensors < sizes.L:
        raise ModelError(f"the configuration says {sizes.L} layers, and there are {tensors} tensors in all")
    if sizes.K and sizes.H % sizes.K:
        raise ModelError(f"{sizes.H} query heads cannot share {sizes.K} key/value heads evenly")
    specs = claim(architecture, config, located.format, {name: info.shape for name, info in weights.tensors.items()})
    return Description(located.name, architecture, config, specs, located)
