"""The cut-off of a collection on disk: one folder of .npy files, written and named as those of the index are."""

from dataclasses import asdict
from pathlib import Path

from metricsearch.array_folders import checksum_problems, map_array, write_array_folder
from metricsearch.collection.manifest import CutoffEntry
from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.ppp import PPPCodes, RankingOptions
from metricsearch.refinement import LearntCutoff, ReadingRecord

CUTOFF_FOLDER = "cutoff"


def save_cutoff(folder: Path, learnt: LearntCutoff[RankingOptions], generation: int) -> CutoffEntry:
    """Write what was learnt as this generation; durable on return, but not yet named by the manifest.

    Raises StorageError.
    """
    name = f"{CUTOFF_FOLDER}/{generation:06d}"
    files = write_array_folder(folder / name, learnt.record.to_arrays())
    return CutoffEntry(
        folder=name,
        n_objects=learnt.n_objects,
        options=asdict(learnt.options),
        files={file: written.sha256 for file, written in files.items()},
    )


def load_cutoff(folder: Path, entry: CutoffEntry, index: PPPCodes) -> LearntCutoff[RankingOptions]:
    """Memory-map what was learnt with `index` after checking it. Raises CorruptedError."""
    where = str(folder / entry.folder)
    if problems := cutoff_problems(folder, entry):
        raise CorruptedError(f"{problems[0]}; call learn_cutoff() again")
    arrays = {name.removesuffix(".npy"): map_array(folder / entry.folder / name) for name in entry.files}
    record = ReadingRecord.from_arrays(arrays, where)
    if record.power != index.estimate_power:
        raise CorruptedError(f"{where}: was learnt with other sketches than the index has; call learn_cutoff() again")
    try:
        return LearntCutoff(record, RankingOptions(**entry.options), entry.n_objects)
    except (TypeError, InvalidInputError) as error:
        raise CorruptedError(f"{where}: damaged options ({error}); call learn_cutoff() again") from None


def cutoff_problems(folder: Path, entry: CutoffEntry) -> list[str]:
    """What is wrong with the files of a saved cut-off: missing, or other bytes than were written."""
    return checksum_problems(folder / entry.folder, entry.files, "cut-off file")
