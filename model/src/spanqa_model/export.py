"""The export: checkpoint → packed module → TorchScript → a model version on disk."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from spanqa_model.build import build_module, to_torchscript
from spanqa_model.checkpoint import load_checkpoint
from spanqa_model.errors import ExportError
from spanqa_model.lora import merge_adapter
from spanqa_model.parity import ParityReport, compare
from spanqa_model.presets import Source, fetch, sha256_of, verify_weights
from spanqa_model.training_facts import TrainingFacts, settle_facts
from spanqa_model.versions import MODEL_NAME, next_version, staged_version, write_manifest

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
STEPS = 7


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
    on_step: Callable[[str], None],
) -> Exported:
    """Make a model version, whole or not at all.

    Args:
        source: where the checkpoint comes from.
        repository: Triton's model repository.
        version: the version's number; None takes the next free one.
        device: what it will run on; decides how attention is computed.
        dtype: of the weights.
        on_step: called with the name of each of `STEPS` steps as it starts.

    Raises:
        ModelError: any part of it failed; nothing is visible in the repository then.
    """
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
        module = build_module(checkpoint.config, weights, padded_attention=device == "cuda")
        on_step(f"scripting and saving as {dtype}")
        model_file = staging / "model.pt"
        onednn = device == "cpu" and torch.backends.mkldnn.is_available()
        to_torchscript(module, dtype, onednn=onednn).save(str(model_file))
        checkpoint.tokenizer.save(str(staging / "tokenizer.json"))
        on_step("comparing with the eager module")
        parity = compare(
            module, model_file, checkpoint.config.vocab_size, facts.max_sequence_tokens
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
                **asdict(facts),
                "max_position_embeddings": checkpoint.config.max_position_embeddings,
                "license": source.license,
                "exact_match": source.exact_match,
                "f1": source.f1,
            },
        )
    return Exported(number, repository / MODEL_NAME / str(number), dtype, parity)


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
