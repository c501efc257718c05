"""Options that several commands share, declared once."""

from typing import Annotated

from mrnn_edge.bundle.config import Precision
from mrnn_edge.errors import OptionError
from mrnn_edge.options import DecodeOptions, Prior, Sampling
from mrnn_edge_cli.arguments import Option

Model = Annotated[
    str | None,
    Option("--model", metavar="NAME_OR_FOLDER", help="Model; the shipped one if left out."),
]
Device = Annotated[
    str,
    Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N",
        help="Where the graphs run; auto: CUDA where it works, else the CPU.",
    ),
]
PrecisionOption = Annotated[
    Precision | None,
    Option("--precision", help="Arithmetic of the graphs; the model's own if left out."),
]
Threads = Annotated[
    int | None,
    Option(
        "--threads", min=1, max=256, help="CPU threads; all that this process may use if left out."
    ),
]
Quiet = Annotated[bool, Option("--quiet", help="Say nothing on stderr but errors.")]
Force = Annotated[bool, Option("--force", help="Replace an output that exists.")]
Json = Annotated[bool, Option("--json", help="JSON on stdout.")]
Beam = Annotated[
    int | None,
    Option("--beam", min=1, max=100, help="Hypotheses kept a step; 1 is greedy, 3 if left out."),
]
MaxWords = Annotated[
    int, Option("--max-words", min=1, max=1000, help="Words of a sentence at most.")
]
LengthPenalty = Annotated[
    float | None,
    Option(
        "--length-penalty",
        help="Rank by log2_prob / (words + 1)^penalty; the model's own if left out.",
    ),
]
Sample = Annotated[
    bool, Option("--sample", help="Draw a sentence at random in place of the best one.")
]
Temperature = Annotated[
    float | None,
    Option("--temperature", help="With --sample: below 1 likelier words, above 1 others."),
]
TopK = Annotated[int | None, Option("--top-k", help="With --sample: from so many likeliest words.")]
TopP = Annotated[
    float | None,
    Option("--top-p", help="With --sample: from the likeliest words that hold this share."),
]
Seed = Annotated[
    int | None, Option("--seed", help="With --sample: the same seed, the same sentence.")
]
Prefix = Annotated[str, Option("--prefix", metavar="TEXT", help="How the sentence begins.")]
NoRepeatNgram = Annotated[
    int,
    Option("--no-repeat-ngram", min=0, help="So many words in a row only once; 0: no limit."),
]
Forbid = Annotated[
    list[str] | None,
    Option("--forbid", metavar="WORD", help="A word that must not come; may be repeated."),
]
Require = Annotated[
    list[str] | None,
    Option("--require", metavar="WORD", help="A word that must come; may be repeated."),
]
MinConfidence = Annotated[
    float | None,
    Option(
        "--min-confidence",
        metavar="BITS",
        help="Answer `not sure` where the picture gives less evidence for the caption.",
    ),
]
PriorOption = Annotated[
    Prior | None,
    Option("--prior", help="What the picture's probability is measured against."),
]

MAX_WORDS = DecodeOptions.max_words


def to_sampling(
    sample: bool,
    *,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
) -> Sampling | None:
    """What the options of a draw mean. Raises OptionError for one of them without --sample."""
    given = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p, "--seed": seed}
    if sample:
        heat = 1.0 if temperature is None else temperature
        return Sampling(temperature=heat, top_k=top_k, top_p=top_p, seed=seed)
    for name, value in given.items():
        if value is not None:
            raise OptionError(f"{name} goes with --sample; add it, or leave {name} out")
    return None
