"""The questions: a file each, numpy in and a frozen Result out. What `llminspect.*` returns and `--json` writes.

Nothing here prints, draws, or knows the command line.
"""
