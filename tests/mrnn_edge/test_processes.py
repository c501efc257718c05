"""Forks, spawned workers, pickles and copies of a captioner, errors that cross processes."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import tiny
from conftest import noise_picture

from mrnn_edge import Captioner, errors
from mrnn_edge.bundle.folder import default_model, find_bundle

# In a process of its own: this one has threads, of the runtime and of other tests, and Python
# warns of a fork then.
FORK = """
import multiprocessing, sys
from mrnn_edge import Captioner
from mrnn_edge.errors import MrnnEdgeError

model, picture, loads = sys.argv[1], sys.argv[2], sys.argv[3]

def work(answers):
    try:
        mine = Captioner.load(model, device="cpu") if loads == "child" else captioner
        answers.put(mine.caption(picture).text)
    except MrnnEdgeError as error:
        answers.put(f"{type(error).__name__}: {error}")

if loads == "parent":
    captioner = Captioner.load(model, device="cpu", threads=2)
    captioner.caption(picture)
context = multiprocessing.get_context("fork")
answers = context.Queue()
child = context.Process(target=work, args=(answers,))
child.start()
print(answers.get(timeout=60))
child.join(60)
sys.exit(child.exitcode)
"""


def fork(model, picture, loads):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, model, picture, loads],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork"
)


@needs_fork
def test_a_captioner_loaded_before_a_fork_is_refused_in_the_child(bundle, picture):
    said = fork(bundle, picture, "parent")
    assert said.startswith("ForkedSessionError: ")
    assert "load it in the child" in said


@needs_fork
def test_a_captioner_that_the_forked_child_loads_itself_works(bundle, picture, captioner):
    assert fork(bundle, picture, "child") == captioner.caption(picture).text


def test_spawned_workers_get_a_captioner_and_caption_as_the_parent_does(bundle, tmp_path):
    captioner = Captioner.load(bundle, device="cpu", threads=1)
    pictures = [noise_picture(tmp_path / f"{seed}.png", seed=seed) for seed in range(3)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as workers:
        found = list(workers.map(captioner.caption, pictures, timeout=120))
    for caption, picture in zip(found, pictures, strict=True):
        expected = captioner.caption(picture)
        assert (caption.text, caption.log2_prob) == (expected.text, expected.log2_prob)


def test_a_pickle_holds_the_options_and_no_graph(bundle, monkeypatch):
    captioner = Captioner.load(bundle, device="cpu", precision="float32", threads=2, concurrency=2)
    data = pickle.dumps(captioner)
    assert len(data) < 1000
    wishes = {}
    load = Captioner.load
    monkeypatch.setattr(
        Captioner, "load", lambda model, **rest: wishes.update(rest, model=model) or load(model)
    )
    pickle.loads(data)
    assert wishes == {
        "model": str(bundle),
        "device": "cpu",
        "precision": "float32",
        "threads": 2,
        "concurrency": 2,
    }


def test_a_folder_named_from_where_one_stands_is_found_from_elsewhere(
    bundle, monkeypatch, tmp_path
):
    monkeypatch.chdir(bundle.parent)
    data = pickle.dumps(Captioner.load(bundle.name, device="cpu"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert pickle.loads(data).config.id == tiny.ID


def test_a_shipped_model_is_pickled_by_name_for_machines_that_have_it_elsewhere():
    captioner = Captioner.load(device="cpu", threads=1)
    data = pickle.dumps(captioner)
    assert default_model().encode() in data
    assert str(find_bundle(None).parent).encode() not in data


def test_a_model_that_was_replaced_since_is_refused(bundle):
    data = pickle.dumps(Captioner.load(bundle, device="cpu"))
    tiny.write(bundle, tiny.files(bundle_id="fedcba9876543210"))
    with pytest.raises(errors.BundleError, match="was replaced"):
        pickle.loads(data)


def test_a_copy_is_the_captioner_itself(captioner):
    assert copy.copy(captioner) is captioner
    assert copy.deepcopy([captioner])[0] is captioner


@pytest.mark.parametrize(
    "name", [name for name, each in vars(errors).items() if isinstance(each, type)]
)
def test_every_error_crosses_processes(name):
    kind = getattr(errors, name)
    error = kind("scipy", "eval") if kind is errors.MissingExtraError else kind("what; do this")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


def test_captions_cross_processes(captioner):
    caption = captioner.caption(np.zeros((tiny.SIDE, tiny.SIDE, 3), np.uint8), beam=2, nbest=2)
    assert pickle.loads(pickle.dumps(caption)) == caption
