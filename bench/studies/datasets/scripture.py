"""The King James Bible (1611, public domain) as sequences of characters, from Debian's package bible-kjv."""

import re
import shutil
import subprocess

import numpy as np

from studies import datasets

LENGTH = 128  # Characters of an example, each of which is to be told from those before it.
EVERY = 10  # One chapter of ten is for the test.
ALPHABET = " \n!'(),-.:;?" + "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TRAIN_CHARACTERS, TEST_CHARACTERS = 1_000_000, 250_000  # More would make the study longer.

CHAPTER = re.compile(r"^\s*(?:[1-3] )?[A-Z][A-Za-z ]+ \d+\s*$", re.MULTILINE)
VERSE = re.compile(r"\s*\n\s+\d+ ")


def read_text():
    """What Debian's program `bible` prints of the whole book."""
    program = shutil.which("bible")
    if program is None:
        raise datasets.DataMissing("the program `bible` is missing: install Debian's package bible-kjv")
    done = subprocess.run([program, "genesis1:1-revelation22:21"], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise datasets.DataMissing(f"`bible` ended with {done.returncode}: {done.stderr}")
    return done.stdout


def chapters_of(text):
    """The chapters of what `bible` prints: a line for each verse, without names and numbers."""
    found = []
    for chapter in CHAPTER.split(text)[1:]:
        verses = [" ".join(verse.split()) for verse in VERSE.split("\n" + chapter)]
        found.append("".join(verse + "\n" for verse in verses if verse))
    return found


def encode(text):
    """Ids of characters; ValueError names one that the alphabet lacks."""
    ids = {character: i for i, character in enumerate(ALPHABET)}
    if unknown := set(text) - ids.keys():
        raise ValueError(f"the text has characters that the alphabet lacks: {sorted(unknown)}")
    return np.array([ids[character] for character in text], np.uint8)


def sequences(ids):
    """Arrays x and y of examples that follow one another; y is x one character later."""
    count = (len(ids) - 1) // LENGTH
    return {"x": ids[:count * LENGTH].reshape(count, LENGTH), "y": ids[1:count * LENGTH + 1].reshape(count, LENGTH)}


def scripture():
    """About 7,800 training and 1,950 test examples of 128 characters."""
    chapters = chapters_of(read_text())
    train = "".join(chapter for i, chapter in enumerate(chapters) if i % EVERY != 0)
    test = "".join(chapter for i, chapter in enumerate(chapters) if i % EVERY == 0)
    return {"train": sequences(encode(train)[:TRAIN_CHARACTERS]), "test": sequences(encode(test)[:TEST_CHARACTERS])}
