"""Options that several commands share, each declared once, and the types that they need."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from mrnn_edge.bundle.config import Precision
from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.options import DecodeOptions, Prior, Sampling

OUTPUT: Final = "Output"
SENTENCE: Final = "Sentences"
SAMPLING: Final = "Sampling"
MODEL: Final = "Model and machine"
"""Headings of the help, under which options of one theme stand."""


def to_path(text: str | os.PathLike[str]) -> Path:
    """A path, with `~` and `file:///…` understood: a shell does not expand `--output=~/a.csv`."""
    from mrnn_edge.paths import local_path

    try:
        return Path(local_path(os.fspath(text)))
    except FileError as error:
        raise typer.BadParameter(str(error)) from None


def to_folder(text: str | os.PathLike[str]) -> Path:
    """The path of a folder, which `-` is not."""
    if str(text) == "-":
        raise typer.BadParameter("a folder cannot be standard output; name one")
    return to_path(text)


def path_option(*names: str, help: str, metavar: str = "FILE", panel: str | None = None) -> Any:
    """An option whose value is a path."""
    parser = to_folder if metavar == "FOLDER" else to_path
    return typer.Option(*names, metavar=metavar, help=help, parser=parser, rich_help_panel=panel)


def under(panel: str, *names: str, **declared: Any) -> Any:
    """An option under a heading of the help."""
    return typer.Option(*names, rich_help_panel=panel, **declared)


class Group(NamedTuple):
    """Marks a parameter that stands for several options, which are the parameters of `make`."""

    make: Callable[..., Any]


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer reads it: with options in place of its groups."""

    def call(**given: Any) -> None:
        _call(command, given)

    options = {each.name: each for each in _options(command)}
    call.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    call.__annotations__ = {name: each.annotation for name, each in options.items()}
    call.__doc__ = command.__doc__
    return call


def _options(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    for parameter in inspect.signature(function).parameters.values():
        make = _group(parameter)
        if make is None:
            yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        else:
            yield from _options(make)


def _call(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        make = _group(parameter)
        arguments[name] = given[name] if make is None else _call(make, given)
    return function(**arguments)


def _group(parameter: inspect.Parameter) -> Callable[..., Any] | None:
    marks = getattr(parameter.annotation, "__metadata__", ())
    return next((mark.make for mark in marks if isinstance(mark, Group)), None)


Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The picture; - is stdin.")]
Model = Annotated[
    str | None,
    under(
        MODEL, "--model", "-m", metavar="NAME_OR_FOLDER", help="Model; default: the shipped one."
    ),
]
Device = Annotated[
    str,
    under(MODEL, "--device", metavar="auto|cpu|cuda|cuda:N", help="auto: CUDA if it works."),
]
PrecisionOption = Annotated[
    Precision | None,
    under(MODEL, "--precision", help="Arithmetic of the graphs; default: the model's own."),
]
Threads = Annotated[
    int | None,
    under(MODEL, "--threads", min=1, max=256, help="CPU threads; default: all available cores."),
]
Quiet = Annotated[bool, under(OUTPUT, "--quiet", "-q", help="Print nothing but errors on stderr.")]
Force = Annotated[bool, under(OUTPUT, "--force", help="Overwrite outputs that exist.")]
Json = Annotated[bool, under(OUTPUT, "--json", help="JSON on stdout.")]
Ndjson = Annotated[bool, under(OUTPUT, "--ndjson", help="One JSON record per line on stdout.")]
Html = Annotated[Path | None, path_option("--html", help="Write an HTML page.", panel=OUTPUT)]
Explain = Annotated[
    bool,
    under(OUTPUT, "--explain", help="Add confidence and evidence, and each word's share of it."),
]
Beam = Annotated[
    int | None,
    under(SENTENCE, "--beam", min=1, max=100, help="Beam width; 1 is greedy; default: 3."),
]
Nbest = Annotated[
    int, under(SENTENCE, "--nbest", min=1, max=100, help="Sentences per picture, in records.")
]
MaxWords = Annotated[
    int, under(SENTENCE, "--max-words", min=1, max=1000, help="Maximum number of words.")
]
LengthPenalty = Annotated[
    float | None,
    under(
        SENTENCE,
        "--length-penalty",
        help="Rank by log2_prob / (words + 1)^penalty; default: the model's own.",
    ),
]
Prefix = Annotated[
    str, under(SENTENCE, "--prefix", metavar="TEXT", help="How the sentence begins.")
]
NoRepeatNgram = Annotated[
    int,
    under(
        SENTENCE,
        "--no-repeat-ngram",
        min=0,
        help="Repeat no N words in a row, nor a content word; 0: no limit.",
    ),
]
Forbid = Annotated[
    list[str] | None,
    under(SENTENCE, "--forbid", metavar="WORD", help="A word to avoid; may be given repeatedly."),
]
Require = Annotated[
    list[str] | None,
    under(SENTENCE, "--require", metavar="WORD", help="A word to use; may be given repeatedly."),
]
MinConfidence = Annotated[
    float | None,
    under(SENTENCE, "--min-confidence", min=0.0, metavar="P", help="Below it, print `not sure`."),
]
Sample = Annotated[
    bool, under(SAMPLING, "--sample", help="Draw a random sentence instead of the best one.")
]
Temperature = Annotated[
    float | None,
    under(SAMPLING, "--temperature", help="Below 1 favours likely words, above 1 unlikely ones."),
]
TopK = Annotated[int | None, under(SAMPLING, "--top-k", help="Draw from the K likeliest words.")]
TopP = Annotated[
    float | None,
    under(SAMPLING, "--top-p", help="Draw from the likeliest words that hold this share."),
]
Seed = Annotated[
    int | None, under(SAMPLING, "--seed", help="The same seed gives the same sentence.")
]
PriorOption = Annotated[
    Prior | None, typer.Option("--prior", help="What the picture's probability is compared with.")
]

MAX_WORDS: Final = DecodeOptions.max_words
NO_REPEAT_NGRAM: Final = DecodeOptions.no_repeat_ngram


def to_sampling(
    *,
    sample: Sample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
) -> Sampling | None:
    """The sampling options as one object. Raises OptionError if one is given without --sample."""
    if sample:
        heat = 1.0 if temperature is None else temperature
        return Sampling(temperature=heat, top_k=top_k, top_p=top_p, seed=seed)
    given = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p, "--seed": seed}
    for name, value in given.items():
        if value is not None:
            raise OptionError(f"{name} goes with --sample; add it, or leave {name} out")
    return None


def to_decoding(
    *,
    beam: Beam = None,
    nbest: Nbest = DecodeOptions.nbest,
    max_words: MaxWords = MAX_WORDS,
    length_penalty: LengthPenalty = None,
    prefix: Prefix = "",
    no_repeat_ngram: NoRepeatNgram = DecodeOptions.no_repeat_ngram,
    forbid: Forbid = None,
    require: Require = None,
    min_confidence: MinConfidence = None,
    sampling: Annotated[Sampling | None, Group(to_sampling)],
) -> DecodeOptions:
    """The options of a caption as one object. Raises OptionError for values out of range."""
    return DecodeOptions(
        beam=beam,
        nbest=nbest,
        sampling=sampling,
        max_words=max_words,
        length_penalty=length_penalty,
        prefix=prefix,
        no_repeat_ngram=no_repeat_ngram,
        forbid=tuple(forbid or ()),
        require=tuple(require or ()),
        min_confidence=min_confidence,
    )


Decoding = Annotated[DecodeOptions, Group(to_decoding)]
