"""The command `spanqa-model`."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from spanqa_model.errors import ModelError
from spanqa_model.export import STEPS, Device, Dtype, default_device, default_dtype, export
from spanqa_model.finetune.command import finetune_command
from spanqa_model.forms import Attention
from spanqa_model.presets import PRESETS, Source
from spanqa_model.versions_cli import nothing_to_export, register

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Make model versions for SpanQA, and let them come and go.",
)


@app.callback()
def group() -> None:
    """Make model versions for SpanQA, and let them come and go."""


app.command(name="finetune")(finetune_command)


@app.command(name="export")
def export_command(
    preset: Annotated[str | None, typer.Option(help=f"One of: {', '.join(PRESETS)}.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="A Hugging Face BERT: a directory, or a hub id.")
    ] = None,
    revision: Annotated[str, typer.Option(help="The hub revision of --checkpoint.")] = "",
    adapter: Annotated[Path | None, typer.Option(help="A PEFT LoRA adapter to merge.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name in replies.")] = None,
    repository: Annotated[
        Path, typer.Option(help="Triton's model repository.", envvar="SPANQA_MODEL_REPOSITORY")
    ] = Path("model_repository"),
    version: Annotated[
        int | None, typer.Option(min=1, help="The version's number. Default: the next one.")
    ] = None,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing where --version exists already.")
    ] = False,
    device: Annotated[
        Device | None, typer.Option(help="What it will run on. Default: cuda if there is one.")
    ] = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(help="Default: float16 on cuda; bfloat16 on CPUs that have it; float32."),
    ] = None,
    attention: Annotated[
        Attention | None,
        typer.Option(
            help="Default: windowed on cpu, grouped on cuda. flash and efficient are tried on a "
            "GPU at the export; nobody has run them on one yet."
        ),
    ] = None,
    max_sequence_tokens: Annotated[
        int | None, typer.Option(help="Length of a window. Default: as fine-tuned, or 384.")
    ] = None,
    doc_stride_tokens: Annotated[
        int | None, typer.Option(help="Overlap of windows. Default: as fine-tuned, or 128.")
    ] = None,
    no_answer: Annotated[
        bool,
        typer.Option(
            "--no-answer",
            help="It was trained on unanswerable questions too (known of what finetune made).",
        ),
    ] = False,
) -> None:
    """Export a checkpoint as a model version.

    Without --preset and --checkpoint: minilm-squad.
    """
    if if_missing and version is None:
        raise typer.BadParameter("--if-missing needs --version")
    if if_missing and nothing_to_export(repository, version or 0):
        return
    source = choose_source(preset, checkpoint, revision)
    changes: dict[str, Any] = {
        "adapter": adapter,
        "name": name,
        "max_sequence_tokens": max_sequence_tokens,
        "doc_stride_tokens": doc_stride_tokens,
        "has_no_answer": no_answer or None,
    }
    if adapter is not None:  # the preset's scores were measured with its own
        source = replace(source, exact_match=None, f1=None)
    source = replace(source, **{key: value for key, value in changes.items() if value is not None})
    target = device or default_device()
    dtype = dtype or default_dtype(target)
    run_with_progress(source, repository, version, target, dtype, attention)


register(app)


def choose_source(preset: str | None, checkpoint: str | None, revision: str) -> Source:
    if preset and checkpoint is not None:
        raise typer.BadParameter("give --preset or --checkpoint, not both")
    if checkpoint is not None:
        return Source(
            name=Path(checkpoint).resolve().name, repository=checkpoint, revision=revision
        )
    chosen = preset or "minilm-squad"
    if chosen not in PRESETS:
        raise typer.BadParameter(f"{chosen!r}: the presets are {', '.join(PRESETS)}")
    return PRESETS[chosen]


def run_with_progress(
    source: Source,
    repository: Path,
    version: int | None,
    device: Device,
    dtype: Dtype,
    attention: Attention | None,
) -> None:
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("export", total=STEPS)
        started = 0

        def on_step(description: str) -> None:
            nonlocal started
            progress.update(task, completed=started, description=description)
            started += 1
            if not console.is_terminal:
                console.print(f"[{started}/{STEPS}] {description}", markup=False)

        exported = export(
            source,
            repository,
            version=version,
            device=device,
            dtype=dtype,
            attention=attention,
            on_step=on_step,
        )
        progress.update(task, completed=STEPS, description="done")
    print(exported.parity)
    print(f"{source.name} ({exported.dtype}, {device}) is version {exported.directory}")


def main() -> None:
    """Run the command; every foreseen failure is one line on stderr and exit code 1."""
    try:
        app()
    except ModelError as error:
        sys.exit(f"spanqa-model: {error}")
