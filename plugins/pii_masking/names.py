"""What a field is about, by its name: of headers, cookies, parameters, forms and JSON alike."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.services.masking import is_secret

_PLAIN: Final = str.maketrans("", "", "-_. []\"'\\")

_SECRET: Final = frozenset(
    [
        "authorization",
        "proxyauthorization",
        "cookie",
        "setcookie",
        "xapikey",
        "apikey",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "pass",
        "secret",
        "token",
        "bearer",
        "credential",
        "credentials",
        "auth",
        "otp",
        "totp",
        "pin",
        "pincode",
        "mfacode",
        "cvv",
        "cvc",
        "cvv2",
        "cvc2",
        "csc",
        "securitycode",
        "signature",
        "sig",
        "hmac",
        "session",
        "sessionid",
        "sid",
        "phpsessid",
        "jsessionid",
        "connectsid",
        "csrf",
        "csrftoken",
        "xsrftoken",
        "privatekey",
        "accesskey",
        "secretkey",
        "signingkey",
        "encryptionkey",
        "awssecretaccesskey",
        "xamzsecuritytoken",
        "xamzsignature",
        "xamzcredential",
        "xhubsignature",
        "xhubsignature256",
        "stripesignature",
        "assertion",
        "clientassertion",
        "samlresponse",
        "samlrequest",
        "refreshtoken",
        "idtoken",
        "codeverifier",
        "apitoken",
        "authtoken",
        "webhooksecret",
        "secretkeybase",
        "connectionstring",
        "dsn",
        "mysqlpwd",
        "pgpassword",
        # Passwords in other languages
        *("passwort", "kennwort", "passwor", "losung", "motdepasse", "passe", "mdp", "contrasena", "contrase\u00f1a"),
        *("senha", "haslo", "has\u0142o", "heslo", "jelszo", "parola", "wachtwoord", "losenord", "l\u00f6senord"),
        *("adgangskode", "passord", "salasana", "sifre", "\u015fifre", "palavrapasse", "clavesecreta", "geheim"),
    ]
)
_ENDINGS: Final = (
    "password",
    "passwd",
    "passwort",
    "kennwort",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "accesskey",
    "secretkey",
    "credential",
    "credentials",
    "sessionid",
    "cvv",
    "cvc",
    "signature",
    "authorization",
    "cookie",
)
_QUERY: Final = frozenset({"code", "state", "key", "ticket", "nonce"})
"""Secret as parameters of a URL; elsewhere these are words like any other."""
_HARMLESS: Final = frozenset({"nexttoken", "pagetoken", "nextpagetoken", "continuationtoken", "synctoken"})
_ABOUT: Final = {
    "email": "email mail emailaddress useremail contactemail recipient",
    "phone": "phone phonenumber mobile mobilephone mobilenumber tel telephone msisdn fax cell cellphone",
    "card": "card cardnumber creditcard creditcardnumber ccnumber ccnum pan primaryaccountnumber",
    "iban": "iban",
    "government_id": "ssn socialsecurity socialsecuritynumber taxid nationalid passport passportnumber nino nhsnumber"
    " driverlicense driverslicense driverlicence aadhaar pesel bsn cpf dni nie nif itin steuerid steuernummer"
    " sozialversicherungsnummer ahvnummer svnr nir insee codicefiscale personnummer personnr hetu henkilotunnus cprnr"
    " cprnummer fodselsnummer rodnecislo cnp amka tckimlik tckn curp cuit cuil rut tfn irdnumber mynumber rrn oib egn"
    " isikukood nric socialinsurancenumber medicarenumber idnumber personalid nationalidnumber identitycard ppsn",
    "personal": "firstname lastname surname givenname familyname fullname maidenname dob dateofbirth birthdate birthday"
    " street streetaddress homeaddress postaladdress addressline1 addressline2 latitude longitude",
    "address": "clientip remoteaddr remoteip ipaddress xforwardedfor xrealip forwarded",
}
_KNOWN: Final = {name: category for category, names in _ABOUT.items() for name in names.split()}


def plain_of(name: str) -> str:
    """A name without letter case and signs, as names are compared."""
    return name.lower().translate(_PLAIN)


_INNER: Final = re.compile(r"[.\[]([^.\[\]]{1,64})\]?\Z")
"""The last part of ``user.email``, ``user[email]``, ``http.request.header.x-mail``."""


@lru_cache(maxsize=4096)
def category_of(name: str, *, query: bool = False) -> str | None:
    """The category of what a field of this name holds; None for one that says nothing."""
    plain = plain_of(name)
    if plain in _SECRET or (query and plain in _QUERY):
        return "credential"
    if plain in _HARMLESS:
        return None
    if plain.endswith(_ENDINGS):
        return "credential"
    if (known := _KNOWN.get(plain)) is not None:
        return known
    if is_secret(plain):  # what never shows without this plugin does not show with it
        return "credential"
    inner = _INNER.search(name)
    return None if inner is None else category_of(inner[1], query=query)
