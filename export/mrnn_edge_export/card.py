"""The model card (README.md of a bundle), rendered from config.json and metrics.json alone.

No torch: `mrnn-edge eval --save` renders it again with new figures.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mrnn_edge.bundle.config import BundleConfig, Precision
from mrnn_edge.bundle.folder import Bundle, read_metrics
from mrnn_edge.bundle.write import to_json
from mrnn_edge.errors import OptionError
from mrnn_edge.files import write_whole


def render_card(config: BundleConfig, metrics: Mapping[str, Any]) -> bytes:
    """The bytes of README.md. Unmeasured figures are left out."""
    searches = "an encoder, a step, and a gradient for searches"
    graphs = searches if config.gradient else "an encoder and a step"
    prior = config.prior and f"mean of the training pictures, {config.prior.groups} groups of them"
    lines = [
        f"# {config.name}",
        "",
        "Describes a picture in one English sentence, and gives the probability of any sentence",
        "for a picture. A multimodal recurrent network (m-RNN, Mao et al. 2014, arXiv 1410.1090)",
        f"for mrnn-edge, as ONNX graphs: {graphs}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| bundle | `{config.id}` |",
        f"| picture | {config.image.width} x {config.image.height} RGB, squashed |",
        f"| vocabulary | {config.sizes.vocabulary:,} words, the three special ones included |",
        f"| image vector, state | {config.sizes.image}, {config.sizes.state} |",
        *(
            f"| {name} graphs | {pair.bytes / 1e6:.1f} MB |"
            for name, pair in config.precisions.items()
        ),
        *([f"| prior | {prior} |"] if prior else []),
        f"| decoding | length penalty {config.decoding.length_penalty:g} |",
        "",
        "## Training",
        "",
        *(f"- {key}: {_plain(value)}" for key, value in config.training.items()),
        "",
        *_parity(config, metrics.get("parity", {})),
        *_int8(metrics.get("int8", {})),
        *_figures(metrics.get("eval", {})),
        *_retrieval(metrics.get("retrieval", {})),
        *_confidence(metrics.get("confidence", {})),
        "## What it cannot see",
        "",
        "It knows the world of its training pictures and no other: what it has not seen there it",
        "takes for the nearest thing that it has. It reads no text, counts badly, and confuses",
        "sexes, ages and colours. Its sentences are guesses; do not let safety rest on them.",
        "",
        "## Licences",
        "",
        *(f"- {key}: {value}" for key, value in config.licence.items()),
        "",
    ]
    return "\n".join(lines).encode("utf-8")


def _table(head: str, rows: Iterable[str]) -> list[str]:
    """A table in Markdown; bars separate the cells of the head and of each row."""
    columns = head.count("|") + 1
    return [f"| {head} |", "| --- " * columns + "|", *(f"| {row} |" for row in rows)]


def _commands(records: Mapping[str, Any]) -> list[str]:
    return ["```sh", *(each["command"] for each in records.values()), "```", ""]


def _parity(config: BundleConfig, parity: Mapping[str, Any]) -> list[str]:
    if "largest_difference" not in parity:
        return []
    worst = max(max(graph.values()) for graph in parity["largest_difference"].values())
    captions = parity["captions"]
    repeated = "`mrnn-edge verify` repeats the part that needs no torch."
    if Precision.FLOAT32 not in config.precisions:
        repeated = (
            "That was of the float graphs, which are not in this folder; the int8 ones were made "
            "of\nthem, and `mrnn-edge verify` compares those with what they answered then."
        )
    return [
        "## Parity",
        "",
        f"Torch and ONNX Runtime differ by {worst:.1e} at most (limit {parity['limit']:.0e}), and",
        f"{captions['equal']:,} of {captions['compared']:,} dev pictures are captioned alike, word "
        "for word.",
        repeated,
        "",
    ]


def _int8(made: Mapping[str, Any]) -> list[str]:
    if not made:
        return []
    dev = made["dev"]
    cider, perplexity = (
        f"{dev[figure]['float32']:.{digits}f} to {dev[figure]['int8']:.{digits}f}"
        for figure, digits in (("cider", 4), ("perplexity", 2))
    )
    kept = ", ".join(made["float_layers"]) or "none"
    return [
        "## int8",
        "",
        f"The int8 graphs were made of the float ones, calibrated on {made['calibration_pictures']}"
        " training pictures;",
        f"layers left in float: {kept}. On dev CIDEr went from {cider}, perplexity from",
        f"{perplexity}, and {dev['captions_changed']:.1%} of the captions changed (beam of 3):",
        "",
        *_commands({"int8": made}),
    ]


def _confidence(figures: Mapping[str, Any]) -> list[str]:
    if not figures:
        return []
    rows = (
        f"{name} | {each['captions']:,} | {each['right']:.0%} | {each['area']:.3f} "
        f"| {each['calibration_error']:.3f} | {each['surest_half']:.0%}"
        for name, each in figures.items()
    )
    return [
        "## Confidence",
        "",
        "A caption's confidence estimates the probability that it is right: that at least two",
        "thirds of its content words are used by some reference. Fitted on dev; each caption here",
        "is judged by weights that were fitted without it.",
        "",
        *_table(
            "dev of | captions | right | area under ROC | calibration error | right, surest half",
            rows,
        ),
        "",
    ]


def _split(evaluation: Mapping[str, Any]) -> str:
    """The data set and the split; older figures lack the data set."""
    return f"{evaluation.get('data', '')} {evaluation['split']}".lstrip()


def _search(evaluation: Mapping[str, Any]) -> str:
    # Older figures lack the option.
    size = evaluation.get("no_repeat_ngram", 0)
    return f"beam {evaluation['beam']}" + (f", `--no-repeat-ngram {size}`" if size else "")


def _figures(evaluations: Mapping[str, Any]) -> list[str]:
    if not evaluations:
        return []
    scores, variety = [], []
    for each in evaluations.values():
        about = f"{_split(each)} | {each['precision']}"
        bleu = " | ".join(f"{value:.3f}" for value in each["bleu"])
        meteor = f"{each['meteor']:.3f}" if each.get("meteor") is not None else "-"
        scores.append(
            f"{about} | {each['images']:,} | {_search(each)} | {bleu} | {meteor} "
            f"| {each['rouge_l']:.3f} | {each['cider']:.3f} | {each['perplexity']:.2f}"
        )
        # Older figures lack the n-grams.
        shares = " | ".join([f"{share:.3f}" for share in each.get("distinct", ())] or ["-"] * 3)
        variety.append(
            f"{about} | {_search(each)} | {each['novel']:.1%} | {each['vocabulary_used']} "
            f"| {shares} | {each['mean_words']:.1f}"
        )
    any_split = next(iter(evaluations.values()))
    return [
        "## Figures",
        "",
        *_table(
            "split | precision | images | search | BLEU-1 | BLEU-2 | BLEU-3 | BLEU-4 | METEOR "
            "| ROUGE-L | CIDEr | perplexity",
            scores,
        ),
        "",
        "Scored against all references of each picture with the coco-caption toolkit, tokens being",
        "the runs of `[a-z0-9]` of the lower-cased text; CIDEr is CIDEr-D. Perplexity is over all",
        f"references, the end sign counted, words outside the {any_split['vocabulary']:,} of the",
        "vocabulary scored as the unknown word.",
        "",
        *_table(
            "split | precision | search | novel | words used | distinct-1 | distinct-2 "
            "| distinct-3 | mean words",
            variety,
        ),
        "",
        "Novel is the share of captions that no training sentence equals word for word, words used",
        "how many different ones all captions have, distinct-n the share of their n-grams that",
        "differ, mean words their mean length.",
        "",
        "Each row came from:",
        "",
        *_commands(evaluations),
    ]


def _retrieval(measured: Mapping[str, Any]) -> list[str]:
    if not measured:
        return []
    rows = (
        f"{_split(each)} | {each['precision']} | {direction} | {prior} | {recall['r1']:.1%} "
        f"| {recall['r5']:.1%} | {recall['r10']:.1%} | {recall['median_rank']:g}"
        for each in measured.values()
        for direction, prior, recall in (
            *(("image to sentence", *by) for by in each["image_to_sentence_by_prior"].items()),
            ("sentence to image", "any", each["sentence_to_image"]),
        )
    )
    return [
        "## Retrieval",
        "",
        *_table("split | precision | direction | prior | R@1 | R@5 | R@10 | median rank", rows),
        "",
        "All pictures of the split against all their references, by P(w | I) over the prior P(w);",
        "image to sentence counts the best of a picture's references.",
        *(
            f"On {_split(each)} in {each['precision']} a caption is likelier for its own picture "
            f"than for another one in {each['right_picture']:.2%} of all pairs."
            for each in measured.values()
        ),
        "From:",
        "",
        *_commands(measured),
    ]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return str(value)


def check_card(bundle: Bundle) -> None:
    """Raise OptionError for a card that somebody has edited, which rendering would lose."""
    card = bundle.folder / "README.md"
    expected = render_card(bundle.config, read_metrics(bundle.folder))
    if card.is_file() and card.read_bytes() != expected:
        raise OptionError(
            f"{card} was edited since mrnn-edge wrote it, and would be written again; keep a copy "
            "elsewhere and remove it, or work on a copy of the model"
        )


def save_evaluation(bundle: Bundle, record: Mapping[str, Any]) -> None:
    """Add figures to a bundle's metrics.json and render its card again.

    They replace those of the same data, split, precision and limit on repetition. Retrieval
    figures stay until they are measured again: they take long and depend on no search.
    """
    metrics = read_metrics(bundle.folder)
    measured = f"{_split(record)} {record['precision']}"
    limit = record.get("no_repeat_ngram")
    key = f"{measured}, no-repeat {limit}" if limit else measured
    figures = dict(record)
    retrieval = figures.pop("retrieval", None)
    metrics.setdefault("eval", {})[key] = figures
    if retrieval is not None:
        shared = {name: record[name] for name in ("data", "split", "precision", "command")}
        metrics.setdefault("retrieval", {})[measured] = {**shared, **retrieval}
    write_whole(bundle.folder / "metrics.json", to_json(metrics))
    write_whole(bundle.folder / "README.md", render_card(bundle.config, metrics))
