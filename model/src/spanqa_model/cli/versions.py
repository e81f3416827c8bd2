"""`spanqa-model versions`, `promote`, `measured`, `withdraw` and `restore`."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from spanqa_model.errors import ExportError, VersionError
from spanqa_model.figures import Figures, percent
from spanqa_model.repository.decisions import DEFAULT_MAX_F1_DROP
from spanqa_model.repository.inventory import VersionFacts, held_in, list_versions
from spanqa_model.repository.promotion import promote, read_report, record_figures
from spanqa_model.repository.staging import update_configurations
from spanqa_model.repository.versions import served_versions, version_exists, version_withdrawn
from spanqa_model.repository.withdrawal import restore, withdraw

Repository = Annotated[
    Path,
    typer.Option(
        metavar="DIR", envvar="SPANQA_MODEL_REPOSITORY", help="Triton's model repository."
    ),
]
Number = Annotated[int, typer.Argument(min=1, metavar="N", hidden=True)]
MaxF1Drop = Annotated[
    float,
    typer.Option(
        metavar="POINTS",
        envvar="SPANQA_MAX_F1_DROP",
        min=0,
        max=100,
        help="The setting of the server: a version that loses more points of F1 is held.",
    ),
]
DEFAULT_REPOSITORY = Path("model_repository")
HEADER = ("version", "state", "name", "EM", "F1", "dtype", "device", "size", "exported (UTC)")


def versions_command(
    repository: Repository = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    max_f1_drop: MaxF1Drop = DEFAULT_MAX_F1_DROP,
) -> None:
    """List the versions, newest first.

    A server tries the candidate first: the newest version that is neither broken nor held. If
    Triton cannot load it, or it does not pass the canary, an available one serves.
    """
    found = list_versions(repository, max_f1_drop)
    if not found and not served_versions(repository).is_dir():
        raise VersionError(f"{repository} is not a model repository: name one with --repository")
    if as_json:
        print(json.dumps([as_object(facts) for facts in found], indent=2, ensure_ascii=False))
    elif found:
        print("\n".join(table(found)))
    else:
        print(f"{repository} has no versions: make one with spanqa-model export")


def withdraw_command(
    number: Number,
    repository: Repository = DEFAULT_REPOSITORY,
    force: Annotated[
        bool, typer.Option("--force", help="Withdraw it even if no other version may serve.")
    ] = False,
    max_f1_drop: MaxF1Drop = DEFAULT_MAX_F1_DROP,
) -> None:
    """Take version N out of service.

    It moves out of Triton's repository, and the version before it serves again. No other version
    gets its number.
    """
    moved = withdraw(repository, number, force=force, max_f1_drop=max_f1_drop)
    print(f"version {number} is now {moved}; bring it back with: spanqa-model restore {number}")


def restore_command(
    number: Number,
    repository: Repository = DEFAULT_REPOSITORY,
    max_f1_drop: MaxF1Drop = DEFAULT_MAX_F1_DROP,
) -> None:
    """Bring version N back into service."""
    print(f"version {number} is now {restore(repository, number)}")
    print_held(repository, number, max_f1_drop)


def promote_command(
    number: Number,
    repository: Repository = DEFAULT_REPOSITORY,
    max_f1_drop: MaxF1Drop = DEFAULT_MAX_F1_DROP,
) -> None:
    """Let version N serve although it is held, or would be.

    A newer version that is not held still goes first.
    """
    promote(repository, number)
    candidates = (v for v in list_versions(repository, max_f1_drop) if v.state == "candidate")
    first = next(candidates).version
    newer = f"; version {first}, which is newer, goes first" if first != number else ""
    print(f"version {number} may serve now{newer}")


def measured_command(
    number: Number,
    exact_match: Annotated[
        float | None, typer.Option("--em", metavar="PERCENT", help="Exact match.")
    ] = None,
    f1: Annotated[float | None, typer.Option("--f1", metavar="PERCENT", help="F1.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read both from what `spanqa evaluate --json` printed."),
    ] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    max_f1_drop: MaxF1Drop = DEFAULT_MAX_F1_DROP,
) -> None:
    """Record EM and F1 of version N; `spanqa info` shows them, and servers compare versions by F1.

    Versions should be measured on the same questions.
    """
    if report is not None and exact_match is None and f1 is None:
        figures = read_report(report, number)
    elif report is None and exact_match is not None and f1 is not None:
        figures = Figures(exact_match, f1)
    else:
        raise typer.BadParameter("give --em and --f1, or --report")
    for option, value in (("--em", figures.exact_match), ("--f1", figures.f1)):
        if percent(value) is None:
            raise typer.BadParameter(f"{option} {value}: must be a number from 0 to 100")
    record_figures(repository, number, figures)
    print(f"version {number}: EM {figures.exact_match:.2f}, F1 {figures.f1:.2f}")
    print_held(repository, number, max_f1_drop)


def print_held(repository: Path, number: int, max_f1_drop: float) -> None:
    """Say so if no server uses this version, and how one would."""
    if reason := held_in(repository, max_f1_drop).get(number):
        print(
            f"version {number} is held ({reason}); let it serve with: spanqa-model promote {number}"
        )


def nothing_to_export(repository: Path, version: int) -> bool:
    """Whether the version of `export --if-missing` exists; if so, update the configurations."""
    if version_exists(repository, version):
        note = f"version {version} already exists: nothing to export"
    elif version_withdrawn(repository, version):
        note = (
            f"version {version} already exists, but is withdrawn: nothing to export "
            f"(bring it back with: spanqa-model restore {version})"
        )
    else:
        return False
    try:
        for file in update_configurations(repository):
            print(f"{served_versions(repository) / file} was updated to this release")
    except ExportError as error:  # the version that serves is not affected
        typer.echo(f"spanqa-model: warning: {error}", err=True)
    print(note)
    return True


def as_object(facts: VersionFacts) -> dict[str, Any]:
    return asdict(facts) | {"exported": facts.exported.isoformat(timespec="seconds")}


def table(found: list[VersionFacts]) -> Iterator[str]:
    rows = [HEADER, *map(row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()


def row(facts: VersionFacts) -> tuple[str, ...]:
    state = f"{facts.state}: {facts.reason}" if facts.reason else facts.state
    name, *form = (str(text or "-") for text in (facts.name, facts.dtype, facts.device))
    figures = ("-" if one is None else f"{one:.2f}" for one in (facts.exact_match, facts.f1))
    size = f"{facts.size_bytes / 1e6:.1f} MB"
    return (
        str(facts.version),
        state,
        name,
        *figures,
        *form,
        size,
        f"{facts.exported:%Y-%m-%d %H:%M}",
    )
