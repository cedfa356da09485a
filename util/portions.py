"""Files divided among tasks: large ones in parts, cut where the text allows, small ones together.

    parts = portions.split(session, paths, first_break)      # of util.spark.Session
    session.run(session.spread(list(portions.grouped(parts, 1 << 26))).map(read), "text")
"""

from util import files, text_lines

# Bytes of files, and how many files, that one task reads.
PORTION_BYTES, PORTION_FILES = 1 << 26, 1000
# Looks at a file that are a task.
PER_TASK = 100


def split(session, inputs, first_break):
    """Files -> [(Part, its bytes in the file)]: large ones are several parts if they can be.

    Args:
      session: util.spark.Session.
      inputs: paths that all workers reach.
      first_break: text_lines.Part -> the first position in it where it may be cut, or None.
    """
    sizes = session.run(session.spread(inputs, PER_TASK).map(files.size), "files")
    parts = []
    for path, size in zip(inputs, sizes):
        if text_lines.without_compression(path) != path:
            parts.append((text_lines.Part(path), size))
        else:
            edges = list(range(0, size, PORTION_BYTES)) + [size]
            parts += [(text_lines.Part(path, *edge), edge[1] - edge[0])
                      for edge in zip(edges, edges[1:])]
    inner = [part for part, _ in parts if part.begin]
    if not inner:
        return parts
    breaks = session.run(
        session.spread(inner, PER_TASK).map(first_break), "parts of files")
    return at_breaks(parts, dict(zip(inner, breaks)))


def at_breaks(parts, breaks):
    """[(text_lines.Part, bytes)] that end anywhere -> the same text in parts that end at breaks.

    `breaks`: {part that does not begin its file: first_break(part)}.
    """
    moved = []
    for part, size in parts:
        position = breaks.get(part, 0)
        if position is None:  # there is none in all of it
            previous, _ = moved.pop()
            moved.append((previous._replace(end=part.end), part.end - previous.begin))
            continue
        if position:
            previous, _ = moved.pop()
            moved.append((previous._replace(end=position), position - previous.begin))
            part, size = part._replace(begin=position), part.end - position
        moved.append((part, size))
    return moved


def grouped(parts, num_bytes):
    """[(Part, bytes)] -> lists of consecutive Parts, of that many bytes or of one Part."""
    portion, held = [], 0
    for part, size in parts:
        if portion and (held + size > num_bytes or len(portion) == PORTION_FILES):
            yield portion
            portion, held = [], 0
        portion.append(part)
        held += size
    if portion:
        yield portion
