import os
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: the first example of a test may compile kernels.
settings.register_profile("metricsearch", deadline=None, max_examples=50, derandomize=False)
settings.load_profile("metricsearch")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data; without it a test is skipped, except in CI, which must not pass without it."""
    path = Path(os.environ.get("METRICSEARCH_DATA") or REPOSITORY.parent / "shared" / "data")
    if not path.is_dir():
        message = f"no data in {path}; set METRICSEARCH_DATA (see data/README.md)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture
def run(capsys):
    """run("info", path) -> (exit status, standard output, standard error) of the command line."""
    from metricsearch.cli import main

    def run(*arguments):
        with pytest.raises(SystemExit) as info:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(info.value.code or 0), out, err

    return run
