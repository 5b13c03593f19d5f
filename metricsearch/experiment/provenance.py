"""Where numbers come from: code, packages, machine. Nothing that names a person, a host or a path."""

import os
import platform
import resource
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metricsearch.threads import available_cores

PACKAGES = (
    "metricsearch",
    "numpy",
    "numba",
    "scipy",
    "h5py",
    "lmdb",
    "pandas",
    "matplotlib",
    "pcodec",
    "opencv-python-headless",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "onnxruntime",
)
_PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


def provenance() -> dict[str, Any]:
    """Commit (None outside a checkout), whether files differ from it, versions, processor, cores, memory, date."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **commit(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "memory_gib": _memory_gib(),
    }


def commit() -> dict[str, Any]:
    """{"commit": hash or None, "dirty": whether tracked or new files differ from it}."""
    tracked = _git("ls-files", "--error-unmatch", str(_PACKAGE_FOLDER / "__init__.py"))
    head = _git("rev-parse", "HEAD") if tracked else None
    if head is None:
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(_git("status", "--porcelain", "--", str(_PACKAGE_FOLDER)))}


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def _git(*arguments: str) -> str | None:
    """Output of git on the package's own checkout; None if there is none."""
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE_FOLDER), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (OSError, ValueError):
        return None
