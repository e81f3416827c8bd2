"""The windows that go through the model: SQuAD's own, or made up with SQuAD's lengths.

A GPU host may have neither tokenizer nor SQuAD, so `python benchmarks/gpu/windows.py FILE.npz`
writes tokenized windows elsewhere for `run.py --windows FILE.npz`. With `--lengths`, it prints the
percentiles of their lengths, as `squad_window_lengths.json` has them (`--count 2000 --lengths`).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "tests")]

from gpu.options import MissingError, Options  # noqa: E402
from shapes import VOCABULARY  # noqa: E402

LENGTHS = Path(__file__).with_name("squad_window_lengths.json")
VERSION = ROOT / "model_repository" / "bert_qa" / "1"
NAMES = ("input_ids", "token_type_ids", "window_lengths")
QUESTION_TOKENS = 14  # of a made-up window, [CLS] and [SEP] included
Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows end to end: int32 [T], [T] and [W], and where they come from."""

    source: str
    real: bool
    input_ids: Array
    token_type_ids: Array
    window_lengths: Array

    def arrays(self) -> tuple[Array, Array, Array]:
        return self.input_ids, self.token_type_ids, self.window_lengths


def load_windows(options: Options, count: int) -> Windows:
    """`count` windows from the file that was named, from SQuAD, or made up."""
    if options.windows:
        return read_windows(options.windows)
    try:
        return squad_windows(options.data, count)
    except (ImportError, MissingError):
        return made_up_windows(count)


def read_windows(file: Path) -> Windows:
    """Windows that `save` wrote.

    Raises:
        MissingError: it is no such file.
    """
    try:
        with np.load(file) as arrays:
            named = {name: arrays[name].astype(np.int32) for name in NAMES}
    except (OSError, ValueError, KeyError) as error:
        reason = f"--windows {file}: {error}; write it with benchmarks/gpu/windows.py"
        raise MissingError(reason) from None
    return Windows(f"file {file.name}", True, **named)


def squad_windows(data: Path, count: int) -> Windows:
    """Windows of questions spread over SQuAD v1.1 dev, longer contexts cut at 384 tokens."""
    if not data.is_file() or not (VERSION / "tokenizer.json").is_file():
        raise MissingError(f"{data} or {VERSION} is missing: name a SQuAD file, run `make setup`")
    from backend import make_batches

    chosen = argparse.Namespace(data=data, batches=1, windows=count)
    (packed,) = make_batches(chosen, VERSION)
    return Windows("SQuAD v1.1 dev", True, **{name: getattr(packed, name) for name in NAMES})


def made_up_windows(count: int) -> Windows:
    """Random tokens in windows whose lengths are distributed as SQuAD's are."""
    random = np.random.default_rng(0)
    percentiles = json.loads(LENGTHS.read_text())["percentiles"]
    drawn = np.interp(random.uniform(0, 100, count), np.arange(101), percentiles)
    lengths = drawn.round().astype(np.int32)
    ids = random.integers(1000, VOCABULARY, int(lengths.sum()), dtype=np.int32)
    types = np.concatenate([np.arange(n) >= QUESTION_TOKENS for n in lengths]).astype(np.int32)
    return Windows("made up, SQuAD's lengths", False, ids, types, lengths)


def main() -> None:
    """Write windows, or print what is known of their lengths."""
    from workload import add_data_option

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("file", type=Path, nargs="?", help="where to write them, .npz")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--lengths", action="store_true", help="print percentiles instead")
    arguments = parser.parse_args()
    if bool(arguments.file) == arguments.lengths:
        parser.error("name a FILE.npz to write, or --lengths")
    try:
        windows = squad_windows(arguments.data, arguments.count)
    except MissingError as error:
        sys.exit(str(error))
    if arguments.lengths:
        percentiles = np.percentile(windows.window_lengths, range(101)).round().astype(int)
        print(json.dumps({"windows": arguments.count, "percentiles": percentiles.tolist()}))
    else:
        np.savez_compressed(arguments.file, **dict(zip(NAMES, windows.arrays(), strict=True)))


if __name__ == "__main__":
    main()
