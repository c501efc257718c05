"""Options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

from mrnn_edge.config import DecodeOptions, Precision, Prior

Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME_OR_FOLDER", help="Model; the shipped one if left out."),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where the graphs run."),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option("--precision", help="Arithmetic of the graphs; the model's own if left out."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=256, help="CPU threads; all that this process may use if left out."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing on stderr but errors.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Beam = Annotated[
    int, typer.Option("--beam", min=1, max=100, help="Hypotheses kept a step; 1 is greedy.")
]
MaxWords = Annotated[
    int, typer.Option("--max-words", min=1, max=1000, help="Words of a sentence at most.")
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        "--length-penalty",
        help="Rank by log2_prob / (words + 1)^penalty; the model's own if left out.",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        metavar="BITS",
        help="Answer `not sure` where the picture gives less evidence for the caption.",
    ),
]
PriorOption = Annotated[
    Prior | None,
    typer.Option("--prior", help="What the picture's probability is measured against."),
]
Data = Annotated[
    Path,
    typer.Option("--data", metavar="FOLDER", help="Data set laid out like Flickr8K."),
]

BEAM = DecodeOptions.beam
MAX_WORDS = DecodeOptions.max_words
