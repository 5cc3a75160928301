# SPDX-License-Identifier: Apache-2.0
"""Writes v1.json from the description of format 1 in ../doc.go, without any of the Go code.

v1.json is frozen: stored envelopes look like it. Never regenerate it after a change of the Go code;
a changed format is version 2 and gets its own files beside these. Needs python3-cryptography.
"""
import base64, hashlib, hmac, json
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SCHEMA = b"lanyard/v1"
mac = lambda key, msg: hmac.new(key, msg, hashlib.sha256).digest()
extract = lambda ikm, salt: mac(salt or bytes(32), ikm)
expand = lambda prk, info, n: mac(prk, info + b"\x01")[:n]  # one block is enough everywhere
tlv = lambda *fields: b"".join(bytes([i]) + len(f).to_bytes(8, "big") + f for i, f in enumerate(fields, 1))


def kid(kek):
    return expand(extract(kek, None), SCHEMA + b"/kid", 8)


def seal(kek, rnd, org, secret, version, key, plaintext):
    dek, salt, wnonce, vnonce = rnd[:32], rnd[32:64], rnd[64:76], rnd[76:88]
    context = tlv(SCHEMA, org, secret, version.to_bytes(8, "big"), key)
    header = b"\x01\x01" + kid(kek)
    info = tlv(header, context)
    wrapped = AESGCM(expand(extract(kek, salt), SCHEMA + b"/wrap" + info, 32)).encrypt(wnonce, dek, info)
    commit = expand(dek, SCHEMA + b"/commit" + context, 16)
    value = AESGCM(expand(dek, SCHEMA + b"/enc" + context, 32)).encrypt(vnonce, plaintext, context)
    return header + salt + wnonce + wrapped + commit + vnonce + value


def record(kek, key, kind, payload):
    tag = mac(expand(extract(kek, None), SCHEMA + b"/mac", 32), SCHEMA + b"/rec" + tlv(key, kind, payload))
    return b"\x01" + kid(kek) + tag + payload


KEK = bytes(range(32))
ORG, SECRET = "018f2f4e-0000-7000-8000-000000000001", "018f2f4e-0000-7000-8000-000000000002"
envelopes, records = [], []
for i, (version, plaintext) in enumerate([
    (1, b""), (2, b"\x00"), (3, b"correct horse battery staple\r\n"), (2**64 - 1, bytes(range(256)) * 4),
]):
    key = f"/lanyard/v1/versions/{SECRET}/{version}"
    rnd = b"".join(hashlib.sha256(b"lanyard test vector %d.%d" % (i, j)).digest() for j in range(3))[:88]
    out = seal(KEK, rnd, ORG.encode(), SECRET.encode(), version, key.encode(), plaintext)
    envelopes.append(dict(org=ORG, secret=SECRET, version=str(version), key=key, random=rnd.hex(),
                          plaintext=plaintext.hex(), envelope=out.hex()))
for key, kind, payload in [
    ("/lanyard/v1/meta", "schema", b""), ("/lanyard/v1/orgs/a", "organization", b'{"slug":"a"}'),
    ("/lanyard/v1/orgs/b", "organization", bytes(range(256)) * 2),
]:
    records.append(dict(key=key, kind=kind, payload=payload.hex(),
                        record=record(KEK, key.encode(), kind.encode(), payload).hex()))
prk = extract(KEK, None)
json.dump(dict(
    comment="Frozen: data stored by every release looks like this. Never regenerate; a new format adds v2.json.",
    key_file=base64.b64encode(KEK).decode() + "\n", kid=kid(KEK).hex(), kcv=expand(prk, SCHEMA + b"/kcv", 16).hex(),
    derive_purpose="page token", derived=expand(prk, SCHEMA + b"/derive" + tlv(b"page token"), 32).hex(),
    envelopes=envelopes, records=records), open("v1.json", "w"), indent=1)
