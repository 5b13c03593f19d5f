"""What every benchmark says about where it ran."""

import platform
import resource
import subprocess
from importlib.metadata import version
from pathlib import Path

from metricsearch.threads import available_cores


def describe_machine() -> str:
    """One line: CPU, cores, versions, commit."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "lmdb"))
    return f"{cpu}, {available_cores()} cores, Python {platform.python_version()}, {packages}, commit {commit or '?'}"


def rss_bytes() -> int:
    """Resident set of this process now."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


def peak_rss_bytes() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
