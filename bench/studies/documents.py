"""Puts a study's report in its place in docs/results.md."""


def replace_section(text, title, body):
    """The document with `body` under the heading "## title", in place of what was there, or at the end."""
    section = f"## {title}\n\n{body.strip()}\n"
    lines = text.splitlines(keepends=True)
    heads = [i for i, line in enumerate(lines) if line.startswith("## ")] + [len(lines)]
    for begin, end in zip(heads, heads[1:]):
        if lines[begin].strip() == f"## {title}":
            rest = "".join(lines[end:])
            return "".join(lines[:begin]) + section + ("\n" if rest else "") + rest
    return text.rstrip("\n") + "\n\n" + section
