"""Schemes of tags, BIO, BMES and BIOES: from entities to tags and back.

    encode([Entity("PER", 1, 3)], 4, "BIO")    # ["O", "B-PER", "I-PER", "O"]
    decode(["O", "B-PER", "E-PER", "O"])       # [Entity("PER", 1, 3)]
"""

import collections
import re

from util.errors import UserError

from seqeval.metrics import sequence_labeling

# How a scheme writes an entity's first, inner and last unit, and an entity of one unit.
SCHEMES = {"BIO": "BIIB", "BMES": "BMES", "BIOES": "BIES"}
_TAG = re.compile(r"([BIMES])-(.+)\Z")

# The units begin, ..., end - 1.
Entity = collections.namedtuple("Entity", "type begin end")


def encode(entities, num_units, scheme):
    """Entities -> a list of tags: encode([Entity("PER", 1, 3)], 4, "BIO") -> [O, B-PER, I-PER, O].
    """
    first, inner, last, single = SCHEMES[scheme]
    tags = ["O"] * num_units
    for entity_type, begin, end in entities:
        tags[begin:end] = ["%s-%s" % (inner, entity_type)] * (end - begin)
        tags[end - 1] = "%s-%s" % (last, entity_type)
        tags[begin] = "%s-%s" % (first if end - begin > 1 else single, entity_type)
    return tags


def decode(tags):
    """A list of tags in any scheme -> entities, also of sequences that no scheme allows.

    As conlleval and seqeval: an entity that nothing begins is begun by its first inner tag (O
    I-PER; B-LOC I-PER), one that nothing ends is over where another type or O follows.
    """
    plain = ["I" + tag[1:] if tag[0] == "M" else tag for tag in tags]
    return [Entity(entity_type, begin, last + 1)
            for entity_type, begin, last in sequence_labeling.get_entities(plain)]


def tags_of(types, scheme):
    """All tags of some types of entities, "O" the first."""
    return ("O",) + tuple("%s-%s" % (prefix, entity_type) for entity_type in types
                          for prefix in sorted(set(SCHEMES[scheme])))


def outputs_of(labels, scheme):
    """What a head's outputs are called: a classification's labels, or with a scheme the tags of
    these types of entities."""
    return list(tags_of(labels, scheme)) if scheme else list(labels)


def split_tag(location, tag, scheme=None):
    """"B-PER" -> ("B", "PER"); a UserError if the scheme, or any without one, has no such tag."""
    match = _TAG.match(tag)
    if not match:
        raise UserError("%s: tag %r, expected O or one like B-PER (%s)" % (
            location, tag, "; ".join("%s: %s" % (name, _prefixes(name))
                                     for name in sorted(SCHEMES))))
    if scheme and match.group(1) not in SCHEMES[scheme]:
        raise UserError("%s: tag %r, expected the scheme %s (%s) of the training file or of "
                        "--scheme; convert the file or give another --scheme" % (
                            location, tag, scheme, _prefixes(scheme)))
    return match.groups()


def _prefixes(scheme):
    return ", ".join(sorted(set(SCHEMES[scheme])))


def recognize(path, first_tags):
    """The name of a file's scheme; a UserError where it mixes two.

    Args:
      first_tags: {prefix: (line number, tag) of its first}.
    """
    if "I" in first_tags and "M" in first_tags:
        (_, first), (number, second) = sorted((first_tags["I"], first_tags["M"]))
        raise UserError("%s line %d: tag %r, but %r above; expected one scheme, M- inside entities "
                        "(BMES) or I- (BIO, BIOES)" % (path, number, second, first))
    if "M" in first_tags:
        return "BMES"
    return "BIOES" if "E" in first_tags or "S" in first_tags else "BIO"
