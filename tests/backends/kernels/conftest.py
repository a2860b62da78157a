"""Microsoft's compiler has no vectors: there llminspect works without compiled products."""

import sys

collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []
