"""The export: checkpoint → packed module → TorchScript → a model version on disk."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from spanqa_model.bert import BertConfig, PackedBertForQuestionAnswering
from spanqa_model.build import build_module, load_torchscript, to_torchscript
from spanqa_model.checkpoint import load_checkpoint
from spanqa_model.errors import ExportError
from spanqa_model.forms import FORMS, Attention, check_form, default_attention
from spanqa_model.lora import merge_adapter
from spanqa_model.parity import ParityReport, check_agreement, compare, sample_windows
from spanqa_model.presets import Source, fetch, sha256_of, verify_weights
from spanqa_model.training_facts import TrainingFacts, settle_facts
from spanqa_model.versions import MODEL_NAME, next_version, staged_version, write_manifest
from spanqa_model.waits import check_waits

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
STEPS = 7


@dataclass(frozen=True, slots=True)
class Target:
    """What a version is made for."""

    device: Device
    dtype: Dtype
    attention: Attention


@dataclass(frozen=True, slots=True)
class Exported:
    version: int
    directory: Path
    dtype: str
    parity: ParityReport


def export(
    source: Source,
    repository: Path,
    *,
    version: int | None,
    device: Device,
    dtype: Dtype,
    attention: Attention | None = None,
    on_step: Callable[[str], None],
) -> Exported:
    """Make a model version, whole or not at all.

    Args:
        source: where the checkpoint comes from.
        repository: Triton's model repository.
        version: the version's number; None takes the next free one.
        device: what it will run on.
        dtype: of the weights.
        attention: how it is computed; None takes the one for the device.
        on_step: called with the name of each of `STEPS` steps as it starts.

    Raises:
        ModelError: any part of it failed; nothing is visible in the repository then.
    """
    target = Target(device, dtype, attention or default_attention(device))
    check_form(target.attention, device, dtype)
    number = version if version is not None else next_version(repository)
    with staged_version(repository, number) as staging:
        on_step(f"fetching {source.repository}")
        fetched = fetch(source)
        on_step("reading the checkpoint")
        checkpoint = load_checkpoint(fetched.directory)
        facts = settle_facts(source, fetched.directory)
        check_limits(facts, checkpoint.config.max_position_embeddings)
        on_step("verifying the weights")
        weights_sha256 = verify_weights(checkpoint.weights_file, source.weights_sha256)
        on_step("building the packed module")
        weights = checkpoint.state_dict
        if source.adapter is not None:
            weights = merge_adapter(weights, source.adapter)
        module = build_module(checkpoint.config, weights)
        on_step(f"scripting and saving as {dtype}")
        model_file = staging / "model.pt"
        save_module(checkpoint.config, module, target, model_file)
        checkpoint.tokenizer.save(str(staging / "tokenizer.json"))
        on_step("comparing with the eager module, looking for waits")
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
                "dtype": dtype,
                "device": device,
                "attention": target.attention,
                **asdict(facts),
                "max_position_embeddings": checkpoint.config.max_position_embeddings,
                "vocab_size": checkpoint.config.vocab_size,
                "license": source.license,
                "exact_match": source.exact_match,
                "f1": source.f1,
            },
        )
    return Exported(number, repository / MODEL_NAME / str(number), dtype, parity)


def save_module(
    config: BertConfig, module: PackedBertForQuestionAnswering, target: Target, file: Path
) -> None:
    """Write the module's weights as TorchScript with the form of attention that is asked for."""
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
    """Try the file in the form in which it will be served; on a GPU if it is for one, where one is.

    Raises:
        ExportError: it would not do there.
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
    return compare(module, exported, windows, place)


def check_limits(facts: TrainingFacts, positions: int) -> None:
    if not 8 <= facts.max_sequence_tokens <= positions:
        raise ExportError(
            f"--max-sequence-tokens {facts.max_sequence_tokens}: the model has {positions} "
            "positions; choose 8 to that"
        )
    if not 0 < facts.doc_stride_tokens < facts.max_sequence_tokens - 3:
        raise ExportError(
            f"--doc-stride-tokens {facts.doc_stride_tokens}: must be positive and smaller than "
            f"a window's room, {facts.max_sequence_tokens} - 3"
        )


def default_device() -> Device:
    return "cuda" if torch.cuda.is_available() else "cpu"


def default_dtype(device: Device) -> Dtype:
    """float16 on a GPU; on a CPU bfloat16 where it multiplies it natively, else float32."""
    if device == "cuda":
        return "float16"
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bfloat16" if native else "float32"
