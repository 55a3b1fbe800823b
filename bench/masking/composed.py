"""What `pii_masking` promises, format by format, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.masking import values
from bench.masking.score import Row, rows_of

FRAMES: Final = (
    "{it}",
    "got {it} from the client",
    'value "{it}" is odd',
    "/users/{it}/orders",
    '{{"a":[1,"{it}"],"b":2}}'.replace("{{", "{").replace("}}", "}"),
    "({it})",
    "a={it}&b=2",
    "<a>{it}</a>",
    "x='{it}', y=2",
    "line one\n{it}\nline three",
)
NAMES: Final = [
    "password",
    "passwd",
    "pwd",
    "new_password",
    "currentPassword",
    "userPassword",
    "passphrase",
    "secret",
    "client_secret",
    "clientSecret",
    "token",
    "access_token",
    "accessToken",
    "refresh_token",
    "id_token",
    "auth_token",
    "csrf_token",
    "csrfToken",
    "xsrf-token",
    "api_key",
    "apiKey",
    "api-key",
    "x-api-key",
    "X-Auth-Token",
    "private_key",
    "privateKey",
    "secret_key",
    "secretKey",
    "aws_secret_access_key",
    "signing_key",
    "signature",
    "sessionid",
    "session_id",
    "JSESSIONID",
    "PHPSESSID",
    "connect.sid",
    "sid",
    "otp",
    "totp",
    "pin",
    "cvv",
    "cvc",
    "cvv2",
    "security_code",
    "credentials",
    "assertion",
    "client_assertion",
    "SAMLResponse",
    "code_verifier",
    "webhook_secret",
    "stripe-signature",
    "x-hub-signature-256",
    "X-Amz-Security-Token",
    "DB_PASSWORD",
    "POSTGRES_PASSWORD",
    "SECRET_KEY_BASE",
    "user[password]",
    "user.password",
]
WAYS: Final = (
    "{name}={it}",
    "a=b&{name}={it}&c=d",
    "GET /x?{name}={it} 200",
    '{"{name}":"{it}","n":1}',
    '{"a":{"{name}": "{it}"}}',
    "{'{name}': '{it}'}",
    '{\\"{name}\\":\\"{it}\\"}',
    "{name}: {it}",
    "<{name}>{it}</{name}>",
    "next=%2Fcb%3F{name}%3D{it}",
)
HARMLESS: Final = (
    "order [n 8]", "order [n 10] of [date]", "order no. [n 12]", "/orders/[n 9]", "orders [n 6]-[n 4]", "ORD-[n 8]",
    "PO [n 7]/[n 4]", "id=[uuid]", "([uuid])", "/v1/things/[uuid]/parts", "[uuid] [uuid]", '{"id":"[uuid]"}',
    "commit [commit]", "commit [commit 7]", "[commit 12] is a short hash", "tree/[commit]/src", "sha256:[commit 64]",
    '"[commit 32]"', "trace=[commit 32] span=[commit 16]", "at [time]", "[time] done", "since=[time]&until=[time]",
    "on [date] and [date]", "epoch [epoch]", "epoch [epoch][n 3] ms", "t=[epoch].[n 6]", "version [version]",
    "v[version]", "sidegate/[version] (linux)", "python-[version]-slim", "[version] -> [version]", "build [n 5]",
    "ulid [ulid]", "evt_[commit 24]", "cus_[commit 14]", "price [n 4].99 EUR", "EUR [n 3],50", "weight 12.5 kg",
    "12 of 4096", "1 234 567 bytes", "[n 7] rows in [n 3] ms", "10:15:30.123456", "range 1000-2000", "[n 3]/[n 4]",
    "page=[n 3]&size=50", "limit 100/60s", "port [n 4]", "pid [n 6]", "exit code 137", "0x7ffd5e8a1b2c", "1.5e-9",
    "std::vector<int>", "a::b", "::1", "listening on 127.0.0.1:8080", "http://10.1.2.3:9000 is down", "@todo later",
    "a @ b", "left-pad@1.3.0", "isbn 978-0-306-40615-7", "ean [n 13]", "row [n 14]", "seq [n 15]", "blob [n 20]",
    "token_type=bearer", "token bucket is empty", "tokens 17", "max_tokens=4096", "keyboard=us", "key=principal",
    "status code=200", "error code: 404", "the state: open", "author: ada", "pass 3 of 5", "signed off", "pinned to 3",
    "Basic authentication is off", "authorization failed for route orders", "no cookie", "secretary of state",
    "bearer of news", "session ended after [n 4] s", "password was changed", "eyJ begins a token", "sk-short",
    "npm_config_cache=/tmp", "AKIA is a prefix", "phone is off", "mobile view", "telemetry 12", "cell B12", "call 42",
    "-----BEGIN CERTIFICATE-----", "x-request-id: [uuid]", 'etag: W/"[commit 16]"', "retry-after: 120",
    "content-length: [n 6]", "user-agent: curl/8.[n 1].0", "accept-language: de-DE,de;q=0.9", "age: [n 5]",
    "Chrome/120.0.[n 4].[n 3]", "part AB-[n 4]-C", "serial SN[n 9]", "batch 20261121-[n 3]", "flight LH[n 3]",
    "room 12-34", "score 3:2", "ratio 16:9", "time 12:34", "MAC 00:1b:44:11:3a:b7", "css #a1b2c3", "lat 52.520008",
    "kafka [n 9] [n 2]", "offset=[n 10]", "bytes [n 6]-[n 7]/[n 8]", "etcd revision [n 8]", "table t_[n 8]",
    "Bestellung [n 9]", "Kunde Nr. [n 7]", "Rechnung RE[n 8]", "commande [n 10]", "pedido [n 8]", "zamowienie [n 9]",
    "sku 4006381333931", "tracking 1Z999AA10123456784", "DHL 00340434161094022115", "tax 19 %", "resident memory [n 8]",
)  # fmt: skip
_LOCAL: Final = {
    "de": "Telefon", "at": "Telefon", "ch": "Telefon", "fr": "portable", "es": "telefono", "pl": "telefon",
    "it": "cellulare", "br": "celular", "nl": "telefoon",
}  # fmt: skip
WORDS: Final = {
    "ar_cuit": "CUIT", "at_social": "SVNR", "au_medicare": "Medicare", "au_tfn": "TFN", "be_national": "rijksregister",
    "br_cpf": "CPF", "ca_sin": "SIN", "ch_ahv": "AHV", "cl_rut": "RUT", "cn_resident": "resident ID",
    "cz_birth": "rodne cislo", "de_social": "Versicherungsnummer", "de_tax": "Steuer-ID", "dk_cpr": "CPR",
    "es_dni": "DNI", "es_nie": "NIE", "fi_hetu": "hetu", "fr_nir": "NIR", "gb_nhs": "NHS number", "gb_nino": "NINO",
    "gr_amka": "AMKA", "ie_pps": "PPSN", "in_aadhaar": "Aadhaar", "in_pan": "PAN", "it_fiscal": "codice fiscale",
    "jp_number": "My Number", "kr_resident": "RRN", "mx_curp": "CURP", "nl_bsn": "BSN", "no_birth": "fodselsnummer",
    "nz_ird": "IRD", "pl_pesel": "PESEL", "pt_nif": "NIF", "ro_cnp": "CNP", "se_person": "personnummer",
    "sg_nric": "NRIC", "tr_identity": "TC kimlik", "us_ssn": "SSN", "za_identity": "ID number",
}  # fmt: skip
"""What people call the numbers, by the makers in `values.GOVERNMENT`."""


def _in(frames: tuple[str, ...], slots: Iterator[str], each: int) -> Iterator[str]:
    for number, slot in enumerate(slots):
        for turn in range(each):
            yield frames[(number * each + turn) % len(frames)].replace("{it}", slot)


def _slots() -> Iterator[str]:
    yield from (f"{{key {name}}}" for name in values.KEYS)
    yield from (f"{{pem {kind}}}" for kind in ("RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"))
    yield from ["{jwt}"] * 3
    yield from ["{email}"] * 6
    yield from (f"{{card {brand}{sign}}}" for brand in values.CARDS if " " not in brand for sign in ("", " s", " -"))
    yield from (f"{{iban {country}{sign}}}" for country in values.IBANS for sign in ("", " s"))


def _phones() -> Iterator[str]:
    for country, forms in values.PHONES.items():
        for number in range(len(forms)):
            yield f"{_LOCAL.get(country, 'phone')} {{phone {country} {number}}}"
    for country in ("us", "gb", "de", "fr"):
        yield from (f"reach me at {{phone {country} {number}}}." for number in range(len(values.PHONES[country])))


def sensitive() -> Iterator[str]:
    """Templates, each with something that must not survive."""
    yield from _in(FRAMES, _slots(), 2)
    for number, name in enumerate(NAMES):
        for turn in range(3):
            way = WAYS[(number * 3 + turn) % len(WAYS)]
            if "<" in way and not name.replace("_", "").isalnum():
                way = WAYS[0]
            yield way.replace("{name}", name).replace("{it}", "{named 12}" if turn else "{named}")
    yield from _phones()
    for name in values.GOVERNMENT:
        yield f"{WORDS[name]} {{gov {name}}} was refused"
        yield f"{WORDS[name]}: {{gov {name}}}"
    yield from ("client {ip4} left", "from {ip6} to us", "seen {ip4}, {ip4}", 'peer="{ip4}"')
    yield from (f"the {word} is {{entropy {size}}}" for word in ("secret", "api key", "token") for size in (33, 40, 44))


def rows() -> list[Row]:
    """All of it."""
    return rows_of(sensitive(), seed=1, times=1) + rows_of(HARMLESS, seed=2, times=2)
