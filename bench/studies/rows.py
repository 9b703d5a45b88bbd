"""The rows of a study: a file of JSON lines that only grows, under git."""

import json
import os

from studies import cells


class Rows:
    """Rows by key. Not for several processes at a time."""

    def __init__(self, path):
        self.path = path
        self.by_key = {}
        if path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                try:
                    row = json.loads(line)
                    self.by_key[row["key"]] = row
                except (ValueError, KeyError) as error:
                    # A line that a killed run left unfinished can only be the last one, and ends at once.
                    raise ValueError(f"{path}:{number} is not a row: remove that line") from error

    def append(self, row):
        """Writes a row, whole and on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(cells.canonical(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.by_key[row["key"]] = row

    def of(self, keys):
        """The rows of these keys, in their order; None stands for a key that is not known."""
        return [self.by_key[key] for key in keys if key in self.by_key]

