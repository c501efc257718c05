"""The graphs of a model as callables, and the contract of their inputs and outputs.

Takes open sessions, returns functions over numpy arrays. Knows neither how a session is opened nor
on what device.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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


def graph_signature(role: GraphRole, config: BundleConfig) -> Signature:
    """The contract of a graph; V, M and R are the model's `sizes`.

    encoder   pixels uint8 [B, H, W, 3] -> image float32 [B, M]
    step      token int64 [B], state float32 [B, R], image float32 [B, M]
              -> log_probs float32 [B, V], next_state float32 [B, R]
    gradient  the same and target int64 [B] -> gradient float32 [B, M], next_state float32 [B, R]
    """
    sizes = config.sizes
    image = Tensor(name="image", dtype="float", shape=(None, sizes.image))
    if role is GraphRole.ENCODER:
        shape = (None, config.image.height, config.image.width, 3)
        return Signature(
            inputs=(Tensor(name="pixels", dtype="uint8", shape=shape),), outputs=(image,)
        )
    token = Tensor(name="token", dtype="int64", shape=(None,))
    state = Tensor(name="state", dtype="float", shape=(None, sizes.state))
    inputs: tuple[Tensor, ...] = (token, state, image)
    output = Tensor(name="log_probs", dtype="float", shape=(None, sizes.vocabulary))
    if role is GraphRole.GRADIENT:
        inputs = (*inputs, replace(token, name="target"))
        output = replace(image, name="gradient")
    return Signature(inputs=inputs, outputs=(output, replace(state, name="next_state")))


class OpenEncoder:
    """The CNN with V_I: pixels to image vectors."""

    def __init__(self, session: Session, config: BundleConfig) -> None:
        self._session = session
        self._outputs = graph_signature(GraphRole.ENCODER, config).outputs

    def __call__(self, pixels: NDArray[np.uint8]) -> Floats:
        """uint8 [B, H, W, 3] -> float32 [B, M]. Raises NumericalError if one is not finite."""
        image: Floats
        (image,) = run_checked(self._session, self._outputs, {"pixels": pixels})
        # numpy sorts NaN as the largest and the smallest of all, so two look-ups find every fault.
        if len(image) and not (
            image.item(image.argmin()) > -np.inf and image.item(image.argmax()) < np.inf
        ):
            bad = np.flatnonzero(~np.isfinite(image).all(axis=1))
            raise NumericalError(
                f"the encoder gave numbers that are not finite for picture {bad[0]} of the batch; "
                "check the model with `mrnn-edge verify`"
            )
        return image


class OpenStep:
    """One recurrent step; a StepFunction of decode."""

    def __init__(self, session: Session, config: BundleConfig) -> None:
        self._session = session
        self._outputs = graph_signature(GraphRole.STEP, config).outputs
        self._names = [each.name for each in self._outputs]
        self._vocabulary = config.sizes.vocabulary

    def __call__(self, token: Ids, state: Floats, image: Floats) -> tuple[Floats, Floats]:
        """int64 [B], float32 [B, R], float32 [B, M] -> log_probs [B, V], next_state [B, R].

        Raises ValueError where lengths differ or a token is not of the vocabulary: ONNX Runtime
        would broadcast the one and count the other from the end.
        """
        check_rows(token, state, image)
        check_tokens(token, self._vocabulary)
        feeds = {"token": token, "state": state, "image": image}
        log_probs, next_state = self._session.run(self._names, feeds)
        rows = len(token)
        if log_probs.shape != (rows, self._vocabulary) or next_state.shape != state.shape:
            _check_outputs((log_probs, next_state), self._outputs, rows)
        return log_probs, next_state


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
            f"the {role} graph is {found}, expected {expected}; export the model again"
        )


def check_rows(token: Ids, state: Floats, image: Floats) -> None:
    """Raise ValueError unless token [B], state [B, R] and image [B, M] have one length B."""
    if not len(token) == len(state) == len(image):
        raise ValueError(
            f"{len(token)} tokens, {len(state)} states and {len(image)} images; "
            "expected one of each a hypothesis"
        )


def check_tokens(token: Ids, vocabulary: int) -> None:
    """Raise ValueError unless every id of int64 [B] is of the vocabulary."""
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
    """A session's answer about its graph, whose names and properties may not be text."""
    try:
        return ask()
    except ValueError as error:  # UnicodeDecodeError
        raise BundleError(
            f"the {role} graph has names that are not text ({error}); export the model again"
        ) from None


def run_checked(
    session: Session, outputs: Sequence[Tensor], feeds: Mapping[str, Any]
) -> list[Floats]:
    """Run a graph; check that its outputs are float32 [B, ...] for inputs [B, ...]."""
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
                f"expected float32 {list(expected)}; export the model again"
            )
