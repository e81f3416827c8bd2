"""One question in the formats of the field, each made by hand."""

from __future__ import annotations

import json
from typing import Any

CONTEXT = 'Ada, so "they" say, wrote it in 1843.\nThen she rested.'
HF_ANSWERS = {"text": ["Ada", "1843"], "answer_start": [0, 32]}
ROW: dict[str, Any] = {
    "id": "5733be",
    "title": "Ada",
    "context": CONTEXT,
    "question": "Who?",
    "answers": HF_ANSWERS,
}
SPANS = [{"text": "Ada", "answer_start": 0}, {"text": "1843", "answer_start": 32}]
QAS = [{"id": "5733be", "question": "Who?", "answers": SPANS}]
PARAGRAPH = {"context": CONTEXT, "qas": QAS}


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def csv_of(header: str, *cells: str, delimiter: str = ",") -> str:
    quoted = delimiter.join('"' + cell.replace('"', '""') + '"' for cell in cells)
    return f"{header}\r\n{quoted}\r\n"


HEADER = "id,title,context,question,answers"
CELLS = ("5733be", "Ada", CONTEXT, "Who?")
MRQA = [
    {"header": {"dataset": "SQuAD", "split": "train"}},
    {
        "id": "",
        "context": CONTEXT,
        "context_tokens": [["Ada", 0]],
        "qas": [
            {
                "qid": "5733be",
                "question": "Who?",
                "question_tokens": [["Who", 0]],
                "answers": ["Ada", "1843"],
                "detected_answers": [
                    {"text": "Ada", "char_spans": [[0, 2]], "token_spans": [[0, 0]]}
                ],
            }
        ],
    },
]
FORMATS: dict[str, object] = {
    "SQuAD v1.1": {"version": "1.1", "data": [{"title": "Ada", "paragraphs": [PARAGRAPH]}]},
    "a list of articles": [{"title": "Ada", "paragraphs": [PARAGRAPH]}],
    "a list of paragraphs": [PARAGRAPH],
    "one paragraph": PARAGRAPH,
    "data of paragraphs": {"data": [PARAGRAPH]},
    "rows": [ROW],
    "data of rows": {"version": "0.1.0", "data": [ROW]},
    "rows with answers as in SQuAD": [ROW | {"answers": SPANS}],
    "JSON lines of rows": lines(ROW),
    "JSON lines with blank lines": "\n" + lines(ROW) + "\n\n",
    "JSON lines of paragraphs": lines(PARAGRAPH),
    "JSON lines of articles": lines({"title": "Ada", "paragraphs": [PARAGRAPH]}),
    "columns": {key: [value] for key, value in ROW.items()},
    "columns of pandas": {key: {"0": value} for key, value in ROW.items()},
    "the viewer of Hugging Face": {
        "features": [],
        "rows": [{"row_idx": 0, "row": ROW, "truncated_cells": []}],
    },
    "MRQA": lines(*MRQA),
    "CMRC 2018": [
        {
            "context_id": "DEV_0",
            "context_text": CONTEXT,
            "title": "Ada",
            "qas": [{"query_id": "5733be", "query_text": "Who?", "answers": ["Ada", "1843"]}],
        }
    ],
    "SOQAL": {
        "data": [{"title": "Ada", "paragraphs": [{"context": CONTEXT, "qas": QAS}]}],
        "version": "1.1",
    },
    "cdQA": {
        "version": "v1.1",
        "data": [
            {
                "title": "Ada",
                "paragraphs": [
                    {"context": "Not annotated.", "qas": []},
                    {"context": CONTEXT, "qas": [{"question": "Who?", "answers": SPANS}]},
                ],
            }
        ],
    },
    "DRCD": {
        "version": "1.3",
        "data": [
            {
                "title": "Ada",
                "id": "1147",
                "paragraphs": [
                    {
                        "context": CONTEXT,
                        "id": "1147-5",
                        "qas": [
                            {
                                "id": "5733be",
                                "question": "Who?",
                                "answers": [
                                    {"id": "1", "text": "Ada", "answer_start": 0},
                                    {"id": "2", "text": "1843", "answer_start": 32},
                                ],
                            }
                        ],
                    }
                ],
            }
        ],
    },
    "deepset": {
        "data": [
            {
                "paragraphs": [
                    {
                        "qas": [
                            {
                                "question": "Who?",
                                "id": "5733be",
                                "answers": [
                                    {
                                        "answer_id": 107 + number,
                                        "document_id": 9,
                                        "question_id": 86,
                                        "answer_end": 3,
                                        "answer_category": None,
                                        **span,
                                    }
                                    for number, span in enumerate(SPANS)
                                ],
                                "is_impossible": False,
                            }
                        ],
                        "context": CONTEXT,
                        "document_id": 9,
                    }
                ]
            }
        ]
    },
    "CSV with JSON": csv_of(HEADER, *CELLS, json.dumps(HF_ANSWERS)),
    "CSV with Python": csv_of(HEADER, *CELLS, str(HF_ANSWERS)),
    "CSV with numpy": csv_of(
        HEADER,
        *CELLS,
        "{'text': array(['Ada', '1843'],\n dtype=object), 'answer_start': array([ 0, 32])}",
    ),
    "CSV of flattened columns": csv_of(
        "id,context,question,answers.text,answers.answer_start",
        *("5733be", CONTEXT, "Who?", "['Ada', '1843']", "[0, 32]"),
    ),
    "CSV with semicolons": csv_of(HEADER.replace(",", ";"), *CELLS, str(HF_ANSWERS), delimiter=";"),
    "CSV of pandas with an index, all in quotation marks": csv_of(
        '"","id","title","context","question","answers"', "0", *CELLS, str(HF_ANSWERS)
    ),
    "TSV": csv_of(HEADER.replace(",", "\t"), *CELLS, str(HF_ANSWERS), delimiter="\t"),
}
