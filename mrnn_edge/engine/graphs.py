"""The graphs of a model as callables, and the contract that a session is held to.

Takes open sessions, gives functions over numpy arrays, inputs and outputs checked at load. Knows
what a session answers, but neither how one is opened nor on what device.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats, Ids
from mrnn_edge.bundle.config import BundleConfig, GraphRole
from mrnn_edge.engine.session import Session
from mrnn_edge.errors import (
    BundleError,
    NumericalError,
    SignatureError,
    VocabularyMismatchError,
)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input or output of a graph. `None` in a shape is the batch."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("B" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Inputs and outputs of a graph, in order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __str__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        return f"{inputs} -> {', '.join(map(str, self.outputs))}"


def encoder_signature(config: BundleConfig) -> Signature:
    """Pixels uint8 [B, H, W, 3] -> image float32 [B, M]."""
    pixels = (None, config.image.height, config.image.width, 3)
    return Signature(
        inputs=(Tensor(name="pixels", dtype="uint8", shape=pixels),),
        outputs=(Tensor(name="image", dtype="float", shape=(None, config.sizes.image)),),
    )


def step_signature(config: BundleConfig) -> Signature:
    """token int64 [B], state [B, R], image [B, M] -> log_probs [B, V], next_state [B, R]."""
    sizes = config.sizes
    return Signature(
        inputs=(
            Tensor(name="token", dtype="int64", shape=(None,)),
            Tensor(name="state", dtype="float", shape=(None, sizes.state)),
            Tensor(name="image", dtype="float", shape=(None, sizes.image)),
        ),
        outputs=(
            Tensor(name="log_probs", dtype="float", shape=(None, sizes.vocabulary)),
            Tensor(name="next_state", dtype="float", shape=(None, sizes.state)),
        ),
    )


def gradient_signature(config: BundleConfig) -> Signature:
    """token, state [B, R], image [B, M], target -> gradient [B, M], next_state [B, R]."""
    sizes = config.sizes
    return Signature(
        inputs=(
            Tensor(name="token", dtype="int64", shape=(None,)),
            Tensor(name="state", dtype="float", shape=(None, sizes.state)),
            Tensor(name="image", dtype="float", shape=(None, sizes.image)),
            Tensor(name="target", dtype="int64", shape=(None,)),
        ),
        outputs=(
            Tensor(name="gradient", dtype="float", shape=(None, sizes.image)),
            Tensor(name="next_state", dtype="float", shape=(None, sizes.state)),
        ),
    )


class EncoderGraph:
    """The CNN with V_I: pixels to image vectors."""

    def __init__(self, session: Session, signature: Signature) -> None:
        self._session = session
        self._outputs = signature.outputs

    def __call__(self, pixels: NDArray[np.uint8]) -> Floats:
        """uint8 [B, H, W, 3] -> float32 [B, M]. Raises NumericalError if one is not finite."""
        image: Floats
        (image,) = _run(self._session, self._outputs, {"pixels": pixels})
        # To numpy NaN is the largest of all and the smallest: two looks find all that is wrong.
        if len(image) and not (
            image.item(image.argmin()) > -np.inf and image.item(image.argmax()) < np.inf
        ):
            bad = np.flatnonzero(~np.isfinite(image).all(axis=1))
            raise NumericalError(
                f"the encoder gave numbers that are not finite for picture {bad[0]} of the batch; "
                "check the model with `mrnn-edge verify`"
            )
        return image


class StepGraph:
    """One recurrent step; a StepFunction of beams.py."""

    def __init__(self, session: Session, signature: Signature, *, vocabulary: int) -> None:
        self._session = session
        self._outputs = signature.outputs
        self._names = [each.name for each in signature.outputs]
        self._vocabulary = vocabulary

    def __call__(self, token: Ids, state: Floats, image: Floats) -> tuple[Floats, Floats]:
        """int64 [B], float32 [B, R], float32 [B, M] -> log_probs [B, V], next_state [B, R].

        Raises ValueError where lengths differ or a token is none: ONNX Runtime would broadcast the
        one and count the other from the end, and answer with nonsense.
        """
        _check_rows(token, state, image)
        _check_tokens(token, self._vocabulary)
        feeds = {"token": token, "state": state, "image": image}
        log_probs, next_state = self._session.run(self._names, feeds)
        rows = len(token)
        if log_probs.shape != (rows, self._vocabulary) or next_state.shape != state.shape:
            _check_outputs((log_probs, next_state), self._outputs, rows)
        return log_probs, next_state


class GradientGraph:
    """The slope of a step's log-probability in the image vector; a GradientFunction of search.py.

    It only makes short lists: its weights are stored as float16, its arithmetic is float32.
    """

    def __init__(self, session: Session, signature: Signature, *, vocabulary: int) -> None:
        self._session = session
        self._outputs = signature.outputs
        self._vocabulary = vocabulary

    def __call__(
        self, token: Ids, state: Floats, image: Floats, target: Ids
    ) -> tuple[Floats, Floats]:
        """int64 [B], [B, R], [B, M], int64 [B] -> d log P(target) / d image [B, M], state [B, R].

        Raises ValueError where lengths differ or an id is none, NumericalError for a slope that is
        not finite.
        """
        _check_rows(token, state, image)
        _check_rows(target, state, image)
        _check_tokens(token, self._vocabulary)
        _check_tokens(target, self._vocabulary)
        feeds = {"token": token, "state": state, "image": image, "target": target}
        gradient, next_state = _run(self._session, self._outputs, feeds)
        if not np.isfinite(gradient).all():
            raise NumericalError(
                "the gradient graph gave numbers that are not finite; verify the model"
            )
        return gradient, next_state


def check_metadata(session: Any, role: GraphRole, expected: Mapping[str, str]) -> None:
    """Raise BundleError or VocabularyMismatchError unless the graph carries these properties."""
    found = _answer(role, lambda: session.get_modelmeta().custom_metadata_map)
    for key, value in expected.items():
        if found.get(key) == value:
            continue
        error = VocabularyMismatchError if key == "vocabulary_sha256" else BundleError
        raise error(
            f"the {role} graph carries {key} {found.get(key, 'nothing')!r}, this bundle's is "
            f"{value!r}; take all files of the model from one export"
        )


def check_signature(session: Any, role: GraphRole, expected: Signature) -> None:
    """Raise SignatureError unless the graph's inputs and outputs are these, in this order."""
    found = _answer(
        role,
        lambda: Signature(
            inputs=tuple(map(_tensor, session.get_inputs())),
            outputs=tuple(map(_tensor, session.get_outputs())),
        ),
    )
    if found != expected:
        raise SignatureError(
            f"the {role} graph is {found}, expected {expected}; export the model anew"
        )


