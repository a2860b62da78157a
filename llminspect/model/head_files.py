"""Which head a file has in place of one that predicts words, its labels, and its tensors.

A Hugging Face file names it by the class in `config.json`; a GGUF file has it where there are tensors `cls.*`, which
llama.cpp reads in `llm_graph_context::build_pooling`: `cls`, tanh and `cls.output` on an encoder's first token,
`cls.output` alone on a decoder's last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from llminspect.errors import ModelError, as_json
from llminspect.model.copies import Copy
from llminspect.model.heads import HeadFiles, Kind, OutputHead, Problem, Reads, no_words
from llminspect.model.settings import MOST_REPEATED
from llminspect.model.spec import Architecture, TensorSpec, linear_specs

Shapes = Mapping[str, tuple[int, ...]]

PROBLEMS: dict[str, Problem] = {
    "single_label_classification": "single_label_classification",
    "multi_label_classification": "multi_label_classification",
    "regression": "regression",
}
KINDS: dict[str, Kind] = {
    "SequenceClassification": "sequence classification",
    "TokenClassification": "token classification",
    "QuestionAnswering": "question answering",
    "MultipleChoice": "multiple choice",
}
"""By the end of the name of the class in a `config.json`, under `architectures`."""
HEADS = (
    *("classifier.", "score.", "qa_outputs.", "pre_classifier.", "classification_head.", "sequence_summary."),
    "logits_proj.",
)
"""What the tensors of such heads begin with …"""
GGUF_HEADS = ("cls.",)
"""… and in a GGUF file."""
BEAMS = "qa_outputs.start_logits.dense.weight"
"""A tensor of the head of XLNet's kind, which searches with beams."""
SETTING = {"huggingface": "architectures", "gguf": "cls"}
"""What `--ignore-setting` calls the head of a file of each format: with it the model opens without its head."""
OF_GGUF = HeadFiles("cls.output", None, ("labels.dense", "cls", "tanh"), question=None, sequence_bias=None)
OF_GGUF_NORMED = replace(OF_GGUF, dense=("labels.dense", "cls", ""), dense_bias=None, norm="cls.norm")
OF_GGUF_DECODER = replace(OF_GGUF, dense=None)


def with_head(architecture: Architecture, config: Mapping[str, Any], shapes: Shapes) -> Architecture:
    """The family with the head that a `config.json` names; as it is, where it names none.

    Raises ModelError for a head that the family does not have, and for tensors of a head that nothing names.
    """
    classes = config.get("architectures") or [""]
    name = str(classes[0]) if isinstance(classes, list) else str(classes)
    kind = KINDS.get(name.rpartition("For")[2])
    for end, special in () if architecture.heads is None else architecture.heads.special:
        if name.endswith(end) and (not special.beside or _holds(architecture, special, shapes)):
            return _ending_in(architecture, special)
    if kind is None:
        found = next((each for each in shapes if each.startswith(HEADS)), None)
        if found is None:
            return architecture
        known = ", ".join(f"…For{each}" for each in KINDS)
        if "For" in name:
            raise ModelError(f"the head of {name} is not known ({found})", f"known: {known}; {_without('huggingface')}")
        raise ModelError(
            f"tensor {found} belongs to a head, and config.json names no head that is known ({name or 'none'})",
            f'"architectures" names it: {known}; {_without("huggingface")}',
        )
    heads = architecture.heads
    if BEAMS in shapes:
        raise ModelError(
            f"{name} searches for the ends of several starts of a span ({BEAMS}), and such a head is not built in",
            f"known: …ForQuestionAnsweringSimple; {_without('huggingface')}",
        )
    if heads is None or heads.of(kind) is None:
        family = architecture.name
        hint = _without("huggingface")
        raise ModelError(f"heads for {kind} of the family {family} are not known ({name})", hint)
    head = _read(kind, architecture, heads, config)
    prefix = architecture.prefix
    if kind == "question answering" and heads.dense is None and "transformer.norm.weight" in shapes:
        prefix = "transformer."  # Which most decoders call their body in front of this head.
    if kind != "multiple choice":
        _check_labels(head, shapes, "config.json", "id2label")
    return replace(_ending_in(architecture, head), prefix=prefix)


