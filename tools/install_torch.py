"""Installs PyTorch with pip: the CPU build where there is no NVIDIA GPU and pip has a source for it.

``make setup`` runs this with the environment's own interpreter; only the standard library is there.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

PIP = [sys.executable, '-m', 'pip', '--disable-pip-version-check', 'install', '-qq', '--constraint', 'constraints.txt']
ADVICE = """\
  There is no NVIDIA GPU here, but pip's sources offer only PyTorch's CUDA build (several GB). It works on the CPU too.
  For the small CPU build, stop and run `make setup TORCH_INDEX=ADDRESS`, with the address of an index that has it."""


def main() -> int:
    """Install torch into the running environment; returns pip's exit code."""
    index, extra = os.environ.get('TORCH_INDEX', '').strip(), []
    if _wants_cpu_build() and _offers_cuda():
        if index and _answers(index):
            extra = ['--extra-index-url', index]
        else:
            print(ADVICE, flush=True)
    return subprocess.call([*PIP, *extra, 'torch'])


def _wants_cpu_build() -> bool:
    return platform.system() == 'Linux' and platform.machine() == 'x86_64' and shutil.which('nvidia-smi') is None


def _offers_cuda() -> bool:
    """Whether pip, asked without downloading, would bring NVIDIA's libraries along."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / 'report.json'
        if subprocess.call([*PIP, '--dry-run', '--report', str(report), 'torch'], stdout=subprocess.DEVNULL):
            return False  # the real attempt prints why
        packages = json.loads(report.read_text())['install']
    return any(package['metadata']['name'].startswith('nvidia-') for package in packages)


def _answers(index: str) -> bool:
    """Whether the index can be reached; without this check pip would retry a dead one for minutes."""
    try:
        urllib.request.urlopen(index.rstrip('/') + '/torch/', timeout=10).close()
        return True
    except (urllib.error.URLError, OSError, ValueError) as error:
        print(f"  TORCH_INDEX={index} does not answer ({error}); going on with pip's own sources.", flush=True)
        return False


if __name__ == '__main__':
    sys.exit(main())
