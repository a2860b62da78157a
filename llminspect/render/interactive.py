"""One self-contained page: a document as JSON, and the script and the style that show it."""

from __future__ import annotations

import base64
import hashlib
import html

HARMLESS = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What could end the script element or start another: written as JSON escapes, which mean the same."""


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
