"""The export: from a checkpoint to the packed module, to TorchScript, to a version on disk."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from spanqa_model.checkpoints.adapter import doubt_about_base
from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.checkpoints.fetching import fetch, sha256_of, verify_weights
from spanqa_model.checkpoints.lora import merge_adapter
from spanqa_model.checkpoints.presets import Source
from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.checkpoints.tokenizer import Say, say_nothing
from spanqa_model.checkpoints.training_facts import check_limits, settle_facts
from spanqa_model.checkpoints.training_figures import settle_figures
from spanqa_model.checkpoints.weights import check_finite
from spanqa_model.errors import ExportError
from spanqa_model.packed_bert.build import build_module
from spanqa_model.packed_bert.devices import Device, Dtype
from spanqa_model.packed_bert.forms import FORMS, Attention, check_form
from spanqa_model.packed_bert.int8 import engine_for, quantized_by
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering
from spanqa_model.packed_bert.parity import ParityReport, check_agreement, compare, sample_windows
from spanqa_model.packed_bert.rates import measure_rates
from spanqa_model.packed_bert.synchronization import check_waits
from spanqa_model.packed_bert.torchscript import DTYPES, load_torchscript, to_torchscript
from spanqa_model.repository.staging import staged_version, write_manifest
from spanqa_model.repository.versions import MODEL_NAME, next_version

STEPS = 7


@dataclass(frozen=True, slots=True)
class Target:
    """What a version is exported for."""

    dtype: Dtype
    device: Device
    attention: Attention


@dataclass(frozen=True, slots=True)
class Exported:
    """A new version, and how close its logits are to the eager module's."""

    version: int
    directory: Path
    parity: ParityReport
    target: Target
    rates: dict[Dtype, float]
    """What was measured to choose the dtype; see `measure_rates`."""


def export(
    source: Source,
    repository: Path,
    target: Target,
    *,
    version: int | None = None,
    choose_dtype: bool = False,
    hold: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
    on_notice: Say = say_nothing,
) -> Exported:
    """Make a model version, complete or not at all.

    Args:
        source: where the checkpoint comes from.
        repository: Triton's model repository.
        target: what the version is for.
        version: the number of the version; None means the next free one.
        choose_dtype: measure which dtype is the fastest on this CPU, and take it instead of the
            target's; int8 is measured, and never taken.
        hold: no server uses the version until it is promoted.
        on_step: called at the start of each of `STEPS` steps, with its name.
        on_notice: called with a sentence where something was chosen that may not be meant.

    Raises:
        ModelError: a step failed; the repository has no new version.
    """
    check_form(target.attention, target.device, target.dtype)
    number = version if version is not None else next_version(repository)
    with staged_version(repository, number, hold=hold) as staging:
        on_step(f"fetching {source.repository}")
        fetched = fetch(source)
        on_step("reading the checkpoint")
        checkpoint = load_checkpoint(fetched.directory, on_notice)
        facts = settle_facts(source, fetched.directory)
        check_limits(facts, checkpoint.config.max_position_embeddings)
        on_step("verifying the weights")
        weights_sha256 = verify_weights(checkpoint.weights_file, source.weights_sha256)
        on_step("building the packed module")
        weights = checkpoint.state_dict
        if source.adapter is not None:
            if doubt := doubt_about_base(source.adapter, source.repository):
                on_notice(doubt)
            weights = merge_adapter(weights, source.adapter)
        check_finite(weights, source.adapter or fetched.directory)
        module = build_module(checkpoint.config, weights)
        engine = engine_for(checkpoint.config.hidden_size)
        with quantized_by(engine):
            rates = measure_rates(checkpoint.config, weights) if choose_dtype else {}
            if rates:
                target = replace(target, dtype=choose(rates))
            on_step(f"scripting and saving as {target.dtype}")
            model_file = staging / "model.pt"
            save_module(checkpoint.config, module, target, model_file)
            checkpoint.tokenizer.save(str(staging / "tokenizer.json"))
            on_step("checking the saved file")
            parity = check_saved(
                checkpoint.config, module, target, model_file, facts.max_sequence_tokens
            )
        on_step("writing the version")
        write_manifest(
            staging,
            {
                "name": source.name,
                "source": fetched.origin,
                "revision": fetched.revision,
                "weights_sha256": weights_sha256,
                "model_sha256": sha256_of(model_file),
                **asdict(target),
                **({"quantized_engine": engine} if target.dtype == "int8" else {}),
                **asdict(facts),
                "max_position_embeddings": checkpoint.config.max_position_embeddings,
                "vocab_size": checkpoint.config.vocab_size,
                "license": source.license,
                **asdict(settle_figures(source, fetched.directory, target.dtype)),
            },
        )
    return Exported(number, repository / MODEL_NAME / str(number), parity, target, rates)


def choose(rates: dict[Dtype, float]) -> Dtype:
    """The fastest dtype that is as exact as the checkpoint: int8 is only ever asked for."""
    return max((dtype for dtype in rates if dtype != "int8"), key=rates.__getitem__)


def save_module(
    config: BertConfig, module: PackedBertForQuestionAnswering, target: Target, file: Path
) -> None:
    """Write the module's weights as TorchScript, with the attention of the target.

    Raises:
        ExportError: a weight is too large for the target's dtype.
    """
    largest = torch.finfo(DTYPES[target.dtype]).max
    for name, tensor in module.state_dict().items():
        if not name.startswith("qa_outputs.") and tensor.abs().max() > largest:
            raise ExportError(
                f"--dtype {target.dtype}: {name} goes up to {tensor.abs().max():.3g}, and "
                f"{target.dtype} to {largest:.3g}; use --dtype bfloat16 or float32"
            )
    served = build_module(config, module.state_dict(), attention=target.attention)
    onednn = target.device == "cpu" and torch.backends.mkldnn.is_available()
    to_torchscript(served, target.dtype, onednn=onednn).save(str(file))


def check_saved(
    config: BertConfig,
    module: PackedBertForQuestionAnswering,
    target: Target,
    file: Path,
    longest: int,
) -> ParityReport:
    """Run the saved file, on a GPU if it is for one and this machine has one.

    Args:
        config: the shape of the checkpoint.
        module: the eager float32 module to compare with.
        target: what the file was made for.
        file: the saved TorchScript module.
        longest: the longest window to run, in tokens.

    Raises:
        ExportError: the logits are wrong, or the file is unfit for a GPU.
    """
    place = torch.device(target.device if torch.cuda.is_available() else "cpu")
    exported = load_torchscript(file, place)
    windows = sample_windows(config.vocab_size, longest)
    if FORMS[target.attention].ragged:
        grouped = build_module(config, module.state_dict(), attention="grouped")
        other = to_torchscript(grouped, target.dtype).to(place)
        check_agreement(exported, other, target.dtype, windows, place)
    if target.device == "cuda":
        check_waits(exported, tuple(tensor.to(place) for tensor in windows))
    report = compare(module, exported, windows, place)
    if not math.isfinite(report.max_difference):
        remedy = "" if target.dtype == "float32" else "; use --dtype float32"
        raise ExportError(f"--dtype {target.dtype}: the logits are not numbers{remedy}")
    return report
