"""The controller's end of a worker: start it, ask it, and say in one line why it failed."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metricsearch.bench.job import Job
from metricsearch.bench.resources import THREAD_VARIABLES

_GRACE_S = 3  # to end by itself


class WorkerError(Exception):
    """A method cannot be measured; the text is the reason, one line."""


class Worker:
    """A running `metricsearch.bench.worker`.

    used_s: seconds it has worked since `restart_clock`; WorkerError as soon as they exceed limit_s.
    """

    def __init__(self, job: Job, name: str, limit_s: float) -> None:
        self._limit_s, self.used_s = limit_s, 0.0
        path = Path(job.work) / f"{name}.json"
        path.write_text(json.dumps(asdict(job)), encoding="utf-8")
        self._log = path.with_suffix(".log")
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(max(job.threads, job.build_threads)))}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "metricsearch.bench.worker", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the controller, which ends its workers
            )

    def restart_clock(self) -> None:
        """Let `limit_s` count from now."""
        self.used_s = 0.0

    def ask(self, **command: Any) -> dict[str, Any]:
        """The worker's reply. Raises WorkerError; the worker is then of no further use."""
        begin = time.monotonic()
        try:
            self._send(json.dumps(command) + "\n")
            line = self._read_line(begin)
        finally:
            self.used_s += time.monotonic() - begin
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def close(self) -> None:
        """End the process and all that it has started."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if self.used_s > self._limit_s else _GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _send(self, text: str) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            stdin.write(text.encode())
            stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._end()) from None

    def _read_line(self, begin: float) -> bytes:
        """One line of stdout, as long as the time allows."""
        stdout = self._process.stdout
        received = b""
        with selectors.DefaultSelector() as selector:
            if stdout is not None:
                selector.register(stdout, selectors.EVENT_READ)
            while stdout is not None and not received.endswith(b"\n"):
                left = self._limit_s - self.used_s - (time.monotonic() - begin)
                if left <= 0 or not selector.select(left):
                    raise WorkerError(f"it took longer than limit_s = {self._limit_s:g} s")
                piece = os.read(stdout.fileno(), 1 << 16)
                if not piece:
                    raise WorkerError(self._end())
                received += piece
        return received

    def _end(self) -> str:
        """Why the process is no more."""
        try:
            status = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return "its process closed the connection"
        if status == -signal.SIGKILL:
            return "its process was killed, most likely because memory ran out"
        if status < 0:
            return f"its process crashed ({signal.Signals(-status).name})"
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        return f"its process ended with status {status} ({last:.200})"
