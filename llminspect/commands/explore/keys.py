"""Which key does what, and how it is called in the help."""

from __future__ import annotations

from itertools import zip_longest
from textwrap import wrap

KEYS: list[tuple[str, str, str]] = [
    ("i,/", "edit", "edit the text (Enter or Esc ends it)"),
    ("1,2,3,4,5,6,7", "pane", "next token, tokens, heads, head, lens, changes, features; Tab goes to the next"),
    ("left,right", "across", "the token whose numbers you see; in heads and head: another head"),
    ("up,down", "updown", "another candidate, layer, change or feature; else the page"),
    ("pageup,pagedown,home,end", "scroll", "the page"),
    ("comma,full_stop", "cursor", "the token whose numbers you see, in every pane"),
    ("shift+left,shift+right", "key", "the token that it looks at"),
    ("enter", "enter", "take the candidate; open the head"),
    ("backspace", "back", "one token back; what was taken stays in the tree"),
    ("n", "branch", "the next branch of the tree"),
    ("m", "measure", "what colours the map: entropy, sink … excess of the pair, attribution to the target"),
    ("t", "target", "the token in question"),
    ("v", "versus", "what it is compared with"),
    ("k", "knobs", "temperature, top_k, top_p, min_p"),
    ("space", "silence", "silence the chosen head or feature, or switch it on again"),
    ("a", "silence_attention", "silence the attention of the chosen layer"),
    ("f", "silence_feedforward", "silence its feed forward"),
    ("r", "silence_neuron", "silence a neuron"),
    ("plus,minus", "scale", "the chosen head or feature twice, or half as much"),
    ("p", "patch", "put in what a second text gave"),
    ("s", "steer", "add a direction"),
    ("x", "unchange", "undo the marked change"),
    ("u", "undo", "undo the last thing that was done"),
    ("o", "beside", "the tokenizers that the model's own is compared with"),
    ("b", "corpus", "the habits of the head over a file, or a folder, of texts"),
    ("c", "chat", "the text as a message of a chat, or as it is"),
    ("e", "equivalent", "the command lines and the Python code that give the same"),
    ("w", "write", "save what is shown: .svg .html .png .txt .json"),
    ("d", "light", "dark or light"),
    ("escape", "cancel", "stop the computation"),
    ("question_mark", "help", "this list"),
    ("q", "quit", "leave; a session is kept"),
]

QUESTIONS = {
    "target": 'the target, a token such as " Paris" (nothing: the most probable)',
    "versus": "compared with, a token (nothing: with none)",
    "knobs": "temperature=0.8 top_k=40 top_p=0.9 min_p=0.05 (nothing: as the model says)",
    "silence_neuron": "the neuron to silence, LAYER.feedforward.NUMBER",
    "beside": "tokenizers to compare with, such as gpt2 bytes (nothing: o200k_base)",
    "corpus": "the file or folder of texts over which its habits are measured (nothing: none)",
    "second": "the text that is patched from, with as many tokens",
    "patch": "what is put in from it: LAYER.stream, LAYER.attention, LAYER.HEAD",
    "steer": "the direction, WORDS@LAYER*FACTOR, such as London - Paris@10*1",
    "write": "the file: .svg .html .png .txt or .json",
    "overwrite": "that file is there already: y writes over it, Enter leaves it as it is",
}
"""What is asked for in a line at the foot."""


_NAMES = {
    "question_mark": "?",
    "full_stop": ".",
    "comma": ",",
    "plus": "+",
    "minus": "-",
    "pageup": "Page↑",
    "pagedown": "Page↓",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "shift+left": "⇧←",
    "shift+right": "⇧→",
}


def help_text(room: int) -> str:
    """The keys, each with what it does beside it, in lines of `room` cells."""
    rows = [(" ".join(_NAMES.get(key, key) for key in keys.split(",")), text) for keys, _, text in KEYS]
    widest = min(max(len(keys) for keys, _ in rows), room // 2)
    lines = list[str]()
    for keys, text in rows:
        beside = wrap(text, max(8, room - widest - 2))
        left = wrap(keys, max(1, widest))
        lines += [f"{key.ljust(widest)}  {part}".rstrip() for key, part in zip_longest(left, beside, fillvalue="")]
    return "\n".join(lines)
