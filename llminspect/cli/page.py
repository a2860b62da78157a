"""`--save FILE.html --interactive`: the document in a page that can be pointed at."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

from llminspect.errors import UsageError

DECIMALS = 6
"""Of the numbers in a page: two more than a percentage shows, so that rounding twice hardly ever tells."""
HARMLESS = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What could end the script element or start another: written as JSON escapes, which mean the same."""
SCRIPTS = {"attend": "attend.js", "forward": "lens.js", "tokenize": "compare.js"}


def page_bytes(document: dict[str, Any]) -> bytes:
    """Raises UsageError for a result that has no page."""
    from llminspect import render
    from llminspect.cli.json_text import json_bytes
    from llminspect.files.source import read_text

    kept = _kept(document)
    folder = Path(render.__file__).parent / "page"
    script = read_text(folder / "common.js") + read_text(folder / SCRIPTS[document["command"]])
    style = read_text(folder / "page.css")
    data = json_bytes(kept, DECIMALS).decode()
    about = ", ".join(model.model for model in kept["models"]) if "models" in kept else document["model"]
    return page(data, script, style, f"llminspect {document['command']}: {about}").encode("utf-8", "replace")


def _kept(document: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of the document."""
    command = document["command"]
    if command == "attend":
        names = ("model", "tokens", "heads", "causal", "source", "cross", "encoder")
        return {name: document[name] for name in names if name in document}
    if command == "forward" and document.get("lens") is not None:
        return {name: document.get(name) for name in ("model", "tokens", "position", "lens", "grid")}
    if command == "tokenize" and document.get("models") is not None:
        return {"models": document["models"]}
    option = {"forward": "--lens", "tokenize": "--compare"}[command]
    raise UsageError(f"--interactive goes with {option} here", f"add {option}, or leave it out")


def page(data: str, script: str, style: str, title: str) -> str:
    """The HTML of a page that shows `data` (JSON) and may load nothing; only this very script may run."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main><noscript>This page needs JavaScript, which runs in it without any network.</noscript></main>
<script type="application/json" id="data">{data.translate(HARMLESS)}</script>
<script>{script}</script>
</body>
</html>
"""
