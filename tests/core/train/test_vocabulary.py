import pytest

from moviegen_core.errors import ConfigError
from moviegen_core.models.text.tokenizer import LibraryTokenizer
from moviegen_core.train.vocabulary import COMMON_WORDS, SENTINELS, build_tokenizer, words_of

CAPTIONS = ["A quixotic ball, it bounces!", "A ball rolls."]


def test_words_come_most_frequent_first():
    assert words_of(CAPTIONS)[:2] == ["a", "ball"]


@pytest.mark.parametrize("family", ["t5", "clip"])
def test_every_caption_word_and_common_word_is_one_token(family):
    tokenizer = build_tokenizer(CAPTIONS, family, 1536)
    assert tokenizer.get_vocab_size() == 1536
    assert tokenizer.encode("A QUIXOTIC ball").tokens == ["▁a", "▁quixotic", "▁ball"]
    assert tokenizer.encode("FPS-16").tokens == ["▁fps-16"]
    assert all(len(tokenizer.encode(word).ids) == 1 for word in COMMON_WORDS)


def test_sentinels_are_the_last_ids_counted_down():
    tokenizer = build_tokenizer(CAPTIONS, "t5", 1536)
    assert [tokenizer.token_to_id(f"<extra_id_{index}>") for index in (0, SENTINELS - 1)] == [1535, 1536 - SENTINELS]


@pytest.mark.parametrize("text", ["zyzzyva", "🎈 שלום", "</s> <pad> <extra_id_0> <0x41>", "\ud800", "", "x" * 10_000])
def test_what_a_user_types_never_fails_and_never_gives_a_control_token(text):
    tokenizer = LibraryTokenizer(build_tokenizer(CAPTIONS, "t5", 1536), "t5")
    ids = tokenizer.encode(text)
    assert ids[-1] == 1
    assert all(3 <= index < 1536 - SENTINELS for index in ids[:-1])


def test_a_vocabulary_without_room_for_words_is_refused():
    with pytest.raises(ConfigError, match="at least 1024"):
        build_tokenizer(CAPTIONS, "t5", 400)
