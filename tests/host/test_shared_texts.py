"""Processes with a common parent show each other texts, and never see a part of one."""

import os

from thingmint.host.shared_texts import SharedTexts


def test_each_number_has_a_text_that_others_see_until_it_is_cleared() -> None:
    texts = SharedTexts(3, most_bytes=100)
    assert list(texts.others(1)) == []
    assert texts.write(2, b"two")
    assert texts.write(3, b"three")
    assert texts.write(2, b"two again")
    assert list(texts.others(1)) == [(2, b"two again"), (3, b"three")]
    assert list(texts.others(2)) == [(3, b"three")]
    assert not texts.write(3, bytes(101))
    assert texts.write(3, b"x" * 100)
    texts.clear(2)
    assert list(texts.others(1)) == [(3, b"x" * 100)]


def test_a_reader_sees_whole_texts_while_another_process_writes() -> None:
    texts = SharedTexts(2, most_bytes=10_000)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        for turn in range(3000):
            texts.write(2, bytes([turn % 256]) * (1 + turn % 9_999))
        os._exit(0)
    os.close(writer)
    seen = 0
    # The pipe ends when the writer has ended.
    os.set_blocking(reader, False)
    while True:
        for _, text in texts.others(1):
            assert len(set(text)) == 1
            seen += 1
        try:
            if not os.read(reader, 1):
                break
        except BlockingIOError:
            pass
    os.close(reader)
    assert os.waitpid(pid, 0)[1] == 0
    assert seen
    assert list(texts.others(1)) == [(2, bytes([2999 % 256]) * (1 + 2999 % 9_999))]
