"""A training that is killed without warning, in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from trainer.tune import CHECKPOINTS, last_whole_checkpoint


def kill_after_first_checkpoint(into: Path, program: str, *arguments: object) -> None:
    """Run ``program``, which trains into the folder ``into``, until a checkpoint is whole there."""
    running = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    told = []
    for line in running.stderr:
        told.append(line)
        if last_whole_checkpoint(into / CHECKPOINTS) is not None:
            break
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL, "".join(told)
    assert not (into / "manifest.json").exists()