def with_gguf_head(architecture: Architecture, metadata: Mapping[str, Any], shapes: Shapes) -> Architecture:
    """The family with the head that a GGUF file's tensors are of; as it is, where there are none.

    Raises ModelError for a head in part: a converter that knows no first layer of a BERT's head leaves it out.
    """
    if not any(name.startswith(GGUF_HEADS) for name in shapes):
        return architecture
    hint = f"take the model's safetensors; {_without('gguf')}"
    family = metadata["general.architecture"]
    one_way = metadata.get(f"{family}.attention.causal") is not False
    heads = architecture.heads
    if heads is None or architecture.encode_source is not None or (heads.dense is None and not one_way):
        raise ModelError(f"heads of the family {architecture.name} are not known in GGUF files", hint)
    files = OF_GGUF_DECODER if heads.dense is None else OF_GGUF if heads.norm is None else OF_GGUF_NORMED
    needed = ["cls.output.weight"]
    needed += (
        [] if files.dense is None else ["cls.weight", "cls.bias" if files.norm is None else f"{files.norm}.weight"]
    )
    missing = [name for name in needed if name not in shapes]
    if missing:
        raise ModelError(
            f"the file holds a part of a head: {missing[0]} was left out when it was converted, "
            "so its labels would not be the model's",
            hint,
        )
    labels = metadata.get(f"{family}.classifier.output_labels")
    if labels is None:
        labels = [f"LABEL_{index}" for index in range(_rows(shapes["cls.output.weight"]))]
    if not isinstance(labels, list):
        raise ModelError(f"the file: classifier.output_labels = {labels!r:.60} is not understood", "known: a list")
    problem: Problem = "regression" if len(labels) == 1 else "single_label_classification"
    head = OutputHead("sequence classification", tuple(map(str, labels)), problem, files)
    _check_labels(head, shapes, "the file", "classifier.output_labels")
    return _ending_in(architecture, head)


def without_head(architecture: Architecture, file_format: str) -> Architecture:
    """The family where the tensors of a head are passed over; the embedding is no output matrix in its place."""
    heads = HEADS if file_format == "huggingface" else GGUF_HEADS
    passed = (*architecture.ignored, *(Copy(f"{each}*") for each in heads))
    return replace(architecture, ignored=passed, readout=no_words, headless=True)


def has_head(file_format: str, names: Iterable[str]) -> bool:
    """Whether a file of these tensors has such a head."""
    return any(name.startswith(HEADS if file_format == "huggingface" else GGUF_HEADS) for name in names)


def _without(file_format: str) -> str:
    return f"--ignore-setting {SETTING[file_format]} opens the model without its head"


def head_specs(head: OutputHead) -> list[TensorSpec]:
    """Its arrays and what the files call them."""
    files, width, matrix = head.files, str(head.width or "D"), head.files.of(head.kind)
    rows = f"{len(head.labels)} {width}"
    before: list[TensorSpec] = []
    layer = files.layer_of(head.kind)
    if layer is not None:
        name, in_file, _ = layer
        before = linear_specs((name, f"{width} D", in_file, in_file), bias=files.dense_bias)
        if files.norm is not None:
            before += linear_specs((f"{name}.norm", "D", files.norm, files.norm), bias=None)
    # Of labels of tokens the file knows whether there is a bias.
    bias = {"sequence classification": files.sequence_bias, "token classification": None}.get(head.kind, True)
    return [*before, *linear_specs(("labels", rows, matrix, matrix if head.of_text else None), bias=bias)]


def _ending_in(architecture: Architecture, head: OutputHead) -> Architecture:
    its = head_specs(head)
    names, sources = {spec.name for spec in its}, {spec.huggingface for spec in its} - {None}

    def tensors(settings: Any) -> list[TensorSpec]:
        body = architecture.tensors(settings)
        held = {spec.huggingface for spec in body}
        kept = [spec for spec in body if spec.name not in names and spec.huggingface not in sources]
        return [*kept, *filter(None, (_as_before_words(spec, held) for spec in its))]

    readout = architecture.readout if head.beside else no_words
    return replace(architecture, tensors=tensors, readout=readout, head=head)


