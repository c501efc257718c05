"""`mrnn-edge train`: from a data set to a training run."""

import dataclasses
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

from mrnn_edge.errors import OptionError
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Option
from mrnn_edge_cli.extras import TRAINING, need
from mrnn_edge_cli.output import Progress, say, write
from mrnn_edge_cli.stopping import Stop, heeded, restore

if TYPE_CHECKING:
    import torch

    from mrnn_edge_train.mixture import Source
    from mrnn_edge_train.recipe import Recipe
    from mrnn_edge_train.stages import TrainingData

_DEFAULT = "flickr8k-lite2"
_STAGES = {"features": "epoch", "finetune": "finetune", "self-critical": "self-critical"}


def train(
    data: Annotated[
        list[str] | None,
        Option(
            "--data",
            metavar="FOLDER_OR_FILE[=WEIGHT]",
            help="The data set; several together, each as often as its weight says.",
        ),
    ] = None,
    out: Annotated[
        Path | None, Option("--out", metavar="FOLDER", help="New folder of the run.")
    ] = None,
    resume: Annotated[
        Path | None,
        Option("--resume", metavar="RUN", help="Go on with a run that was stopped."),
    ] = None,
    recipe: Annotated[
        str | None,
        Option(
            "--recipe", metavar="NAME_OR_FILE", help=f"Recipe, or a TOML file of one. [{_DEFAULT}]"
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        Option("--encoder", metavar="NAME_OR_FILE", help="CNN, or a feature table (.npz)."),
    ] = None,
    epochs: Annotated[
        int | None, Option("--epochs", min=1, help="Of the first stage, not the recipe's.")
    ] = None,
    seed: Annotated[
        int | None, Option("--seed", min=0, help="The same seed, the same run. [1]")
    ] = None,
    device: Annotated[
        str | None,
        Option("--device", metavar="cpu|cuda|cuda:N", help="Where the networks compute. [cpu]"),
    ] = None,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Curves too, in the run's folder `tensorboard`.")
    ] = False,
    cache: Annotated[
        Path | None,
        Option("--cache", metavar="FOLDER", help="Where CNN vectors are kept."),
    ] = None,
    model: Annotated[
        str | None,
        Option(
            "--from",
            metavar="NAME_OR_FOLDER",
            help="Train this model on, its CNN as it is; --out is then a model folder.",
        ),
    ] = None,
    teach: Annotated[
        str | None,
        Option(
            "--teach",
            metavar="WORD",
            help="Teach a model (--from, or the default one) this word; --out is a model folder.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        Option("--images", metavar="FOLDER", help="With --teach: the pictures."),
    ] = None,
    captions: Annotated[
        Path | None,
        Option("--captions", metavar="FILE", help="With --teach: a CSV or JSONL of file,caption."),
    ] = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Train a model: a line of figures an epoch; the best on dev is kept.

    The folder then holds run.json, vocab.json, log.ndjson, best.safetensors and
    checkpoint.safetensors; `mrnn-edge export` makes a model of it. Ctrl-C finishes the step and
    saves; `--resume RUN` goes on.

    With --from or --teach a model is trained on in a minute or so, and --out is a model folder,
    ready to use; nothing is written if it is stopped.
    """
    if teach is None:
        _refuse({"--images": images, "--captions": captions}, "--teach alone")
    if teach is not None or model is not None:
        _refuse(
            {
                "--resume": resume,
                "--recipe": recipe,
                "--encoder": encoder,
                "--cache": cache,
                "--device": device,
                "--tensorboard": tensorboard or None,
            },
            "training from a data set alone, not with --from and --teach",
        )
        need("cpu,train", "onnxruntime", *TRAINING, "onnx", "onnxscript")
        import torch

        from mrnn_edge_cli.train_on import teach_word, train_on

        if threads:
            torch.set_num_threads(threads)
        if teach is not None:
            without = "training without --teach"
            _refuse({"--data": data or None}, f"{without}, which takes --images and --captions")
            _refuse({"--epochs": epochs, "--seed": seed}, without)
            if images is None or captions is None or out is None:
                raise OptionError("give --images, --captions and --out with --teach")
            teach_word(model, teach, images, captions, out, threads=threads, quiet=quiet)
            return
        if not data or out is None:
            raise OptionError("give --data and --out with --from")
        if len(data) > 1:
            raise OptionError(f"--from takes one --data, here are {len(data)}")
        seed = 1 if seed is None else seed
        train_on(model, Path(data[0]), out, epochs=epochs, seed=seed, threads=threads, quiet=quiet)
        return
    need("train", *TRAINING)
    if tensorboard:
        need("tensorboard,train", "tensorboard")
    import torch

    from mrnn_edge_train import distributed, loop
    from mrnn_edge_train.device import choose_device
    from mrnn_edge_train.mixed_run import seed_of, sources_of, written
    from mrnn_edge_train.mixture import parse_source
    from mrnn_edge_train.recipe import read_recipe

    if threads:
        torch.set_num_threads(threads)
    where = choose_device(device or "cpu")
    distributed.join(where)
    quiet = quiet or not distributed.is_first()
    # torchrun passes on a Ctrl-C that the terminal has sent to every process already.
    second = signal.default_int_handler if distributed.size() == 1 else signal.SIG_IGN
    tell = loop.unheard if quiet else say
    track, interrupted = Progress(quiet=quiet), Interrupted(second, told=distributed.is_first())
    if resume is not None:
        if (data or None, out, recipe, encoder, epochs, seed) != (None,) * 6:
            raise OptionError("--resume takes data, recipe and seed from the run; leave them out")
        plan, sources, first_seed = loop.recipe_of(resume)[0], sources_of(resume), seed_of(resume)
        # First: of a run that has ended nobody needs a checkpoint, nor as many processes.
        if loop.has_ended(resume):
            tell(f"{resume} has come to its end, nothing is left to train")
            return
        loop.check_run(resume)
        prepared = _prepared(
            plan, sources, cache, seed=first_seed, device=where, track=track, tell=tell
        )
        folder = resume
        run = loop.resume(
            prepared,
            folder,
            track=track,
            stop=interrupted,
            say=tell,
        )
    elif data and out is not None:
        plan = read_recipe(recipe or _DEFAULT)
        changes = {"encoder": encoder, "epochs": epochs}
        changes = {key: value for key, value in changes.items() if value is not None}
        plan = dataclasses.replace(plan, **changes)  # type: ignore[arg-type]
        folder = out
        loop.check_out(folder)
        sources = tuple(parse_source(text) for text in data)
        seed = 1 if seed is None else seed
        prepared = _prepared(plan, sources, cache, seed=seed, device=where, track=track, tell=tell)
        run = loop.train(
            plan,
            prepared,
            folder,
            seed=seed,
            source=written(sources),
            track=track,
            stop=interrupted,
        )
    else:
        raise OptionError("give --data and --out, or --resume RUN")
    if tensorboard and distributed.is_first():
        from mrnn_edge_train.board import shown

        run = shown(run, folder)
    with interrupted:
        for figures in run:
            if not distributed.is_first():
                continue
            write(
                f"{_STAGES[figures.stage]} {figures.epoch:3d}  "
                f"train {figures.train_bits:.3f} bits  "
                f"dev perplexity {figures.dev_perplexity:.2f}  dev CIDEr {figures.dev_cider:.4f}"
                f"{' best' if figures.best else '     '}  {figures.seconds:.0f} s"
            )
    if interrupted():
        if distributed.is_first():
            again = f" --device {device}" if device else ""
            say(f"stopped and saved; go on with: mrnn-edge train --resume {folder}{again}")
        raise SystemExit(interrupted.exit_code)


def _prepared(
    plan: "Recipe",
    sources: Sequence["Source"],
    cache: Path | None,
    *,
    seed: int,
    device: "torch.device",
    track: Progress,
    tell: Callable[[str], None],
) -> "TrainingData":
    """The data of a run, of one set or of several."""
    from mrnn_edge_train import loop
    from mrnn_edge_train.mixed_run import is_mixture, prepare_sources

    cache = cache or _cache()
    if not is_mixture(sources, plan):
        return loop.prepare(
            plan, sources[0].path, cache=cache, device=device, track=track, say=tell
        )
    need("cpu,train", "onnxruntime", "onnx", "onnxscript")
    from mrnn_edge_export.frozen import frozen_reader

    prepared = prepare_sources(
        plan, sources, cache=cache, open_reader=frozen_reader, seed=seed, track=track, say=tell
    )
    return dataclasses.replace(prepared, device=device)


def _refuse(options: Mapping[str, object], place: str) -> None:
    """Raise OptionError for options that were given and have no meaning here."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise OptionError(f"{', '.join(given)}: for {place}; leave it out")


class Interrupted(Stop):
    """Whether a wish to stop has come while this was entered; `second` handles the next one.

    It is said where `told`: of several processes one is enough.
    """

    def __init__(
        self,
        second: signal.Handlers | Callable[[int, FrameType | None], Any],
        *,
        told: bool,
    ) -> None:
        super().__init__()
        self._second = second
        self._told = told

    def __enter__(self) -> None:
        # A background job inherits ignored signals, and is left so.
        self._before = heeded()
        for number in self._before:
            signal.signal(number, self._note)

    def __exit__(self, *_: object) -> None:
        restore(self._before)

    def _note(self, number: int, _frame: object) -> None:
        self.signal = number
        for each in self._before:
            signal.signal(each, self._second)
        if self._told:
            again = "; press Ctrl-C again to stop at once" if callable(self._second) else ""
            say(f"finishing the step{again}")


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("mrnn-edge") / "features"
