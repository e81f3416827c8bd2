"""Where the spans that were found are in the caller's texts."""

import numpy as np

from spanqa_server.qa.layout import Layout
from spanqa_server.qa.offsets import OffsetUnit, convert_offsets
from spanqa_server.qa.ranking import Span
from spanqa_server.qa.results import FoundAnswer


def locate(
    texts: tuple[str, ...], layout: Layout, spans: list[Span], unit: OffsetUnit
) -> list[FoundAnswer]:
    """The spans as answers, with offsets in the caller's unit, in the same order."""
    bases = layout.bases.tolist()
    documents = [layout.text_at(span.start) for span in spans]
    places = [
        (span.start - bases[document], span.end - bases[document])
        for span, document in zip(spans, documents, strict=True)
    ]
    offsets = list(places)
    for document in dict.fromkeys(documents):
        here = [row for row, other in enumerate(documents) if other == document]
        positions = np.array([places[row] for row in here])
        converted = convert_offsets(texts[document], positions, unit).tolist()
        for row, (start, end) in zip(here, converted, strict=True):
            offsets[row] = start, end
    return [
        FoundAnswer(texts[document][first:last], document, start, end, span)
        for span, document, (first, last), (start, end) in zip(
            spans, documents, places, offsets, strict=True
        )
    ]
