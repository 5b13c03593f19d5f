"""`metricsearch`: the group of commands, and what users see of errors.

Exit status: 0 fine, 1 failed (a check found damage, the system refused), 2 bad usage or input, 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence

import click

from metricsearch.cli.bench import bench
from metricsearch.cli.collections import add, build, create, info, learn_cutoff, remove, search, verify
from metricsearch.cli.copying import copy
from metricsearch.cli.data import data
from metricsearch.cli.experiments import report, run
from metricsearch.cli.extract import extract
from metricsearch.cli.features import features
from metricsearch.cli.photos import index
from metricsearch.cli.vocab import vocab
from metricsearch.errors import CorruptedError, MetricSearchError, MissingExtraError, StorageError

_FAILURES = (CorruptedError, StorageError, MissingExtraError)  # not the fault of what was typed


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="metricsearch")
def commands() -> None:
    """Similarity search in metric spaces, from an experiment file to a report.

    \b
    Example:
      metricsearch run experiments/quickstart.toml
    """


for command in (
    run,
    report,
    bench,
    data,
    index,
    extract,
    features,
    create,
    add,
    build,
    copy,
    learn_cutoff,
    search,
    remove,
    info,
    verify,
    vocab,
):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: run a command; errors become one line on stderr, never a traceback."""
    sys.exit(_status(arguments))


def _status(arguments: Sequence[str] | None) -> int:
    try:
        result = commands.main(args=arguments, standalone_mode=False)
        sys.stdout.flush()  # while a closed pipe can still be answered
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f" (see: {context.command_path} --help)" if context else ""
        return _say(error.format_message() + where, 2)
    except _FAILURES as error:
        return _say(str(error), 1)
    except MetricSearchError as error:
        return _say(str(error), 2)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted; what was finished is kept", 130)
    except BrokenPipeError:  # the reader of our output, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        return _say(f"{type(error).__name__}: {error}", 1)
    return result if isinstance(result, int) else 0


def _say(text: str, status: int) -> int:
    click.echo(f"metricsearch: {' '.join(text.split())}", err=True)
    return status
