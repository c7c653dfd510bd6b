#!/usr/bin/python3 -B
"""spec/stamp.cddl and the tables of spec/SPEC.md name the same keys, regions and messages.

    cddl_keys_test.py SPEC.md stamp.cddl
"""

import re
import sys

from cddl import Schema


def rows(text, heading, section=""):
    """The cells of the first Markdown table behind `section` whose first column is `heading`."""
    lines = text[text.index("\n" + section if section else ""):].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| %s |" % heading))
    out = []
    for line in lines[start + 2:]:
        if not line.startswith("|"):
            return out
        out.append([cell.strip() for cell in line.strip("|").split("|")])
    return out


def map_keys(schema, rule):
    """{key: least} of a rule that is a map, groups in it included; literal keys only."""
    kind, body = schema.rules[rule]
    alternatives = body if kind == "group" else body[0][1]
    found = {}
    for alt in alternatives:
        for entry in alt:
            groups = schema._groups(entry)
            if groups is not None:
                name = entry[3][0][1]
                found.update({k: 0 for k in map_keys(schema, name)})
            elif entry[2][0] == "literal":
                found[entry[2][1]] = entry[0]
    return found


def check_bodies(spec, schema, wrong):
    table = {int(row[0]): row for row in rows(spec, "key")}
    for rule, region in (("birth-body", "birth"), ("bank-body", "bank")):
        mine = map_keys(schema, rule)
        theirs = {key for key, row in table.items() if region in re.findall(r"\w+", row[3])}
        if set(mine) != theirs:
            wrong.append("%s: keys %s, SPEC.md 4-10: %s" % (rule, sorted(mine), sorted(theirs)))
    needs = re.search(r"\*\*5-20\*\* A birth stamp holds keys ([0-9, and]+) at least", spec)
    needs = {int(n) for n in re.findall(r"\d+", needs.group(1))}
    mine = {key for key, least in map_keys(schema, "birth-body").items() if least}
    if mine != needs:
        wrong.append("birth-body: needs %s, SPEC.md 5-20: %s" % (sorted(mine), sorted(needs)))
    banks = re.search(r"\*\*6-1\*\* A bank of kind 2 holds keys ([0-9, and]+)", spec)
    banks = {int(n) for n in re.findall(r"\d+", banks.group(1))}
    if set(map_keys(schema, "bank-body")) != banks:
        wrong.append("bank-body and SPEC.md 6-1 differ")
    pending = re.search(r"\*\*13-10\*\*.*?its body holds keys ([0-9, and]+)", spec, re.S).group(1)
    if set(map_keys(schema, "pending-body")) != {int(n) for n in re.findall(r"\d+", pending)}:
        wrong.append("pending-body and SPEC.md 13-10 differ")
    order = {int(row[1]): row[2] for row in rows(spec, "name", "**14-4**")}
    if set(map_keys(schema, "order")) != set(order):
        wrong.append("order and SPEC.md 14-4 differ")
    for rule, sentence in (("offer", "13-5"), ("evidence", "13-12"), ("rotate-evidence", "16-6"), ("journal-entry", "15-2"),
                           ("journal-part", "15-9"), ("unit-payload", "17-2"), ("log-entry", "18-4"),
                           ("log-head-payload", "18-8")):
        text = re.search(r"\*\*%s\*\*(.*?)\*\*\d" % sentence, spec, re.S).group(1)
        named = {int(n) for n in re.findall(r"(?<![*\d])(\d+) =>", text)}
        named |= {int(n) for more in re.findall(r"(\d+(?:, \d+)+) =>", text)
                  for n in more.split(", ")}
        if set(map_keys(schema, rule)) != named:
            wrong.append("%s: %s, SPEC.md %s: %s" % (rule, sorted(map_keys(schema, rule)), sentence,
                                                   sorted(named)))
    claimed = {key for key in table if key <= 47}
    if set(map_keys(schema, "claims")) != claimed:
        wrong.append("claims: keys %s, SPEC.md 7-2: %s"
                     % (sorted(map_keys(schema, "claims")), sorted(claimed)))
    payload = re.search(r"\*\*8-2\*\*(.*?)\*\*8-3\*\*", spec, re.S).group(1)
    if set(map_keys(schema, "bundle-payload")) != {int(n) for n in
                                                  re.findall(r"(\d+) =>", payload)}:
        wrong.append("bundle-payload and SPEC.md 8-2 differ")


def check_messages(spec, schema, wrong):
    key = re.compile(r'"(\w+)" ?:')
    for prefix, section in (("", "## 10. "), ("strike-", "## 13. "), ("rotate-", "## 16. ")):
        for row in rows(spec, "id", section):
            verb = prefix + row[0].split()[1]
            for rule, cell in ((verb + "-request", row[2]), (verb + "-response", row[3])):
                mine = set(map_keys(schema, rule)) if rule in schema.rules else "none"
                if mine != set(key.findall(cell)):
                    wrong.append("%s: %s, SPEC.md %s: %s" % (rule, mine, section, key.findall(cell)))
    for rule, names in (("echo-request", {"d"}), ("echo-response", {"r"}),
                        ("rc", {"rc", "wait"}), ("possess-clear", {"pop"}),
                        ("possessed-clear", {"claimed", "serial"})):
        if set(map_keys(schema, rule)) != names:
            wrong.append("%s: %s" % (rule, map_keys(schema, rule)))
        if not all('"%s"' % name in spec for name in names):
            wrong.append("%s: SPEC.md does not name %s" % (rule, names))
    labels = {node[1].decode() for node in schema.rules["label"][1]}
    named = set(re.findall(r'"(devstamp \w+ 1)"', spec))
    signed = {name for name in named if re.search(r'label\s(of 6-2 )?(is\s)?"%s"' % name, spec)}
    if labels != signed:
        wrong.append("labels: %s, SPEC.md: %s" % (sorted(labels), sorted(signed)))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = file.read()
    with open(sys.argv[2], encoding="utf-8") as file:
        text = file.read()
    schema, wrong = Schema(text), []
    check_bodies(spec, schema, wrong)
    check_messages(spec, schema, wrong)
    cited = set(re.findall(r"(?<![-\d])\d{1,2}-\d+(?![-\d])", text))
    known = set(re.findall(r"\*\*(\d+-\d+)\*\*", spec))
    if not cited <= known:
        wrong.append("cites what SPEC.md does not have: %s" % sorted(cited - known))
    for line in wrong:
        print(line)
    print("%d rules, %d sentences cited, %d differences" % (len(schema.rules), len(cited),
                                                           len(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
