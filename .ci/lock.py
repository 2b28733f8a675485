"""Writes requirements.lock: everything that `pip install '.[test]'` takes here, with hashes.

python .ci/lock.py > requirements.lock
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Asks pip what it would install, and prints that."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    report = json.loads(subprocess.run([*command, f"{ROOT}[test]"], capture_output=True, text=True, check=True).stdout)
    print("# What the tests run with: pip install --require-hashes -r requirements.lock && pip install --no-deps .")
    print(
        f"# For Python {platform.python_version()} on {platform.system()} ({platform.machine()}); written by .ci/lock.py."
    )
    print("# torch is the build without CUDA, which PyTorch keeps in an index of its own.")
    for item in sorted(report["install"], key=lambda item: item["metadata"]["name"].lower()):
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if name == "isthmus":
            continue
        print(f"{name.lower()}=={version} --hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}")


if __name__ == "__main__":
    main()
