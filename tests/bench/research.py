"""The newer commands beside the same questions asked with TransformerLens: whole processes that take turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.bench.measure import PEERS, ROOT, interleaved, run_process
from tests.bench.report import say, table, times, title, verdict

if TYPE_CHECKING:
    from tests.bench.report import Bench

FRANCE, ITALY = "The capital of France is", "The capital of Italy is"
MARY = "When John and Mary went to the store, John gave a drink to"
JOHN = MARY.replace(", John", ", Mary")
STORY = "Once upon a time there was a little girl who lived in a village near the forest."
CAPITALS, MOODS = "docs/demos/capitals.jsonl", "docs/demos/mood.jsonl"
QUESTIONS: dict[str, tuple[list[str], list[str]]] = {
    "forward --score, two continuations": (
        ["forward", FRANCE, "--score", " Paris", "--score", " Saint-Germain"],
        ["score", FRANCE, " Paris", " Saint-Germain"],
    ),
    "neuron": (["neuron", "20.7"], ["neuron", "20.7"]),
    "head": (["head", "23.4"], ["head", "23.4"]),
    "attend --over, 20 texts": (["attend", "--over", CAPITALS], ["habits", CAPITALS]),
    "forward --over --attribution, 20 texts": (
        ["forward", "--over", CAPITALS, "--attribution"],
        ["attribution", CAPITALS],
    ),
    "forward --patch, 30 layers × 5 tokens": (["forward", FRANCE, "--patch", ITALY], ["patch", FRANCE, ITALY]),
    "probe --pool last, 120 texts": (["probe", MOODS, "--pool", "last"], ["probe", MOODS]),
    "features, 18 tokens": (["features", "DICTIONARY", STORY], ["features", "DICTIONARY", STORY]),
    "diff of two models, 18 tokens": (["diff", STORY, "--against-model", "OTHER"], ["diff", "OTHER", STORY]),
    "circuit": (["circuit", MARY, JOHN], ["circuit", MARY, JOHN, "5"]),
}
"""Each as our command line, and as a function of `peers/research_transformer_lens.py` with what it is given; DICTIONARY
and OTHER are folders that `research_files` writes."""


def research(bench: Bench) -> None:
    """Processor seconds and memory of each question; commands without a counterpart there are left out."""
    title("Research: a question, from the start of the process to its answer")
    if "TransformerLens" not in bench.installed:
        say("TransformerLens is not installed, so nothing is measured.")
        return
    script, folder = str(PEERS / "research_transformer_lens.py"), str(bench.peers_folder)
    rows, slower_in = [], []
    made = {name: str(bench.scratch / f"{bench.model}-{name.lower()}") for name in ("DICTIONARY", "OTHER")}
    subprocess.run([sys.executable, "-m", "tests.bench.research_files", folder, *made.values()], check=True, cwd=ROOT)
    for question, words_of in QUESTIONS.items():
        ours, theirs = ([made.get(word, word) for word in words] for words in words_of)
        runs = interleaved(
            {
                "ours": partial(run_process, [*bench.program, *ours, "--json", "--model", bench.model]),
                "theirs": partial(run_process, [bench.peers_python, script, theirs[0], folder, *theirs[1:]]),
            },
            bench.rounds,
        )
        processor = {name: statistics.median(run.processor for run in found) for name, found in runs.items()}
        memory = {name: max(run.megabytes for run in found) for name, found in runs.items()}
        ratio = processor["theirs"] / processor["ours"]
        if ratio <= 1 or memory["ours"] >= memory["theirs"]:
            slower_in.append(question)
        shown = [f"{processor[name]:.2f} s" for name in ("ours", "theirs")]
        rows.append((question, *shown, times(ratio), *(f"{memory[name]:,.0f} MB" for name in ("ours", "theirs"))))
    table(("command", "processor", "TransformerLens", "ratio", "most memory", "TransformerLens"), rows)
    say(f"To reach: less of both, in all questions: {verdict(not slower_in)}" + "".join(f"; {q}" for q in slower_in))
