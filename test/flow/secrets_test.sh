#!/bin/bash
# After a whole flow, every file that is left, and everything that was printed, is searched for every
# secret of every stamp and for the workspaces' keys, in every form that they are written in.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

mkdir run run/said run/tmp run/home
export TMPDIR=$scratch/run/tmp HOME=$scratch/run/home
cd run || exit 1
n=0
say() { # say COMMAND...: what it prints is kept to be searched
    n=$((n + 1))
    "$@" > "said/$n.out" 2> "said/$n.err"
}

check "init" say "$stamp" init desk --company Example --product Lamp
printf 'correct horse battery\n' > "$scratch/pass"
check "init --production" say sh -c \
    "'$stamp' init factory --production --passphrase-fd 3 3< '$scratch/pass'"
check "make" say "$stamp" -C desk make -n 3
check "make ihex" say "$stamp" -C desk make --format ihex -o one.hex
check "make pem" say "$stamp" -C desk make --format pem -o one.pem
check "make in production" say sh -c \
    "'$stamp' -C factory make -n 2 --passphrase-fd 3 3< '$scratch/pass'"
first=$(head -n 1 said/3.out | cut -f 1)
mapfile -t images < <(find desk/stamps factory/stamps -name '*.bin'; echo one.hex; echo one.pem)
check "there are images" test "${#images[@]}" = 7

for image in "${images[@]}"; do
    say "$stamp" show "$image"
    say "$stamp" show --json "$image"
    say "$stamp" verify "$image" --trust desk/root.pem
    say "$stamp" label "$image" -o "label-$(basename "$image").svg"
    say "$stamp" label "$image" -o "label-$(basename "$image").png"
done
(umask 077 && head -c 32 /dev/urandom > "$scratch/root.key")
check "flash" say "$stamp" -C desk flash "$first" --board qemu-riscv32 --flash-file plain.flash
check "flash encrypted" say "$stamp" -C desk flash "$first" --board qemu-riscv32 \
    --flash-file crypt.flash --root-key "$scratch/root.key"
check "flash with a command" say "$stamp" -C desk flash "$first" --exec 'wc -c {image}; false {image}; true'
# and what goes wrong
head -c 5000 "desk/stamps/$first.bin" > "$scratch/cut"
cp "desk/stamps/$first.bin" "$scratch/flipped"
printf x | dd of="$scratch/flipped" bs=1 seek=1500 conv=notrunc 2> /dev/null
for bad in cut flipped; do
    say "$stamp" show --secrets "$scratch/$bad"
    say "$stamp" verify "$scratch/$bad" --trust desk/root.pem
    say "$stamp" flash "$scratch/$bad" --board qemu-riscv32 --flash-file plain.flash
    say "$stamp" label "$scratch/$bad" -o bad.svg
done
say "$stamp" -C desk make --serial "$first"
say sh -c "ulimit -f 8; '$stamp' -C desk make"
say "$stamp" -C desk flash "$first" --board qemu-riscv32 --flash-file plain.flash --exec true
say sh -c "echo wrong | '$stamp' -C factory make --passphrase-fd 0"
say "$stamp" init desk

cat > "$scratch/search.py" << 'END'
"""Where is a secret? search.py STAMP IMAGE...: in nothing but what may hold it."""
import base64, json, os, re, stat, subprocess, sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key

stamp, *images = sys.argv[1:]
allowed_suffix = (".bin", ".hex", ".pem")  # images
keys = {"owner.key", "root.key", "sub-ca.key"}


def forms(raw):
    """A secret's bytes as they are, in hexadecimal, and in base64 wherever it begins."""
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        yield text[4:-4]


def scalar(key):
    return key.private_numbers().private_value.to_bytes(32, "big")


def secrets_of(image):
    run = subprocess.run([stamp, "show", "--json", "--secrets", image], capture_output=True,
                         check=True)
    shown = json.loads(run.stdout)
    hidden = json.loads(subprocess.run([stamp, "show", "--json", image], capture_output=True,
                                       check=True).stdout)
    name = image
    yield name + " proof", shown["proof_of_possession"].encode()
    yield name + " provisioning key", scalar(load_pem_private_key(
        shown["provisioning_key"]["private_key"].encode(), None))
    for full, bare in zip(shown["barcodes"], hidden["barcodes"]):
        if bare["payload"] is None:
            yield name + " barcode", full["payload"].encode()


def device_keys():
    """From the partitions themselves: no command shows them."""
    marker = bytes([0x18, 48, 0x83, 1, 0, 0x58, 32])
    for image in images:
        data = open(image, "rb").read()
        at = data.find(marker)
        if at >= 0:
            yield image + " device key", data[at + 7:at + 39]


def workspace_keys():
    for name in keys:
        with open("desk/keys/" + name, "rb") as file:
            yield "desk " + name, scalar(load_pem_private_key(file.read(), None))
        with open("factory/keys/" + name, "rb") as file:
            yield "factory " + name, scalar(load_pem_private_key(
                file.read(), b"correct horse battery"))


def may_hold(path, what):
    base, parts = os.path.basename(path), path.split("/")
    if "key" in what and what.split()[0] in ("desk", "factory"):
        # PEM, so only in base64 and only here; production's own are sealed
        return path == "./desk/keys/" + base and base in keys and what.startswith("desk")
    if base == "plain.flash" or (base.endswith(allowed_suffix) and "label" not in base):
        return True
    # a label shows its codes, not the bytes behind them; the text beside them is public
    return False


secrets = [s for image in images for s in secrets_of(image)]
secrets += list(device_keys()) + list(workspace_keys()) + [
    ("the passphrase", b"correct horse battery")]
needles = [(what, form) for what, raw in secrets for form in forms(raw) if len(form) >= 8]
found, files, held = 0, 0, set()
for folder, _, names in os.walk("."):
    for name in names:
        path = os.path.join(folder, name)
        data = open(path, "rb").read()
        flat = re.sub(rb"[\r\n]", b"", data)  # PEM breaks lines
        if data[:1] == b":":  # Intel HEX has bytes between the bytes
            flat = b"".join(line[9:-2] for line in data.splitlines() if line[7:9] == b"00")
        files += 1
        for what, needle in needles:
            if needle in data or needle in flat:
                held.add(what)
                if not may_hold(path, what):
                    print("FOUND", what, "in", path)
                    found += 1
        mode = stat.S_IMODE(os.stat(path).st_mode)
        secret_file = (name.endswith(allowed_suffix) and not name.startswith(("label", "root",
                       "sub-ca"))) or name.startswith("label") or name in keys or "flash" in name
        if secret_file and mode != 0o600:
            print("MODE", oct(mode), path)
            found += 1
print(len(secrets), "secrets,", len(needles), "forms,", files, "files,", len(held), "seen where they may be")
# The search itself works: each secret but the sealed ones was seen where it may be.
assert len(held) >= len(secrets) - 4, sorted({what for what, _ in secrets} - held)
assert files > 60
sys.exit(found != 0)
END
check "no secret is anywhere else" "${python[@]}" "$scratch/search.py" "$stamp" "${images[@]}"
check "nothing is left in the temporary directory" test -z "$(ls "$scratch/run/tmp")"
finish
