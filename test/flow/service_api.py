#!/usr/bin/python3
"""The service's API against its own description, docs/openapi.json.

usage: service_api.py roles|fuzz OPENAPI PORT ROOT.pem KEYS SERIAL [N]
    KEYS/ROLE.key for each role, KEYS/example.json with what the description's examples name; SERIAL: a device of the books
    roles: every role at every call: who may gets what is described, who may not 403, without a key 401
    fuzz:  N requests made up from the description: each answer is one that is described, none is an error of the
           service, and nothing of another role's is told
"""
import http.client
import json
import random
import re
import ssl
import sys
import time
import urllib.parse

ROLES = ("admin", "factory", "support", "auditor", "station", "device")
METHODS = ("get", "post", "put", "delete", "patch", "head")


class Api:
    def __init__(self, openapi, port, root, keys, serial):
        with open(openapi, encoding="utf-8") as file:
            self.doc = json.load(file)
        with open(keys + "/example.json", encoding="utf-8") as file:
            self.example = json.load(file)
        self.files = {}
        for name in ("EXPORT", "RESULTS"):
            with open(self.example[name], "rb") as file:
                self.files[name] = file.read()
        self.example["SERIAL"] = serial
        self.port = int(port)
        self.context = ssl.create_default_context(cafile=root)
        self.keys = {}
        for role in ROLES:
            with open(f"{keys}/{role}.key", encoding="ascii") as file:
                self.keys[role] = file.read().strip()
        self.conn = None
        self.operations = [(path, method, op) for path, all_ in self.doc["paths"].items() for method, op in all_.items()]
        for _, _, op in self.operations:
            for p in op["parameters"]:
                if p["name"] == "batch" and p["in"] == "path":
                    p["example"] = self.example["BATCH"]

    def ask(self, method, path, headers, body=None):
        for again in (True, False):
            try:
                if self.conn is None:
                    self.conn = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self.context)
                self.conn.request(method.upper(), path, body, headers)
                answer = self.conn.getresponse()
                data = answer.read()
                if answer.will_close:
                    self.conn.close()
                    self.conn = None
                return answer.status, answer.getheader("Content-Type", ""), data, answer
            except (OSError, http.client.HTTPException):
                self.conn = None
                if not again:
                    raise

    # ---- a small validator of JSON Schema, as far as the description uses it ----

    def fits(self, schema, value, where):
        if "$ref" in schema:
            return self.fits(self.doc["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], value, where)
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kind = {type(None): "null", bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}.get(
            type(value), "?")
        if kind not in types:
            return f"{where} is {kind}, not {types}"
        if "enum" in schema and value not in schema["enum"]:
            return f"{where} is {value!r}"
        if kind == "string" and schema.get("format") == "date-time" and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
            return f"{where} is no time: {value!r}"
        if kind == "array":
            return next((w for i, v in enumerate(value) if (w := self.fits(schema["items"], v, f"{where}[{i}]"))), None)
        if kind == "object":
            missing = [name for name in schema.get("required", ()) if name not in value]
            if missing:
                return f"{where} lacks {missing}"
            for name, v in value.items():
                if name not in schema["properties"]:
                    return f"{where}.{name} is not described"
                wrong = self.fits(schema["properties"][name], v, f"{where}.{name}")
                if wrong:
                    return wrong
        return None

    def described(self, op, status, kind, body):
        """None, or what the answer has that the description has not."""
        answer = op["responses"].get(str(status))
        if answer is None:
            return f"status {status} is not described"
        content = answer["content"]
        if kind not in content:
            return f"content type {kind!r} is not described for {status}"
        if "json" not in kind:
            return None
        value = json.loads(body)
        if status >= 400 and value.get("status") != status:
            return f"the problem says {value.get('status')}, the answer {status}"
        return self.fits(content[kind]["schema"], value, "body")

    def filled(self, value):
        """An example, with what it names."""
        if isinstance(value, list):
            return [self.filled(v) for v in value]
        return self.example.get(value, value) if isinstance(value, str) else value

    def url(self, path, op, values):
        query = []
        for p in op["parameters"]:
            value = values.get(p["name"], p["example"])
            value = self.example.get(value, value)
            if p["in"] == "path":
                path = path.replace("{%s}" % p["name"], urllib.parse.quote(str(value), safe=""))
            elif p["in"] == "query" and p["name"] in values:
                query.append((p["name"], str(value)))
        return path + ("?" + urllib.parse.urlencode(query) if query else "")


def body_of(api, op):
    """The example of a request's body, and its type; None: it has none."""
    if "requestBody" not in op:
        return None, "application/json"
    (kind, content), = op["requestBody"]["content"].items()
    if kind != "application/json":
        return api.files[content["example"]], kind
    value = content["example"]
    return json.dumps({name: api.filled(v) for name, v in value.items()}).encode(), kind


def made_up(rng, api, op):
    """A body that is sometimes right, and its type."""
    body, kind = body_of(api, op)
    if kind != "application/json":
        return (mutate(rng, body) if rng.random() < 0.8 else body), kind
    if rng.random() < 0.4:
        return body, kind
    content = op["requestBody"]["content"][kind]
    value = json.loads(body)
    station = api.example["STATION"]
    schema = api.doc["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
    for name, p in schema["properties"].items():
        pick = rng.random()
        if pick < 0.1:
            value.pop(name, None)
        elif pick < 0.3 and "enum" in p:
            value[name] = rng.choice(p["enum"])
        elif pick < 0.5:
            value[name] = rng.choice((1, 2, 0, -1, 4294967296, "3", "", None, 1.5, True, [], {}, 10 ** 30, "x" * 64, "x" * 300,
                                      "a\u0000b", "\u202e", [station], [station] * 9, ["00" * 32]))
    if rng.random() < 0.05:
        value["more"] = 1
    out = json.dumps(value).encode()
    return (mutate(rng, out) if rng.random() < 0.3 else out), kind


def roles(api):
    wrong = 0
    calls = 0
    for path, method, op in api.operations:
        for role in ROLES + (None, "nobody"):
            body, kind = body_of(api, op)
            headers = {"Content-Type": kind, "Idempotency-Key": "of-the-table-" + op["operationId"]}
            if role is not None:
                headers["Authorization"] = "Bearer " + api.keys.get(role, "A" * 26)
            values = {p["name"]: p["example"] for p in op["parameters"] if p["name"] not in ("after", "quarantine")}
            status, kind, data, _ = api.ask(method, api.url(path, op, values), headers, body)
            for _ in range(100):
                if status not in (202, 503):
                    break
                time.sleep(0.1)
                status, kind, data, _ = api.ask(method, api.url(path, op, values), headers, body)
            want = 401 if role not in ROLES else 2 if role in op["x-roles"] else 403
            said = api.described(op, status, kind, data)
            # the file of a batch may be another's way of making it
            ok = (status // 100 == 2 if want == 2 else status == want) and said is None
            calls += 1
            if not ok:
                wrong += 1
                print(f"{method} {path} as {role}: {status}, {said}, {data[:200]!r}")
    print(f"{len(api.operations)} calls x {len(ROLES) + 2}: {calls} answers, {wrong} wrong")
    return wrong


GARBAGE = ("", "0", "-1", "1", "500", "501", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e9",
           "0x10", " 1", "1 ", "NaN", "null", "true", "'", "\"", "%", "%00", "\x00", "..", "../../keys/root.key", "a/b", "?", "#",
           "&", ";", "\n", "é", "\u202e", "𝒳", "A" * 64, "A" * 65, "A" * 3000, "reserved", "issued", "re-struck", "Sensor",
           "' OR 1=1 --", "SN-%", "*", "[]", "{}")


def mutate(rng, data):
    out = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        how = rng.randrange(4)
        at = rng.randrange(len(out) + 1)
        if how == 0 and at < len(out):
            out[at] = rng.randrange(256)
        elif how == 1:
            out[at:at] = bytes([rng.randrange(256)])
        elif how == 2:
            del out[at:at + rng.randrange(1, 9)]
        else:
            out[at:at] = rng.choice(GARBAGE).encode()
    return bytes(out)


def value_of(rng, api, p):
    schema = p["schema"]
    pick = rng.random()
    if pick < 0.3:
        return api.filled(p["example"])
    if pick < 0.6 and "enum" in schema:
        return rng.choice(schema["enum"])
    if pick < 0.6 and schema["type"] == "integer":
        return rng.choice((schema["minimum"], schema.get("maximum", 9), rng.randrange(0, 40)))
    return rng.choice(GARBAGE)


def fuzz(api, n):
    rng = random.Random(20261129)
    counts = {}
    for i in range(n):
        path, method, op = rng.choice(api.operations)
        role = rng.choice(ROLES + (None, "nobody"))
        headers = {}
        if role is not None:
            headers["Authorization"] = rng.choice(("Bearer ", "bearer ")) + api.keys.get(role, "".join(
                rng.choice("ABCDEFGH234567") for _ in range(rng.choice((1, 26, 52, 300)))))
        values = {p["name"]: value_of(rng, api, p) for p in op["parameters"] if p["in"] == "path" or rng.random() < 0.5}
        url = api.url(path, op, values)
        if rng.random() < 0.1:
            url += rng.choice(("?", "&")) + rng.choice(("x=1", "limit", "limit=1&limit=2", "=", "&&", "from=1#2", "%zz=1"))
        how = method if rng.random() < 0.9 else rng.choice(METHODS)
        if how in api.doc["paths"][path]:
            method, op = how, api.doc["paths"][path][how]
        body = None
        if how == method and "requestBody" in op:
            body, right = made_up(rng, api, op)
            headers["Content-Type"] = rng.choice((right, right, "application/json; charset=utf-8", "text/plain"))
            if rng.random() < 0.9:
                headers["Idempotency-Key"] = rng.choice(("k%d" % rng.randrange(20), "x" * 65, "a b"))
        status, kind, data, answer = api.ask(how, url, headers, body)
        counts[status] = counts.get(status, 0) + 1
        said = None
        if status == 503:
            said = None if answer.getheader("Retry-After") else "503 without Retry-After"
        elif status >= 500:
            said = f"status {status}"
        elif how == method and status != 404 and status != 400:
            said = api.described(op, status, kind, data)
        elif kind and "json" in kind and how != "head":
            said = api.fits(api.doc["components"]["schemas"]["Problem"], json.loads(data), "body")
        if said is None and 200 <= status < 300 and (role not in op["x-roles"] or how != method):
            said = f"{status} for {role}"
        if said is not None:
            print(f"request {i}: {how} {url[:300]} as {role}: {status}: {said}: {data[:200]!r}")
            return 1
    print(f"{n} requests:", ", ".join(f"{c} x {s}" for s, c in sorted(counts.items())))
    return 0


def main():
    api = Api(*sys.argv[2:7])
    if sys.argv[1] == "roles":
        return 1 if roles(api) else 0
    return fuzz(api, int(sys.argv[7]))


if __name__ == "__main__":
    sys.exit(main())
