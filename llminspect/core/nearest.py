"""What stands for a sign of a picture where a code page or a font does not have it."""

from __future__ import annotations

_PLAIN = dict(
    zip(
        "·•…–—−×→←↑↓≤≥│┊─┈┼┬┴├┤┌┐└┘‖▸◀▶●○■□◆◇∅√Σ′“”‘’‹›⟨⟩⟦⟧⁰¹²³⁴⁵⁶⁷⁸⁹░▒▓▁▂▃▅▆⠂⠒⠶⠿⏎⇥␛␡⋮◌ᵀ",
        "~..---x><^v<>||--+++++++++|><>*o#o*ooVS'\"\"''<>()[]0123456789.:%_.-+*'-=@$>^x:oT",
        strict=True,
    )
)
_PAIRS = "█# ▉█# ▊█# ▋▌= ▌= ▐= ▍▌- ▎. ▏. ▀■^ ▖▄. ▄_= ▇█% ╭┌+ ╮┐+ ╰└+ ╯┘+ ━─- ┃│| ╸─- ╺─-"
_BRAILLE = dict.fromkeys(map(chr, range(0x2801, 0x2900)), "•.")
NEAREST = _BRAILLE | _PLAIN | {pair[0]: pair[1:] for pair in _PAIRS.split()}
"""Signs like a character, as many cells wide: the first that is there stands for it."""
