"""Two processes that talk over gloo: started at the first test that needs them, and never waited for in vain."""

from __future__ import annotations

import faulthandler
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
GRACE = 5.0
"""Seconds that the others have after one has failed; they may wait for it in a collective."""


class Failed(Exception):
    """What went wrong, process by process."""


@dataclass
class Worker:
    """A process and the way to talk to it."""

    process: subprocess.Popen[bytes]
    connection: Connection


class Pool:
    """Processes that run a function, all of them the same one, as ranks of one process group.

    After a failure they are ended, and the next call starts new ones.

    Args:
        size: How many.
        gloo: Whether they form a process group; without, they do not import torch.
    """

    def __init__(self, size: int = 2, gloo: bool = True) -> None:
        self.size = size
        self._gloo = gloo
        self._workers: list[Worker] = []
        self._folder = ""

    def run(self, function: Callable[..., Any], *args: Any, timeout: float = 120.0) -> list[Any]:
        """Call ``function(*args)`` in every process; gives what they returned, by rank.

        Args:
            function: One of a module's, which the processes import.
            *args: What pickle can carry.
            timeout: Seconds for everything, a start of the processes included.

        Raises:
            Failed: One raised, died, or did not answer in time.
        """
        call = pickle.dumps((function, args))
        end = time.monotonic() + timeout
        if not self._workers:
            self._start()
        try:
            for worker in self._workers:
                worker.connection.send_bytes(call)
            return self._answers(end, timeout)
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="lrdsl-")
        meeting = Path(self._folder) / "meeting"
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        for rank in range(self.size):
            here, there = socket.socketpair()
            with there:
                where = [str(there.fileno()), str(rank), str(self.size), str(meeting) if self._gloo else ""]
                command = [sys.executable, "-m", "tests.frameworks.processes", *where]
                process = subprocess.Popen(command, cwd=ROOT, env=env, pass_fds=[there.fileno()])
            self._workers.append(Worker(process, Connection(here.detach())))

    def _answers(self, end: float, timeout: float) -> list[Any]:
        answers: dict[int, Any] = {}
        failures: dict[int, str] = {}
        ranks = {worker.connection: rank for rank, worker in enumerate(self._workers)}
        while ranks:
            ready = wait(list(ranks), max(0.0, end - time.monotonic()))
            if not ready:
                for connection, rank in ranks.items():
                    failures[rank] = f"no answer within {timeout:g} s" if not failures else "waited for the other"
                    self._workers[rank].process.send_signal(signal.SIGUSR1)  # prints where it is
                    wait([connection], 0.2)
                break
            for connection in ready:
                assert isinstance(connection, Connection)
                rank = ranks.pop(connection)
                try:
                    fine, answer = pickle.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    fine, answer = False, f"ended with status {self._workers[rank].process.wait(GRACE)}"
                (answers if fine else failures)[rank] = answer
                if failures:
                    end = min(end, time.monotonic() + GRACE)
        if failures:
            raise Failed("\n".join(f"rank {rank}: {why}" for rank, why in sorted(failures.items())))
        return [answers[rank] for rank in range(self.size)]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
        if self._workers:
            shutil.rmtree(self._folder)
        self._workers = []


def main(arguments: Sequence[str]) -> None:
    """A worker: answer calls until the other side is gone."""
    descriptor, rank, size, meeting = arguments
    connection = Connection(int(descriptor))
    faulthandler.register(signal.SIGUSR1)
    # As in tests/frameworks/conftest.py.
    warnings.simplefilter("ignore")
    warnings.filterwarnings("error", module="lrdsl")
    if meeting:
        import torch

        torch.set_num_threads(1)
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{meeting}",
            rank=int(rank),
            world_size=int(size),
            timeout=timedelta(seconds=60),
        )
    while True:
        try:
            call = connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)
        try:
            function, args = pickle.loads(call)
            answer = pickle.dumps((True, function(*args)))
        except BaseException:
            answer = pickle.dumps((False, traceback.format_exc()))
        connection.send_bytes(answer)


if __name__ == "__main__":
    main(sys.argv[1:])
