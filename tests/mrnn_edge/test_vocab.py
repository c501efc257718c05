import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.errors import VocabularyMismatchError
from mrnn_edge.vocab import SpecialTokens, Vocabulary, build_vocabulary, tokenize


def test_tokens_are_lower_case_runs_of_letters_and_digits():
    assert tokenize("A dog's ball, #2: GO!") == ("a", "dog", "s", "ball", "2", "go")
    assert tokenize(" .,!? ") == ()


@given(st.text())
def test_tokenizing_twice_changes_nothing(text):
    once = tokenize(text)
    assert tokenize(" ".join(once)) == once


def test_the_vocabulary_keeps_words_seen_often_enough_most_frequent_first():
    sentences = [["a", "dog", "runs"], ["a", "dog"], ["a", "cat", "sits"], ["a", "cat"]]
    words = build_vocabulary(sentences, minimum_count=2).words
    assert words == ("<start>", "<end>", "<unk>", "a", "cat", "dog")


def test_words_that_the_vocabulary_lacks_become_the_unknown_word():
    vocabulary = build_vocabulary([["a", "dog"]], minimum_count=1)
    assert vocabulary.encode(["a", "zebra", "dog"]) == [3, vocabulary.unknown, 4]
    assert vocabulary.lacks(["zebra", "a", "yak", "zebra"]) == ("zebra", "yak")


def test_the_nearest_words_are_those_most_alike_and_never_a_special_token():
    vocabulary = build_vocabulary([["dog", "dogs", "foggy", "cat", "start"]], minimum_count=1)
    assert vocabulary.nearest("doggs") == ("dogs", "dog", "foggy")
    assert vocabulary.nearest("doggs", count=1) == ("dogs",)
    assert vocabulary.nearest("<start>") == ("start",)
    assert vocabulary.nearest("xylophone") == ()


@given(st.lists(st.sampled_from("abcdefgh"), max_size=20))
def test_known_words_survive_encoding_and_decoding(tokens):
    vocabulary = build_vocabulary(["abcdefgh"], minimum_count=1)
    assert vocabulary.decode(vocabulary.encode(tokens)) == tuple(tokens)


def test_the_json_form_is_the_list_of_words():
    vocabulary = build_vocabulary([["a", "dog"]], minimum_count=1)
    assert json.loads(vocabulary.to_json()) == list(vocabulary.words)


def test_a_word_that_stands_twice_is_refused_by_name():
    with pytest.raises(VocabularyMismatchError, match="'dog' twice"):
        Vocabulary(("<start>", "<end>", "<unk>", "dog", "cat", "dog"))


@pytest.mark.parametrize(
    ("words", "special"),
    [
        (("<start>", "<unk>", "dog"), SpecialTokens()),
        (("dog", "<start>", "<end>", "<unk>"), SpecialTokens()),
        (("<start>", "<end>", "<unk>"), SpecialTokens(start="<end>")),
        ((), SpecialTokens()),
    ],
)
def test_special_tokens_that_do_not_stand_first_are_refused(words, special):
    with pytest.raises(VocabularyMismatchError, match="expected the special tokens"):
        Vocabulary(words, special)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "Dog",
        "dog's",
        "hot dog",
        "dog\n",
        "\x1b[2J",
        "=1+1",
        "caf\u00e9",
        "\ud800",
        "\u0663",
        "<s>",
    ],
)
def test_a_word_that_the_tokeniser_does_not_give_is_refused_and_told_in_ascii(word):
    with pytest.raises(VocabularyMismatchError, match="word 4 of the vocabulary is") as refused:
        Vocabulary(("<start>", "<end>", "<unk>", "dog", word))
    assert ascii(word) in str(refused.value)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


def test_words_in_the_place_of_special_tokens_are_told_in_one_line_of_ascii():
    with pytest.raises(VocabularyMismatchError) as refused:
        Vocabulary(("<start>", "<end>", "\x1b[2J\n" + "\u00e9" * 1000))
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@given(st.lists(st.text(), max_size=5))
def test_a_vocabulary_of_any_text_that_was_tokenised_is_taken(texts):
    sentences = [tokenize(text) for text in texts]
    vocabulary = build_vocabulary(sentences, minimum_count=1)
    said = {word for words in sentences for word in words}
    assert set(vocabulary.words) - set(vocabulary.words[:3]) == said