def _check_rows(token: Ids, state: Floats, image: Floats) -> None:
    if not len(token) == len(state) == len(image):
        raise ValueError(
            f"{len(token)} tokens, {len(state)} states and {len(image)} images; "
            "expected one of each a hypothesis"
        )


def _check_tokens(token: Ids, vocabulary: int) -> None:
    # Python's min and max: the first call of numpy's after the encoder costs some 20 µs.
    ids = token.tolist()
    if ids and not 0 <= min(ids) <= max(ids) < vocabulary:
        raise ValueError(f"tokens from {min(ids)} to {max(ids)}, expected 0 to {vocabulary - 1}")


def _tensor(info: Any) -> Tensor:
    dtype = str(info.type).removeprefix("tensor(").removesuffix(")")
    sizes: Sequence[Any] = info.shape
    shape = tuple(size if isinstance(size, int) else None for size in sizes)
    return Tensor(name=info.name, dtype=dtype, shape=shape)


def _answer(role: GraphRole, ask: Callable[[], T]) -> T:
    """What a session says of its graph, names and properties of which may be no text."""
    try:
        return ask()
    except ValueError as error:  # UnicodeDecodeError
        raise BundleError(
            f"the {role} graph has names that are no text ({error}); export the model anew"
        ) from None


def _run(session: Session, outputs: Sequence[Tensor], feeds: Mapping[str, Any]) -> list[Floats]:
    """The outputs, a row for each that went in, looked at."""
    found = list(session.run([each.name for each in outputs], feeds))
    _check_outputs(found, outputs, rows=len(next(iter(feeds.values()))))
    return found


def _check_outputs(found: Sequence[Floats], outputs: Sequence[Tensor], rows: int) -> None:
    """Raise SignatureError unless types and shapes are as the graph promised.

    A graph need not keep its promise: ONNX Runtime warns in its log, and answers.
    """
    for array, promised in zip(found, outputs, strict=True):
        expected = (rows, *promised.shape[1:])
        if array.dtype != np.float32 or array.shape != expected:
            raise SignatureError(
                f"a graph gave {promised.name} {array.dtype} {list(array.shape)}, "
                f"expected float32 {list(expected)}; export the model anew"
            )
