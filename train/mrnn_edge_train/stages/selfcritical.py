"""The third stage: the language model learns from the CIDEr-D of captions that it samples.

    gradient of  -(1/N) sum over words (r(s) - mean of the other samples' r) log P(w_n)
                 + weight * (bits a word of the references)

The end sign counts as a word in w and in r; a sample that was cut off has none. Self-critical
training (Rennie et al. 2017) with the mean of a picture's other samples as baseline (Luo 2020). The
second term keeps it a model of probabilities; with `nothing` some references are scored on a blank
picture. The CNN, tuned or not, is frozen; with `crops` it encodes some crops of each picture before
the stage, and a step takes one of them or the whole picture.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mrnn_edge.bundle.config import ImageSpec
from mrnn_edge.image.read import read_pixels
from mrnn_edge.timing import Track, untracked
from mrnn_edge_train.data.common import CaptionedImage
from mrnn_edge_train.evaluation.reward import CiderReward
from mrnn_edge_train.journal import StageName
from mrnn_edge_train.network.cells import rows_of
from mrnn_edge_train.network.cost import bits_per_word
from mrnn_edge_train.network.encoders import EfficientNetLite
from mrnn_edge_train.network.model import MRNN
from mrnn_edge_train.network.tuning import features
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages.augment import Variation, nothing, variations, vary
from mrnn_edge_train.stages.batches import collate, collate_drawn
from mrnn_edge_train.stages.features import FeatureTable, compute_table
from mrnn_edge_train.stages.finetune import joint_weights
from mrnn_edge_train.stages.stages import Stage, TrainingData, measured
from mrnn_edge_train.stages.validation import DevFigures
from mrnn_edge_train.torch_device import moved

_LONGEST = 20
"""Longest sample in words; a longer one is cut off and has no end sign."""
_NOTHINGS = 512
"""Blank pictures that the CNN encodes before the stage; steps reuse them."""


class SelfCriticalStage(Stage[MRNN]):
    """The language model on vectors of the tuned CNN, or without one on those of the data."""

    name = StageName.SELF_CRITICAL

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        network: MRNN,
        cnn: EfficientNetLite | None,
        *,
        seed: int,
        track: Track = untracked,
    ) -> None:
        settings = recipe.self_critical
        if settings is None:
            raise ValueError("the recipe has no [self_critical]")
        steps = math.ceil(len(data.train) / settings.images)
        super().__init__(recipe, settings, data, network, steps=steps, seed=seed)
        self._rewarded = settings
        self._cnn = cnn
        barred = torch.tensor([data.vocabulary.start, data.vocabulary.unknown])
        self._barred = barred.to(data.device)
        train_table, self._dev_table = _tables(recipe, data, cnn, track)
        views = train_table.features[None]
        if settings.crops and cnn is not None and recipe.finetune is not None:
            how = variations(recipe.finetune, data.train, mirror=recipe.mirror)
            crops = _crops(cnn, data.train, how, count=settings.crops, seed=seed, track=track)
            views = np.concatenate([views, crops])
        # [views, pictures, D]: the whole picture, then its crops.
        self._views = torch.from_numpy(views)
        self._nothings = torch.empty(0, views.shape[2])
        if settings.nothing and cnn is not None:
            self._nothings = torch.from_numpy(_nothings(cnn, seed=seed))
        encode = data.vocabulary.encode
        self._sentences = [[encode(words) for words in image.sentences] for image in data.train]
        # The end sign counts in the reward, as in finished samples; otherwise stopping early, or
        # never, would cost nothing.
        end = (data.vocabulary.end,)
        self._reward = CiderReward([[(*ids, *end) for ids in group] for group in self._sentences])

    def costs(self, *, epoch: int, first: int) -> Iterator[Tensor]:
        """Costs [] over pictures in random order, each once with its samples and sentences."""
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self._sentences))
        views = random.integers(len(self._views), size=len(order))
        instead = self._instead(len(order), random)
        size, here = self._rewarded.images, self.data.device
        for step in range(first, self.steps):
            chosen = order[step * size : (step + 1) * size]
            vectors = self._views[views[chosen], chosen]
            scored = vectors.clone()
            unseen = instead[chosen] >= 0
            scored[unseen] = self._nothings[instead[chosen][unseen]]
            yield self._cost(chosen.tolist(), vectors.to(here), scored.to(here))

    def _instead(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """For each picture the number of the blank picture that replaces it, or -1: [count]."""
        if not len(self._nothings):
            return np.full(count, -1)
        numbers = random.integers(len(self._nothings), size=count)
        return np.where(random.random(count) < self._rewarded.nothing, numbers, -1)

    def _cost(self, chosen: list[int], vectors: Tensor, scored: Tensor) -> Tensor:
        """The cost of pictures by number: captions are sampled for `vectors` [N, D], references are
        scored on `scored` [N, D]."""
        settings, model, vocabulary = self._rewarded, self.network, self.data.vocabulary
        samples = self.sample(vectors)
        rewards = torch.tensor(
            [
                self._reward.score(picture, ids)
                for picture, group in zip(chosen, samples, strict=True)
                for ids in group
            ]
        ).to(vectors.device)
        here = vectors.device
        said = moved(collate_drawn([ids for group in samples for ids in group], vocabulary), here)
        logits = model(said.inputs, vectors.repeat_interleave(settings.samples, dim=0), said.mask)
        logits = self._may_be_said(logits)
        bits = functional.cross_entropy(logits, said.targets, reduction="none")
        advantage = advantages(rewards.view(-1, settings.samples)).flatten()
        gain = (advantage.repeat_interleave(said.mask.sum(dim=1)) * bits).mean()
        groups = [self._sentences[picture] for picture in chosen]
        batch = moved(collate([ids for group in groups for ids in group], vocabulary), here)
        rows = torch.tensor([row for row, group in enumerate(groups) for _ in group]).to(here)
        logits = model(batch.inputs, rows_of(scored, rows), batch.mask)
        cost = bits_per_word(logits, batch.targets, smoothing=settings.label_smoothing)
        return gain + settings.cost_weight * cost

    @torch.no_grad()
    def sample(self, vectors: Tensor) -> list[list[tuple[int, ...]]]:
        """Sampled ids for each vector of float32 [N, D]; the end sign is last unless cut off."""
        model, vocabulary, count = self.network, self.data.vocabulary, self._rewarded.samples
        model.eval()
        image = model.image_vector(vectors).repeat_interleave(count, dim=0)
        state = image.new_zeros(len(image), model.recurrent.state_size)
        here = image.device
        token = torch.full((len(image),), vocabulary.start, device=here)
        said = torch.full((len(image), _LONGEST), vocabulary.end, device=here)
        going = torch.arange(len(image), device=here)
        for at in range(_LONGEST):
            log_probs, state = model.step(token, state, image[going])
            token = drawn(self._may_be_said(log_probs).softmax(dim=-1))
            said[going, at] = token
            on = token != vocabulary.end
            going, token, state = going[on], token[on], state[on]
            if not len(going):
                break
        model.train()
        rows = said.cpu().tolist()
        samples = [tuple(row[: (*row, vocabulary.end).index(vocabulary.end) + 1]) for row in rows]
        return [samples[at : at + count] for at in range(0, len(samples), count)]

    def _may_be_said(self, logits: Tensor) -> Tensor:
        """Logits or log-probabilities [..., V] without the start and unknown words.

        The cost of samples needs this too. Otherwise lowering the sampled words raises the unknown
        word, which is never sampled and so never lowered: within three epochs it was the likeliest
        everywhere, dev perplexity 16 -> 250,000 (flickr8k-cider).
        """
        return logits.index_fill(-1, self._barred, -torch.inf)

    def measure(self, network: MRNN) -> DevFigures:
        """On the dev pictures' vectors."""
        return measured(network, self.recipe, self.data, self._dev_table)

    def weights(self, network: MRNN) -> dict[str, Tensor]:
        """The language model's weights by name, the tuned CNN's under `cnn.`."""
        return (
            dict(network.state_dict()) if self._cnn is None else joint_weights(network, self._cnn)
        )


