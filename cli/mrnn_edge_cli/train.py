"""`mrnn-edge train`: from a data set to a training run."""

import dataclasses
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrnn_edge.bundle.config import Precision
from mrnn_edge.errors import OptionError
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import TRAINING, need
from mrnn_edge_cli.loading import LoadOptions
from mrnn_edge_cli.output import Progress, say, say_nothing, write
from mrnn_edge_cli.stopping import Stop, heeded, restore

if TYPE_CHECKING:
    from mrnn_edge_train.journal import EpochFigures
    from mrnn_edge_train.loop import Plan
    from mrnn_edge_train.stages.stages import TrainingData

_DEFAULT = "flickr8k-lite2"
_STAGES = {"features": "epoch", "finetune": "finetune", "self-critical": "self-critical"}
RUN = "A new run"
FROM = "From a model"


def train(
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="FOLDER_OR_FILE[=WEIGHT]",
            help="The data set; several are trained on together, by their weights.",
        ),
    ] = None,
    out: Annotated[
        Path | None, opt.path_option("--out", metavar="FOLDER", help="New folder for the run.")
    ] = None,
    resume: Annotated[
        Path | None,
        opt.path_option("--resume", metavar="RUN", help="Continue a run that was stopped."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Epochs of the first stage; default: the recipe's."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same seed gives the same run. [1]")
    ] = None,
    recipe: Annotated[
        str | None,
        opt.under(
            RUN,
            "--recipe",
            metavar="NAME_OR_FILE",
            help=f"Recipe, or a TOML file of one. [{_DEFAULT}]",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        opt.under(RUN, "--encoder", metavar="NAME_OR_FILE", help="CNN, or a feature table (.npz)."),
    ] = None,
    device: Annotated[
        str | None,
        opt.under(RUN, "--device", metavar="cpu|cuda|cuda:N", help="Device for training. [cpu]"),
    ] = None,
    tensorboard: Annotated[
        bool,
        opt.under(RUN, "--tensorboard", help="Write curves to the run's folder `tensorboard`."),
    ] = False,
    cache: Annotated[
        Path | None,
        opt.path_option("--cache", metavar="FOLDER", help="Cache for CNN vectors.", panel=RUN),
    ] = None,
    model: Annotated[
        str | None,
        opt.under(
            FROM,
            "--from",
            metavar="NAME_OR_FOLDER",
            help="Continue training this model, with its CNN frozen; --out is a model folder.",
        ),
    ] = None,
    teach: Annotated[
        str | None,
        opt.under(
            FROM,
            "--teach",
            metavar="WORD",
            help="Teach a model (--from, or the default) this word; --out is a model folder.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        opt.path_option(
            "--images", metavar="FOLDER", help="With --teach: the pictures.", panel=FROM
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        opt.path_option(
            "--captions", help="With --teach: a CSV or JSONL of file,caption.", panel=FROM
        ),
    ] = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Train a model: prints a line of figures per epoch; keeps the best epoch on dev.

    The run's folder holds run.json, vocab.json, log.ndjson, best.safetensors and
    checkpoint.safetensors; `mrnn-edge export` turns it into a model. Ctrl-C finishes the step and
    saves; `--resume RUN` continues.

    --from and --teach continue training a model, in about a minute, and --out is a model folder,
    ready to use; if stopped, nothing is written.
    """
    if teach is None:
        _refuse({"--images": images, "--captions": captions}, "--teach")
    if teach is None and model is None:
        run = _Run(
            data=tuple(data or ()),
            out=out,
            resume=resume,
            recipe=recipe,
            encoder=encoder,
            epochs=epochs,
            seed=seed,
            device=device,
            tensorboard=tensorboard,
            cache=cache,
            threads=threads,
        )
        _train(run, quiet=quiet)
        return
    new: dict[str, object] = {"--resume": resume, "--recipe": recipe, "--encoder": encoder}
    new |= {"--cache": cache, "--device": device, "--tensorboard": tensorboard or None}
    _refuse(new, "training from a data set, not for --from and --teach")
    if teach is not None:
        place = "training without --teach"
        _refuse({"--data": data or None}, f"{place}, which takes --images and --captions")
        _refuse({"--epochs": epochs, "--seed": seed}, place)
    loading = LoadOptions(
        model=model, device="cpu", precision=Precision.FLOAT32, threads=threads, quiet=quiet
    )
    if teach is not None:
        if images is None or captions is None or out is None:
            raise OptionError("give --images, --captions and --out with --teach")
        _prepare(threads).teach_word(loading, teach, images, captions, out)
        return
    if data is None or len(data) != 1 or out is None:
        raise OptionError("give one --data, and --out, with --from")
    seed = 1 if seed is None else seed
    _prepare(threads).train_on(loading, Path(data[0]), out, epochs=epochs, seed=seed)


def _prepare(threads: int | None) -> ModuleType:
    """What trains from a model, torch limited to these threads."""
    need("cpu,train", "onnxruntime", *TRAINING, "onnx", "onnxscript")
    from mrnn_edge_cli import train_on
    from mrnn_edge_train.torch_device import use_threads

    use_threads(threads)
    return train_on


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Run:
    """The options of a run, as the command line gives them."""

    data: tuple[str, ...]
    out: Path | None
    resume: Path | None
    recipe: str | None
    encoder: str | None
    epochs: int | None
    seed: int | None
    device: str | None
    tensorboard: bool
    cache: Path | None
    threads: int | None


def _train(options: _Run, *, quiet: bool) -> None:
    """Train a run, or continue one, and print its figures."""
    need("train", *TRAINING)
    if options.tensorboard:
        need("tensorboard,train", "tensorboard")
    from mrnn_edge_train import distributed
    from mrnn_edge_train.torch_device import choose_device, use_threads

    use_threads(options.threads)
    device = choose_device(options.device or "cpu")
    distributed.join(device)
    first = distributed.is_first()
    # torchrun passes on a Ctrl-C that the terminal has sent to every process already.
    second = signal.default_int_handler if distributed.size() == 1 else signal.SIG_IGN
    interrupted = Interrupted(second, reported=first)
    started = _start(options, device, interrupted, quiet=quiet or not first)
    if started is None:
        return
    folder, run = started
    if options.tensorboard and first:
        from mrnn_edge_train.journal import shown

        run = shown(run, folder)
    with interrupted:
        for figures in run:
            if first:
                write(_line(figures))
    if interrupted():
        if first:
            again = f" --device {options.device}" if options.device else ""
            say(f"stopped and saved; continue with: mrnn-edge train --resume {folder}{again}")
        raise SystemExit(interrupted.exit_code)


def _start(
    options: _Run, device: Any, interrupted: "Interrupted", *, quiet: bool
) -> "tuple[Path, Iterator[EpochFigures]] | None":
    """The folder of a run and its epochs, as they come; None if it is complete already."""
    from mrnn_edge_train import loop

    report = say_nothing if quiet else say
    track = Progress(quiet=quiet)
    if (folder := options.resume) is not None:
        fresh = (options.out, options.recipe, options.encoder, options.epochs, options.seed)
        if options.data or fresh != (None,) * 5:
            raise OptionError("--resume takes data, recipe and seed from the run; leave them out")
        plan = loop.plan_of(folder)
        # First: a complete run needs no checkpoint, nor the same number of processes.
        if loop.has_ended(folder):
            report(f"{folder} is complete, nothing is left to train")
            return None
        loop.check_run(folder)
        data = _data(options, plan, device, track, report)
        return folder, loop.resume(data, folder, track=track, stop=interrupted, say=report)
    if not options.data or (folder := options.out) is None:
        raise OptionError("give --data and --out, or --resume RUN")
    plan = _new_plan(options)
    loop.check_out(folder)
    data = _data(options, plan, device, track, report)
    return folder, loop.train(plan, data, folder, track=track, stop=interrupted)


def _new_plan(options: _Run) -> "Plan":
    """The plan of a new run: its recipe with the options that change it."""
    from mrnn_edge_train.data.mixture import parse_source
    from mrnn_edge_train.loop import Plan
    from mrnn_edge_train.recipe import read_recipe

    recipe = read_recipe(options.recipe or _DEFAULT)
    if options.encoder is not None:
        recipe = dataclasses.replace(recipe, encoder=options.encoder)
    if options.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=options.epochs)
    sources = tuple(parse_source(text) for text in options.data)
    return Plan(recipe=recipe, sources=sources, seed=1 if options.seed is None else options.seed)


def _data(
    options: _Run, plan: "Plan", device: Any, track: Progress, report: Callable[[str], None]
) -> "TrainingData":
    """The data of a run, prepared, of one set or of several."""
    from mrnn_edge_train import prepare

    recipe, sources, cache = plan.recipe, plan.sources, options.cache or _cache()
    if not prepare.is_mixture(sources, recipe):
        path = sources[0].path
        return prepare.prepare(recipe, path, cache=cache, device=device, track=track, say=report)
    need("cpu,train", "onnxruntime", "onnx", "onnxscript")
    from mrnn_edge_export.frozen import frozen_reader

    return prepare.prepare_sources(
        recipe,
        sources,
        cache=cache,
        open_reader=frozen_reader,
        seed=plan.seed,
        device=device,
        track=track,
        say=report,
    )


def _line(figures: "EpochFigures") -> str:
    return (
        f"{_STAGES[figures.stage]} {figures.epoch:3d}  "
        f"train {figures.train_bits:.3f} bits  "
        f"dev perplexity {figures.dev_perplexity:.2f}  dev CIDEr {figures.dev_cider:.4f}"
        f"{' best' if figures.best else '     '}  {figures.seconds:.0f} s"
    )


def _refuse(options: Mapping[str, object], place: str) -> None:
    """Raise OptionError for options that were given and have no meaning here."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise OptionError(f"{', '.join(given)}: only for {place}; leave it out")


class Interrupted(Stop):
    """Whether a request to stop came while this was entered; `second` handles the next one.

    Only the process with `reported` prints it.
    """

    def __init__(
        self,
        second: signal.Handlers | Callable[[int, FrameType | None], Any],
        *,
        reported: bool,
    ) -> None:
        super().__init__()
        self._second = second
        self._reported = reported

    def __enter__(self) -> None:
        # A background job inherits ignored signals, which stay ignored.
        self._before = heeded()
        for number in self._before:
            signal.signal(number, self._note)

    def __exit__(self, *_: object) -> None:
        restore(self._before)

    def _note(self, number: int, _frame: object) -> None:
        self.signal = number
        for each in self._before:
            signal.signal(each, self._second)
        if self._reported:
            again = "; press Ctrl-C again to stop at once" if callable(self._second) else ""
            say(f"finishing the step{again}")


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("mrnn-edge") / "features"
