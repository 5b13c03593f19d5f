"""Results kept on disk: one HDF5 file for each (data, method, setting, how it was measured, code, machine)."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from metricsearch.bench.config import MethodConfig, SuiteConfig
from metricsearch.bench.data import BenchData
from metricsearch.bench.results import Built, Result, Setting
from metricsearch.bench.rounds import reference_setting
from metricsearch.experiment.provenance import commit
from metricsearch.files import written_atomically
from metricsearch.spaces import Batch, Ragged

FORMAT_VERSION = 1
FOLDER = "bench-cache"
ARRAYS = (
    "times_ms",
    "batch_s",
    "reference_ms",
    "ids",
    "distances",
    "n_candidates_found",
    "n_objects_read",
    "n_bytes_read",
    "n_distances",
    "recalls",
)
_MACHINE = ("python", "system", "cpu", "cores", "memory_gib")  # of its provenance: what times depend on
_PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


class ResultCache:
    """The results of one suite among all that were ever measured into a folder.

    output: folder of the runs. suite_folder: that of the suite file, where adapters are found. data: of the suite,
    known again by name, metric, number of objects and queries. machine: `provenance` of this run.
    """

    def __init__(
        self, output: Path, suite: SuiteConfig, suite_folder: Path, data: BenchData, machine: dict[str, Any]
    ) -> None:
        self._folder, self._suite, self._suite_folder = output / FOLDER, suite, suite_folder
        self.code = commit()
        self._state = self._state_of_code()
        self._data = [data.name, data.description, data.metric.spec(), len(data.objects), _batch_digest(data.queries)]
        self._machine = [*(machine[name] for name in _MACHINE), installed_versions()]

    def read(self, method: MethodConfig, setting: Setting) -> Result | None:
        """What was measured of this very code with the same libraries on such a machine, or None."""
        try:
            with h5py.File(self._path(method, setting), "r") as file:
                arrays = {name: np.asarray(file[name][()]) for name in ARRAYS}
                about = json.loads(file.attrs["about"])
                if file.attrs["sha256"] != _checksum(arrays, file.attrs["about"]):
                    return None
        except (OSError, KeyError, ValueError):
            return None
        built = Built(**about["built"])
        return Result(
            label=method.label,
            method=method.model_dump(mode="json"),
            setting=setting,
            built=built,
            code=about["code"],
            **arrays,
        )

    def write(self, method: MethodConfig, result: Result) -> None:
        """Keep a result; durable on return. It is not kept if its code has changed since this run began."""
        now = self._state_of_code()
        if any(now[part] != self._state[part] for part in (None, method.adapter, self._suite.reference.adapter)):
            return
        path = self._path(method, result.setting)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(result, name) for name in ARRAYS}
        content = {"built": asdict(result.built), "code": result.code, **self._key(method, result.setting)}
        about = json.dumps(content, sort_keys=True)
        with written_atomically(path) as temporary, h5py.File(temporary, "w") as file:
            for name, array in arrays.items():
                file[name] = array
            file.attrs["about"] = about
            file.attrs["sha256"] = _checksum(arrays, about)

    def _path(self, method: MethodConfig, setting: Setting) -> Path:
        text = json.dumps(self._key(method, setting), sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.h5"

    def _key(self, method: MethodConfig, setting: Setting) -> dict[str, Any]:
        """What a result depends on, as JSON values."""
        suite = self._suite
        measure = suite.measure.model_dump(
            mode="json", include={"k", "repetitions", "threads", "build_threads", "batch", "codec"}
        )
        reference = suite.reference
        return {
            "format": FORMAT_VERSION,
            "data": [suite.data.model_dump(mode="json"), *self._data],
            "method": method.measured(),
            "setting": asdict(setting),
            "measure": measure,
            "reference": [reference.measured(), asdict(reference_setting(suite, setting.cache))],
            "code_key": [self._state[None], self._state[method.adapter], self._state[reference.adapter]],
            "machine": self._machine,
        }

    def _state_of_code(self) -> dict[str | None, str]:
        """Of this package (None): its commit, or digest if it differs; of each adapter with the modules beside it."""
        code = commit()
        package = (path for path in _PACKAGE_FOLDER.rglob("*") if path.suffix in (".py", ".json"))
        state: dict[str | None, str] = {None: code["commit"] if code["dirty"] is False else _digest_of(package)}
        for adapter in {method.adapter for method in self._suite.method} - {None}:
            path = (self._suite_folder / str(adapter).rpartition(":")[0]).resolve()
            state[adapter] = _digest_of(path.parent.glob("*.py"))
        return state


def installed_versions() -> dict[str, str]:
    """Versions of all packages of this interpreter: any may be what an adapter measures, or what that rests on."""
    return dict(sorted((str(one.name), str(one.version)) for one in distributions()))


def _digest_of(paths: Iterable[Path]) -> str:
    """Of the names and contents of files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _batch_digest(batch: Batch) -> str:
    arrays = (batch.values, batch.offsets) if isinstance(batch, Ragged) else (batch,)
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _checksum(arrays: dict[str, Any], about: str) -> str:
    digest = hashlib.sha256(about.encode())
    for name in ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
