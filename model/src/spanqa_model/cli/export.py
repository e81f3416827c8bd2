"""`spanqa-model export`: a checkpoint becomes a model version."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from typer import Option

from spanqa_model.checkpoints.adapter import base_of, is_adapter
from spanqa_model.checkpoints.presets import NOTHING_MEASURED, PRESETS, Source
from spanqa_model.cli.versions import (
    DEFAULT_REPOSITORY,
    MaxF1Drop,
    Repository,
    nothing_to_export,
    print_held,
)
from spanqa_model.export import STEPS, Target, export
from spanqa_model.packed_bert.devices import Device, Dtype, default_device, default_dtype
from spanqa_model.packed_bert.forms import Attention, default_attention
from spanqa_model.repository.decisions import DEFAULT_MAX_F1_DROP


def export_command(
    preset: Annotated[
        str | None,
        Option(metavar=f"<{'|'.join(PRESETS)}>", help="A checkpoint that is known by name."),
    ] = None,
    checkpoint: Annotated[
        str | None,
        Option(metavar="DIR|ID", help="A Hugging Face BERT: a directory or a hub id."),
    ] = None,
    revision: Annotated[
        str, Option(metavar="COMMIT", help="The hub revision of --checkpoint.")
    ] = "",
    adapter: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="A PEFT LoRA adapter to merge: into --checkpoint or --preset, or else into the "
            "model that its adapter_config.json names.",
        ),
    ] = None,
    name: Annotated[str | None, Option(metavar="NAME", help="The model's name in replies.")] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    version: Annotated[
        int | None,
        Option(min=1, metavar="N", help="The number of the version. Default: the next one."),
    ] = None,
    if_missing: Annotated[
        bool, Option("--if-missing", help="Do nothing if --version already exists.")
    ] = False,
    hold: Annotated[
        bool,
        Option("--hold", help="Make the version, but let no server use it until it is promoted."),
    ] = False,
    device: Annotated[
        Device | None, Option(help="The device that will serve it. Default: cuda if there is one.")
    ] = None,
    dtype: Annotated[
        Dtype | None,
        Option(
            help="The type of the weights. Default: float16 on cuda; on CPUs the faster of float32 "
            "and bfloat16, which the export measures. It says how fast int8 would be, which rounds "
            "more: measure it with spanqa evaluate."
        ),
    ] = None,
    attention: Annotated[
        Attention | None,
        Option(
            help="The form of attention. Default: windowed on cpu, grouped on cuda. flash and "
            "efficient need a GPU during the export and have not been run on one yet."
        ),
    ] = None,
    max_sequence_tokens: Annotated[
        int | None,
        Option(metavar="N", help="The length of a window. Default: as fine-tuned, or 384."),
    ] = None,
    doc_stride_tokens: Annotated[
        int | None,
        Option(metavar="N", help="The overlap of two windows. Default: as fine-tuned, or 128."),
    ] = None,
    no_answer: Annotated[
        bool,
        Option(
            "--no-answer",
            help="The checkpoint was also trained on unanswerable questions. Results of finetune "
            "record this themselves.",
        ),
    ] = False,
    max_f1_drop: MaxF1Drop = DEFAULT_MAX_F1_DROP,
) -> None:
    """Export a checkpoint as a model version.

    The default is --preset minilm-squad.
    """
    if if_missing:
        if version is None:
            raise typer.BadParameter("--if-missing needs --version")
        if nothing_to_export(repository, version):
            return
    source = choose_source(preset, checkpoint, revision, adapter)
    changes: dict[str, Any] = {
        "name": name,
        "max_sequence_tokens": max_sequence_tokens,
        "doc_stride_tokens": doc_stride_tokens,
        "has_no_answer": no_answer or None,
    }
    source = replace(source, **{key: value for key, value in changes.items() if value is not None})
    device = device or default_device()
    target = Target(
        device=device,
        dtype=dtype or default_dtype(device),
        attention=attention or default_attention(device),
    )
    choose_dtype = dtype is None and device == "cpu" and target.attention == "windowed"
    made = run_with_progress(
        source, repository, version, target, choose_dtype=choose_dtype, hold=hold
    )
    print_held(repository, made, max_f1_drop)


def choose_source(
    preset: str | None, checkpoint: str | None, revision: str, adapter: Path | None
) -> Source:
    """The source that the options name, before the others change it.

    Raises:
        ModelError: the adapter's base is not known.
    """
    if preset and checkpoint is not None:
        raise typer.BadParameter("give --preset or --checkpoint, not both")
    if checkpoint is not None:
        if adapter is None and is_adapter(Path(checkpoint)):
            return base_of(Path(checkpoint))
        return Source(
            name=Path(checkpoint).resolve().name,
            repository=checkpoint,
            revision=revision,
            adapter=adapter,
        )
    if preset is None and adapter is not None:
        return base_of(adapter)
    chosen = preset or "minilm-squad"
    if chosen not in PRESETS:
        raise typer.BadParameter(f"{chosen!r}: the presets are {', '.join(PRESETS)}")
    source = PRESETS[chosen]
    if adapter is not None:  # the preset's scores belong to its own adapter
        source = replace(
            source, adapter=adapter, exact_match=None, f1=None, in_int8=NOTHING_MEASURED
        )
    return source


def run_with_progress(
    source: Source,
    repository: Path,
    version: int | None,
    target: Target,
    *,
    choose_dtype: bool,
    hold: bool,
) -> int:
    """Export, and return the number of the version."""
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

        def on_notice(sentence: str) -> None:
            console.print(f"note: {sentence}", markup=False, highlight=False, soft_wrap=True)

        exported = export(
            source,
            repository,
            target,
            version=version,
            choose_dtype=choose_dtype,
            hold=hold,
            on_step=on_step,
            on_notice=on_notice,
        )
        progress.update(task, completed=STEPS, description="done")
    print(exported.parity)
    target = exported.target
    if exported.rates:
        rates = ", ".join(f"{dtype} {rate:,.0f}" for dtype, rate in exported.rates.items())
        print(f"{target.dtype} was chosen; tokens/s of two layers on one core: {rates}")
    print(f"{source.name} ({target.dtype}, {target.device}) is version {exported.directory}")
    return exported.version
