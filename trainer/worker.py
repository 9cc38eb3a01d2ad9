"""One process of several that train a job: `python -m trainer.worker WORK`, started by `accelerate launch`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import write_json
from mergescope.ground.progress import Reporter
from trainer.config import tuning_of
from trainer.job import read_job
from trainer.launch import ERROR, FOLLOWED, OUT, RESULT
from trainer.logps import LogpFile
from trainer.method import train
from trainer.quiet import quiet_libraries
from trainer.training_data import load_unchanged
from trainer.tuning import is_main


def main(work: Path) -> int:
    """Train; exit code 0, or 2 for a user's mistake, which is then in error.json."""
    _end_with_parent()
    job = read_job(work)
    try:
        rows = load_unchanged([Path(file) for file in job.triples], job.data, unreviewed=job.unreviewed)
        with quiet_libraries():
            content = train(
                tuning_of(job.section),
                Path(job.base),
                rows,
                work / OUT,
                job.seed,
                Reporter(),
                LogpFile(Path(job.logps)),
                work,
            )
    except MergescopeError as error:
        if is_main():
            where = None if error.where is None else str(error.where)
            value = None if error.value is None else str(error.value)
            write_json(work / ERROR, {"what": error.what, "where": where, "value": value, "cure": error.cure})
        return 2
    if is_main():
        write_json(work / RESULT, content)
    return 0


def _end_with_parent() -> None:
    """End where the process that launched us is gone: its end of our input closes then, however it was killed.

    A launcher that others start, on another machine say, may give us an input that is closed from the beginning.
    """
    if os.environ.get(FOLLOWED) is None:
        return

    def watch() -> None:
        os.read(0, 1)  # nothing is ever written there; sys.stdin would hold a lock that Python wants at its end
        os._exit(3)

    threading.Thread(target=watch, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