def drawn(probabilities: Tensor) -> Tensor:
    """Sample a word for each row of probabilities [B, V] by inverting the CDF: int64 [B].

    torch.multinomial draws V numbers a row, which took a quarter of the stage's time.
    """
    upto = probabilities.cumsum(dim=-1)
    toss = torch.rand(len(upto), 1, device=upto.device) * upto[:, -1:]
    found = torch.searchsorted(upto, toss, right=True)[:, 0]
    return found.clamp(max=upto.shape[1] - 1)


def advantages(rewards: Tensor) -> Tensor:
    """Rewards [N, K] -> each minus the mean of the other K - 1: [N, K]."""
    count = rewards.shape[1]
    return rewards - (rewards.sum(dim=1, keepdim=True) - rewards) / (count - 1)


def _tables(
    recipe: Recipe, data: TrainingData, cnn: EfficientNetLite | None, track: Track
) -> tuple[FeatureTable, FeatureTable]:
    if cnn is None:
        return data.train_table, data.dev_table
    encoder = partial(features, cnn, bfloat16=False)
    size = recipe.image_size
    return (
        compute_table(encoder, data.train, size=size, mirror=False, track=track),
        compute_table(encoder, data.dev, size=size, mirror=False, track=track),
    )


def _nothings(cnn: EfficientNetLite, *, seed: int) -> NDArray[np.float32]:
    """The CNN's vectors of blank pictures of its own size: float32 [512, D]."""
    random = np.random.default_rng((seed, _NOTHINGS))
    found = np.empty((_NOTHINGS, cnn.feature), np.float32)
    for number in range(_NOTHINGS):
        pixels = torch.from_numpy(nothing(cnn.size, random)[None])
        with torch.inference_mode():
            found[number] = features(cnn, pixels, bfloat16=False)[0].cpu().numpy()
    return found


def _crops(
    cnn: EfficientNetLite,
    images: Sequence[CaptionedImage],
    how: Sequence[Variation],
    *,
    count: int,
    seed: int,
    track: Track,
) -> NDArray[np.float32]:
    """The CNN's vectors of `count` crops of each picture: float32 [count, N, D]."""
    spec = ImageSpec(height=cnn.size, width=cnn.size)
    found = np.empty((count, len(images), cnn.feature), np.float32)
    for number, image in enumerate(track(images, "crops", len(images))):
        random = np.random.default_rng((seed, number))
        pixels = read_pixels(image.path, spec)
        crops = [vary(pixels, how[number], random=random) for _ in range(count)]
        with torch.inference_mode():
            vectors = features(cnn, torch.from_numpy(np.stack(crops)), bfloat16=False)
        found[:, number] = vectors.cpu().numpy()
    return found