def _as_before_words(spec: TensorSpec, held: Collection[object]) -> TensorSpec | None:
    """Of a layer that is in front of the words too, a bias is there where the configuration says it; else as it is."""
    layer, dot, last = str(spec.huggingface).rpartition(".")
    if last != "bias" or not spec.optional or f"{layer}{dot}weight" not in held:
        return spec
    return replace(spec, optional=False) if spec.huggingface in held else None


def _holds(architecture: Architecture, head: OutputHead, shapes: Shapes) -> bool:
    """Whether a file has all that such a head needs: one beside the words may have been left out."""
    held = {architecture.canonical(name) for name in shapes}
    return all(spec.huggingface in held or spec.optional for spec in head_specs(head))


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if shape else 1


def _check_labels(head: OutputHead, shapes: Shapes, where: str, key: str) -> None:
    """Raise ModelError where the file names more or fewer labels than its matrix gives numbers."""
    matrix = f"{head.files.of(head.kind)}.weight"
    rows, named = _rows(shapes.get(matrix, (len(head.labels),))), len(head.labels)
    if rows != named:
        labels = f"{named} label{'' if named == 1 else 's'}"
        raise ModelError(
            f"{where} names {labels} ({key}), and the head ({matrix}) gives {rows:,} numbers",
            "check both where the model came from",
        )


def _read(kind: Kind, architecture: Architecture, heads: HeadFiles, config: Mapping[str, Any]) -> OutputHead:
    padding_id = None
    if heads.wraps or not heads.dense:
        padding_id = _id(config, "pad_token_id", architecture.defaults.get("pad_token_id"))
    if kind == "question answering":
        return OutputHead(kind, ("start", "end"), "single_label_classification", heads, padding_id)
    if kind == "multiple choice":
        reads = _summary(config) if heads.summary and heads.between else None
        width = len(_labels(config)) if heads.between else None
        return OutputHead(kind, ("score",), "single_label_classification", heads, reads=reads, width=width)
    problem = config.get("problem_type")
    if problem is not None and problem not in PROBLEMS:
        raise ModelError(f"config.json: problem_type = {as_json(problem)} is not understood", " or ".join(PROBLEMS))
    labels = _labels(config)
    reads = _summary(config) if heads.summary and kind == "sequence classification" else None
    # As the reference trains it: one number is a quantity.
    usual: Problem = "regression" if len(labels) == 1 else "single_label_classification"
    end_id = None if heads.end_id is None else _id(config, "eos_token_id", heads.end_id)
    return OutputHead(kind, labels, PROBLEMS[problem] if problem else usual, heads, padding_id, end_id, reads=reads)


SUMMARY = {"summary_use_proj": True, "summary_proj_to_labels": True, "summary_activation": None}
"""What a head that is called `sequence_summary` does: no other is known."""
SUMMARIES: dict[str, Reads] = {"first": "first", "last": "last", "mean": "mean", "cls_index": "last"}
"""What of a text it reads, by `summary_type`; of no index the last."""


def _summary(config: Mapping[str, Any]) -> Reads:
    for key, only in SUMMARY.items():
        if (found := config.get(key, only)) is not only:
            raise ModelError(f"config.json: {key} = {as_json(found)} is not understood", f"known: {as_json(only)}")
    kind = config.get("summary_type", "first")
    if kind not in list(SUMMARIES):
        raise ModelError(f"config.json: summary_type = {as_json(kind)} is not understood", ", ".join(SUMMARIES))
    return SUMMARIES[kind]


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Their names in order; the reference leaves them out of the file where they are its two or are but numbered."""
    named = config.get("id2label")
    if named is None:
        count = config.get("num_labels", config.get("_num_labels", 2))
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_REPEATED:
            raise ModelError(f"config.json: num_labels = {as_json(count)} is not understood", "a whole number above 0")
        return tuple(f"LABEL_{index}" for index in range(count))
    labels = {str(key): label for key, label in named.items()} if isinstance(named, dict) else {}
    if not labels or set(labels) != {str(index) for index in range(len(labels))}:
        raise ModelError("config.json: id2label does not number the labels from 0 on")
    return tuple(str(labels[str(index)]) for index in range(len(labels)))


def _id(config: Mapping[str, Any], key: str, usual: Any) -> int | None:
    found = config.get(key, usual)
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        raise ModelError(f"config.json: {key} = {as_json(found)} is not understood", "an id")
    return found
