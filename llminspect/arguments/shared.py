"""Options that commands share, each written once.

A command's function takes whole groups (`source: SourceOptions, output: OutputOptions`); `takes_groups` shows Typer the
single options and hands the command the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from llminspect.arguments.option import Texts, argument, each, option
from llminspect.core.dataclass import dataclass

revision_option = partial(option, metavar="REV", help="A branch, tag or commit of a model on the hub.")
offline_option = partial(option, False, envvar="HF_HUB_OFFLINE", help="Fetch nothing from the network.")
workers_option = partial(option, min=1, metavar="N", help="Processes for long input; as many as cores by default.")


@dataclass(frozen=True)
class NamedOptions:
    """Which model or tokenizer, and how it may be reached."""

    heading: ClassVar[str] = "Model"
    example: ClassVar[str] = "{command}{needed}{text} --model model.gguf"

    model: str = option(
        "smollm2",
        "--model",
        "-m",
        envvar="LLMINSPECT_MODEL",
        metavar="NAME",
        help="A toy, a .gguf file, a model folder, a catalogue name (`llminspect models`) or org/name on the hub.",
        show_default=True,
    )
    revision: str | None = revision_option()
    offline: bool = offline_option()


@dataclass(frozen=True)
class ModelOptions(NamedOptions):
    """The same of a model that is opened, and what is read otherwise than its files say."""

    ignore_settings: Texts | None = option(
        None,
        "--ignore-setting",
        metavar="NAME",
        help="Open the model although this setting of its file is not understood; the output says so. Repeatable.",
        show_default=False,
    )
    adapter: str | None = option(
        metavar="FOLDER", help="Add a LoRA adapter (PEFT): its folder, or org/name on the hub.", show_default=False
    )

    @property
    def reading(self) -> dict[str, Any]:
        """How the model of that name is read, as `open_model` and `describe_model` take it."""
        ignored = each(self.ignore_settings)
        return {"revision": self.revision, "offline": self.offline, "ignore_settings": ignored, "adapter": self.adapter}


@dataclass(frozen=True)
class EngineOptions:
    """What computes."""

    heading: ClassVar[str] = "Engine"
    example: ClassVar[str] = "{command}{needed}{text} --threads 1"

    engine: Literal["numpy", "jax"] = option(
        "numpy", envvar="LLMINSPECT_ENGINE", help="jax: compiled, for GPUs and for several hosts."
    )
    kernels: Literal["compiled", "none"] | None = option(
        envvar="LLMINSPECT_KERNELS",
        help="compiled: multiply with weights of 4 to 16 bits as the file has them; none: make float32 of them first. "
        "Default: compiled for models over half a billion weights, and in generate for quantized ones over 50 million.",
        show_default=False,
    )
    precision: Literal["float32", "int8"] | None = option(
        help="int8: round vectors to 8 bits before products with a GGUF file's blocks, as llama.cpp does. Faster; the "
        "output says how exact the numbers are. Default: float32.",
        show_default=False,
    )
    threads: int | None = option(
        min=1, metavar="N", help="How many threads compute; as many as there are cores by default."
    )
    mesh: str | None = option(metavar="data=2,model=4", help="With jax: spread the model, and batches, over devices.")
    dtype: Literal["float32", "bfloat16"] | None = option(
        help="With jax: the number type of the weights. Default: float32.", show_default=False
    )
    coordinator: str | None = option(metavar="HOST:PORT|auto", help="With jax on several hosts: where process 0 is.")
    process: str | None = option(metavar="I/N", help="With --coordinator: process I of N, from 0.")


@dataclass(frozen=True)
class SourceOptions:
    """What is looked at: text or ids, and how text becomes tokens."""

    heading: ClassVar[str] = "Input"
    example: ClassVar[str] = "{command}{needed} --file notes.txt"

    text: str | None = argument(
        metavar="[TEXT]", help="The text; - or nothing reads standard input.", show_default=False
    )
    file: Path | None = option(
        None, "--file", "-f", metavar="PATH", help="Read the text from a file, without the line break at its end."
    )
    ids: str | None = option(
        metavar="1,2,3", help="Ids instead of text; - reads them, or JSON of encode, from standard input."
    )
    lines: bool = option(
        False,
        help="Each line of standard input is one input; one line of JSON out for each. --save writes FILE-0, FILE-1, …",
    )
    special: bool | None = option(
        None,
        "--special/--no-special",
        help="Add BOS, CLS and so on. Default: as the model expects.",
        show_default=False,
    )
    parse: Literal["text", "special", "error"] = option(
        "text", help="How a special token that is written in the text is read."
    )
    chat: bool = option(
        False,
        help="Read TEXT as a user's message in the model's template; a pipe may hold one message, or a list of them, "
        "as JSON.",
    )
    system: str | None = option(metavar="TEXT", help="With --chat: the system message before it.")
    user: str | None = option(metavar="TEXT", help="With --chat: the user's message, in place of TEXT.")
    tools: str | Sequence[dict[str, Any]] | None = option(
        metavar="FILE", help="With --chat: a JSON list of the functions that the assistant may call."
    )
    template_options: Texts | dict[str, Any] | None = option(
        None,
        "--template-option",
        metavar="NAME=VALUE",
        help="With --chat: an option of the template, with its value as JSON, such as enable_thinking=false. "
        "Repeatable.",
        show_default=False,
    )


@dataclass(frozen=True)
class PairOptions(SourceOptions):
    """The same, of a command that looks at two texts together."""

    pair: str | None = option(metavar="TEXT", help="A second text, which an encoder reads together with the first.")


@dataclass(frozen=True)
class ChoiceOptions(SourceOptions):
    """The same, of a command whose model may choose between several second texts."""

    pair: Texts | None = option(
        metavar="TEXT",
        help="A second text, read together with the first. Several: the choices for a multiple-choice head.",
    )


@dataclass(frozen=True)
class OutputOptions:
    """How the result comes out."""

    heading: ClassVar[str] = "Output"
    example: ClassVar[str] = "{command}{needed}{text} --save picture.svg --theme light"

    json: bool = option(False, help="One JSON document on standard output, nothing else.")
    digits: int | None = option(min=0, max=9, metavar="N", help="Round the numbers in JSON to N decimals.")
    save: Path | None = option(metavar="FILE", help="Write .json, .svg, .html, .png, .txt or .npz as well.")
    width: int | None = option(
        min=20, max=1000, metavar="N", help="Columns of a saved picture. Default: COLUMNS or 100."
    )
    theme: Literal["dark", "light"] = option("dark", help="Colours of a saved picture.")
    color: Literal["auto", "always", "never"] = option("auto", help="Colours in the output.")
    quiet: bool = option(False, "--quiet", "-q", help="No progress and no notes on standard error.")


@dataclass(frozen=True)
class PageOptions(OutputOptions):
    """The same, of a command whose result can be a page that is pointed at."""

    interactive: bool = option(False, help="With --save FILE.html: an interactive page, for mouse and keyboard.")


@dataclass(frozen=True)
class OverOptions:
    """Which texts."""

    heading: ClassVar[str] = "Over many texts"
    example: ClassVar[str] = "{command} --over texts.jsonl"

    over: Path | None = option(
        metavar="FILE.jsonl",
        help="In place of TEXT: one JSON object a line, with a text and what differs from text to text. Shows means "
        "over the texts. "
        "- reads standard input.",
    )
