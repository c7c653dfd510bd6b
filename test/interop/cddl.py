"""As much of CDDL (RFC 8610) as spec/stamp.cddl needs: parse it, and match decoded CBOR.

Debian 12 has no CDDL tool. Supported: rules, group rules, maps, arrays, choices (/ and //),
occurrences, ranges, literals, and the controls .size, .regexp and .cbor. Values are as
strict_cbor returns them (a map is Pairs).
"""

import re

from strict_cbor import Malformed, Pairs, decode

TOKEN = re.compile(r"""(?:\s|;[^\n]*)*(?:
    (?P<hex>h'[0-9a-fA-F]*') | (?P<bytes>'[^']*') | (?P<text>"[^"]*") |
    (?P<num>-?\d+) | (?P<control>\.[a-z]+) | (?P<id>[A-Za-z_@$][A-Za-z0-9_@$-]*) |
    (?P<op>=>|//|\.\.|[=/:,?*+{}\[\]()]) | (?P<end>$))""", re.X)

PRELUDE = {"bool": lambda v: type(v) is bool, "tstr": lambda v: type(v) is str,
           "bstr": lambda v: type(v) is bytes, "true": lambda v: v is True,
           "false": lambda v: v is False,
           "uint": lambda v: type(v) is int and v >= 0, "int": lambda v: type(v) is int}


