"""The gradient graph, which makes the short lists of searches. Opened only where it is used."""

from functools import partial

import numpy as np

from mrnn_edge.arrays import Floats, Ids
from mrnn_edge.bundle.config import BundleConfig, GraphRole, Precision
from mrnn_edge.bundle.folder import Bundle
from mrnn_edge.engine.device import CPU
from mrnn_edge.engine.graphs import check_rows, check_tokens, graph_signature, run_checked
from mrnn_edge.engine.runtime import STEP_THREADS, open_session
from mrnn_edge.engine.session import Session
from mrnn_edge.errors import NumericalError


class OpenGradient:
    """The slope of a step's log-probability in the image vector; a GradientFunction of index.

    It only makes short lists: its weights are stored as float16, its arithmetic is float32.
    """

    def __init__(self, session: Session, config: BundleConfig) -> None:
        self._session = session
        self._outputs = graph_signature(GraphRole.GRADIENT, config).outputs
        self._vocabulary = config.sizes.vocabulary

    def __call__(
        self, token: Ids, state: Floats, image: Floats, target: Ids
    ) -> tuple[Floats, Floats]:
        """d log P(target) / d image, and the next state; all floats are float32.

        int64 [B], [B, R], [B, M], int64 [B] -> [B, M], [B, R]. Raises ValueError where lengths
        differ or an id is not of the vocabulary, NumericalError for a slope that is not finite.
        """
        check_rows(token, state, image)
        check_rows(target, state, image)
        check_tokens(token, self._vocabulary)
        check_tokens(target, self._vocabulary)
        feeds = {"token": token, "state": state, "image": image, "target": target}
        gradient, next_state = run_checked(self._session, self._outputs, feeds)
        if not np.isfinite(gradient).all():
            raise NumericalError(
                "the gradient graph gave numbers that are not finite; verify the model"
            )
        return gradient, next_state


def open_gradient(bundle: Bundle, precision: Precision) -> OpenGradient:
    """Open the gradient graph and check it against its contract.

    Always on the CPU: it runs once a word of a query, for one image vector. Raises BundleError,
    SignatureError or VocabularyMismatchError.
    """
    session = open_session(
        bundle.config,
        GraphRole.GRADIENT,
        read=partial(bundle.graph, precision),
        metadata=bundle.metadata,
        device=CPU,
        threads=STEP_THREADS,
    )
    return OpenGradient(session, bundle.config)
