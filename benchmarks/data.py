"""Say where SQuAD v1.1 dev comes from, and what a file of it is; nothing is downloaded.

`make data`, or `make data DATA=FILE` for a file in another place.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import lzma
import sys
from pathlib import Path

from benchmarks import ROOT
from benchmarks.common.squad import PLACE, PLACES, SOURCE, SQUAD_DEV, URL
from spanqa.squad import SquadFormatError, read_questions

# Of the file as it is published: 4,854,279 bytes, 10,570 questions.
OFFICIAL_SHA256 = "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9"
UNPACK = {".xz": lzma.decompress, ".gz": gzip.decompress}
EXPLANATION = f"""SQuAD v1.1 dev, whose questions the benchmarks ask, is not a part of this project.
  page      {SOURCE}
  file      {URL}
  licence   CC BY-SA 4.0
  sha256    {OFFICIAL_SHA256}
  save as   {PLACE.relative_to(ROOT)}"""


def main() -> None:
    """Explain, then check the file that was named or the one that the benchmarks would take."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", help="default: where the benchmarks look")
    named = parser.parse_args().file
    print(EXPLANATION)
    print("the benchmarks look at", " and then at ".join(map(str, PLACES)))
    file: Path = named or SQUAD_DEV
    if not file.is_file():
        sys.exit(f"{file}: there is no such file")
    try:
        print(f"{file}: {describe(file)}")
    except (OSError, SquadFormatError) as error:
        sys.exit(f"not a SQuAD v1.1 file: {error}")
    if named and named.resolve() not in PLACES:
        print(f"to use it: copy it to {PLACE.relative_to(ROOT)}, or repeat DATA={named}")


def describe(file: Path) -> str:
    """Its questions and its sha256, and whether it is the official file.

    Raises:
        SquadFormatError: It is not SQuAD v1.1.
    """
    questions = read_questions(file)
    if any(question.is_impossible is not None for question in questions):
        raise SquadFormatError(f"{file}: has is_impossible, as SQuAD v2 does")
    content = file.read_bytes()
    sha256 = hashlib.sha256(UNPACK.get(file.suffix, bytes)(content)).hexdigest()
    if sha256 == OFFICIAL_SHA256:
        return f"the official dev-v1.1.json, {len(questions):,} questions"
    return (
        f"well-formed SQuAD v1.1, but not the official dev-v1.1.json: {len(questions):,} "
        f"questions, sha256 {sha256}{' (unpacked)' if file.suffix in UNPACK else ''}"
    )


if __name__ == "__main__":
    main()