class Schema:
    """rules: name -> ("type", choices) or ("group", alternatives)."""

    def __init__(self, text):
        self.tokens, self.at, self.rules = _tokens(text), 0, {}
        while self._peek()[0] != "end":
            name = self._next("id")
            self._next("op", "=")
            if name in self.rules or name in PRELUDE:
                raise ValueError("rule '%s' is there twice" % name)
            # A rule in round brackets is a group; this file puts no type there.
            if self._take("("):
                self.rules[name] = ("group", self._group(")"))
            else:
                self.rules[name] = ("type", self._type())
        for name in self.used(self.rules):
            if name not in self.rules and name not in PRELUDE:
                raise ValueError("rule '%s' is missing" % name)

    # --- parser ---

    def _peek(self, ahead=0):
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def _take(self, op):
        if self._peek() == ("op", op):
            self.at += 1
            return True
        return False

    def _next(self, kind, value=None):
        token = self._peek()
        if token[0] != kind or value not in (None, token[1]):
            raise ValueError("token %d is %r, not %s" % (self.at, token, value or kind))
        self.at += 1
        return token[1]

    def _type(self):
        choices = [self._type1()]
        while self._take("/"):
            choices.append(self._type1())
        return choices

    def _type1(self):
        base = self._type2()
        if self._take(".."):
            return ("range", base[1], self._type2()[1])
        if self._peek()[0] == "control":
            control = self._next("control")
            if control not in (".size", ".regexp", ".cbor"):
                raise ValueError("control %s" % control)
            return ("control", base, control, self._type2())
        return base

    def _type2(self):
        kind, value = self._peek()
        if kind in ("num", "text", "bytes", "hex"):
            self.at += 1
            return ("literal", _literal(kind, value))
        if kind == "id":
            self.at += 1
            return ("name", value)
        if self._take("("):
            inner = self._type()
            self._next("op", ")")
            return ("choice", inner)
        if self._take("{"):
            return ("map", self._group("}"))
        self._next("op", "[")
        return ("array", self._group("]"))

    def _group(self, close):
        alternatives = [[]]
        while not self._take(close):
            if self._take("//"):
                alternatives.append([])
            else:
                alternatives[-1].append(self._entry())
                self._take(",")
        return alternatives

    def _entry(self):
        least, most = self._occurrence()
        if self._take("("):
            # A key in brackets, or a group; only the token behind the bracket tells.
            start = self.at
            try:
                inner = self._type()
                self._next("op", ")")
                self._next("op", "=>")
                return (least, most, ("choice", inner), self._type())
            except ValueError:
                self.at = start
                return (least, most, None, [("group", self._group(")"))])
        if self._peek()[0] in ("id", "text", "num") and self._peek(1) == ("op", ":"):
            kind, value = self._peek()
            self.at += 2
            key = value if kind == "id" else _literal(kind, value)
            return (least, most, ("literal", key), self._type())
        value = self._type()
        if self._take("=>"):
            if len(value) != 1:
                raise ValueError("a key is one type")
            return (least, most, value[0], self._type())
        return (least, most, None, value)

    def _occurrence(self):
        if self._take("?"):
            return 0, 1
        if self._take("+"):
            return 1, None
        low = high = None
        star = 1 if self._peek()[0] == "num" else 0
        if self._peek(star) != ("op", "*"):
            return 1, 1
        if star:
            low = int(self._next("num"))
        self._next("op", "*")
        if self._peek()[0] == "num" and self._peek(1) not in (("op", "=>"), ("op", ":")):
            high = int(self._next("num"))
        return low or 0, high

    def used(self, node):
        """All names that a parsed node refers to."""
        if isinstance(node, dict):
            node = list(node.values())
        if isinstance(node, tuple) and len(node) == 2 and node[0] == "name":
            return {node[1]}
        if isinstance(node, (list, tuple)):
            return set().union(*[self.used(part) for part in node])
        return set()

    # --- matching ---

    def matches(self, rule, value):
        return self._choice(self.rules[rule][1], value)

    def _choice(self, choices, value):
        return any(self._one(node, value) for node in choices)

    def _one(self, node, value):
        kind = node[0]
        if kind == "literal":
            return type(value) is type(node[1]) and value == node[1]
        if kind == "range":
            return type(value) is int and node[1] <= value <= node[2]
        if kind == "choice":
            return self._choice(node[1], value)
        if kind == "name":
            if node[1] in PRELUDE:
                return PRELUDE[node[1]](value)
            return self.matches(node[1], value)
        if kind == "control":
            return self._one(node[1], value) and self._control(node[2], node[3], value)
        if kind == "map":
            return (type(value) is Pairs
                    and any(not left for alt in node[1] for left in self._map(alt, list(value))))
        return (type(value) is list
                and any(end == len(value) for alt in node[1]
                        for end in self._array(alt, value, 0)))

    def _control(self, name, arg, value):
        if name == ".size":
            return self._one(arg, len(value.encode() if type(value) is str else value))
        if name == ".regexp":
            return re.fullmatch(arg[1], value) is not None
        try:
            return self._one(arg, decode(value))
        except Malformed:
            return False

    def _groups(self, entry):
        """The alternatives of an entry that is a group or the name of one, else None."""
        key, types = entry[2:]
        if key is not None or len(types) != 1:
            return None
        if types[0][0] == "group":
            return types[0][1]
        rule = self.rules.get(types[0][1]) if types[0][0] == "name" else None
        return rule[1] if rule and rule[0] == "group" else None

    def _map(self, entries, pairs):
        """Yields what is left of pairs when the entries have taken theirs."""
        if not entries:
            yield pairs
            return
        least, most, key, types = entries[0]
        alternatives = self._groups(entries[0])
        if alternatives is not None:
            if least == 0:
                yield from self._map(entries[1:], pairs)
            for alt in alternatives:
                for left in self._map(alt, pairs):
                    yield from self._map(entries[1:], left)
            return
        taken = [p for p in pairs if self._one(key, p[0]) and self._choice(types, p[1])]
        taken = taken[:most]
        if len(taken) >= least:
            yield from self._map(entries[1:], [p for p in pairs if p not in taken])

    def _array(self, entries, values, at):
        """Yields where the entries may end."""
        if not entries:
            yield at
            return
        least, most, _, types = entries[0]
        count = 0
        while True:
            if count >= least:
                yield from self._array(entries[1:], values, at)
            if count == most or at == len(values) or not self._choice(types, values[at]):
                return
            at, count = at + 1, count + 1


def _tokens(text):
    out, at = [], 0
    while True:
        match = TOKEN.match(text, at)
        if match is None:
            raise ValueError("line %d: no CDDL" % (text.count("\n", 0, at) + 1))
        out.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
        if match.lastgroup == "end":
            return out


def _literal(kind, value):
    if kind == "num":
        return int(value)
    if kind == "hex":
        return bytes.fromhex(value[2:-1])
    return value[1:-1] if kind == "text" else value[1:-1].encode()
