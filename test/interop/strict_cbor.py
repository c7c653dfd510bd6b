"""Strict reading of the CBOR that SPEC.md section 4 allows.

Written from SPEC.md alone, so that it shares no misunderstanding with the C readers. It accepts
one encoding of each value and nothing else (SPEC 4-1 to 4-5). A map is returned as Pairs, not as a
dict: Python takes 1 and True for the same key, CBOR does not.
"""

MAX_DEPTH = 6  # SPEC 4-4


class Malformed(Exception):
    """Bytes that are not what section 4 allows."""


class Pairs(list):
    """A CBOR map: a list of (key, value)."""

    def as_dict(self):
        if not all(type(key) in (int, str) for key, _ in self):
            raise Malformed("a map key is neither a number nor text")
        return dict(self)


class _Reader:
    def __init__(self, data):
        self.data = data
        self.pos = 0

    def take(self, count):
        if len(self.data) - self.pos < count:
            raise Malformed("ends early at byte %d" % self.pos)
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def head(self):
        """Major type and argument; the shortest head, below 2^32 (SPEC 4-1, 4-3)."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        if info > 26:
            raise Malformed("a head of 8 bytes, reserved or indefinite at byte %d"
                            % (self.pos - 1))
        size = 1 << (info - 24)
        arg = int.from_bytes(self.take(size), "big")
        if major == 7 or arg < (24, 1 << 8, 1 << 16)[info - 24]:
            raise Malformed("not the shortest head before byte %d" % self.pos)
        return major, arg

    def item(self, depth=0, ordered=True):
        major, arg = self.head()
        if major == 0:
            return arg
        if major == 1:
            return -1 - arg
        if major == 2:
            return bytes(self.take(arg))
        if major == 3:
            try:
                return bytes(self.take(arg)).decode("utf-8", "strict")
            except UnicodeDecodeError as err:
                raise Malformed("text is not UTF-8") from err
        if major in (4, 5):
            if depth + 1 > MAX_DEPTH:
                raise Malformed("nests deeper than %d" % MAX_DEPTH)
            if major == 4:
                return [self.item(depth + 1, ordered) for _ in range(self._count(arg))]
            return Pairs((key, self.item(depth + 1, ordered))
                         for key, _ in self.keys(arg, depth, ordered))
        if major == 7 and arg in (20, 21):
            return arg == 21
        raise Malformed("major type %d, argument %d is not used" % (major, arg))

    def _count(self, arg):
        # An element is at least one byte: refuse a count that cannot be before looping over it.
        if arg > len(self.data) - self.pos:
            raise Malformed("counts more elements than there are bytes")
        return arg

    def keys(self, count, depth, ordered=True):
        """Yield (key, None) before each value; the caller reads the value in between."""
        last = None
        for _ in range(self._count(count)):
            start = self.pos
            key = self.item(depth + 1, ordered)
            raw = bytes(self.data[start:self.pos])
            if ordered and last is not None and raw <= last:
                raise Malformed("map keys are not in ascending order")
            last = raw
            yield key, None


def decode(data, depth=0, ordered=True):
    """The one item that `data` is; bytes left over are an error. `depth` is where it stands."""
    reader = _Reader(data)
    value = reader.item(depth, ordered)
    if reader.pos != len(data):
        raise Malformed("%d bytes behind the item" % (len(data) - reader.pos))
    return value


def decode_body(data, known):
    """A body (SPEC 4-1, 4-5, 4-6): {key: (encoding of the value, value)}."""
    reader = _Reader(data)
    major, count = reader.head()
    if major != 5:
        raise Malformed("a body is a map")
    items = {}
    for key, _ in reader.keys(count, 0):
        if type(key) is not int or not 1 <= key <= 63:
            raise Malformed("body key %r" % (key,))
        start = reader.pos
        value = reader.item(1, key in known)  # SPEC 4-12
        items[key] = (bytes(data[start:reader.pos]), value)
    if reader.pos != len(data):
        raise Malformed("%d bytes behind the map" % (len(data) - reader.pos))
    return items


def head(major, arg):
    """The shortest head; for joining encodings that are already at hand."""
    if arg < 24:
        return bytes([major << 5 | arg])
    for info, size in ((24, 1), (25, 2), (26, 4)):
        if arg < 1 << (8 * size):
            return bytes([major << 5 | info]) + arg.to_bytes(size, "big")
    raise ValueError("argument of 2^32 or more")
