"""Files of users: which hashes are taken, which are refused and where, and that a password is theirs."""

from __future__ import annotations

from pathlib import Path

import argon2
import pytest

from plugins.basic_auth.file import read_users, verifies

HERE = Path(__file__).parent
# As the documentation of Apache's httpd shows `htpasswd -nbB myName myPassword`.
APACHE = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC"
DEAR = APACHE.replace("$05$", "$16$")
HUGE = "$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b0dWRWJTmaaJObG"


def test_what_apache_makes():
    assert verifies(APACHE, b"myPassword")
    assert not verifies(APACHE, b"mypassword")


@pytest.mark.parametrize("kind", [argon2.Type.ID, argon2.Type.I, argon2.Type.D])
def test_argon2(tmp_path, kind):
    made = argon2.PasswordHasher(1, 64, 1, type=kind).hash("päss")
    (tmp_path / "users").write_text(f"a:{made}\n")
    assert read_users(tmp_path / "users")["a"].hash == made
    assert verifies(made, "päss".encode()) and not verifies(made, b"pass")


def test_users_and_groups():
    users = read_users(HERE / "users.htpasswd", HERE / "groups")
    assert sorted(users) == ["Aladdin", "jo\u00e9", "lon", "long", "test"]
    assert users["Aladdin"].groups == {"readers", "writers"} and users["lon"].groups == frozenset()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("a:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", r"\$apr1\$ hashes are not taken", id="MD5 of htpasswd"),
        pytest.param("a:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "{SHA} hashes are not taken", id="SHA-1 without salt"),
        pytest.param("a:rqXexS6ZhobKA", "neither", id="crypt"),
        pytest.param("a:$6$salt$hash", r"\$6\$", id="crypt with SHA-512"),
        pytest.param(f"a:{APACHE.replace('2y', '2x')}", r"\$2x\$", id="bcrypt as it was done wrong"),
        pytest.param("a:myPassword", "neither", id="a password in the open"),
        pytest.param("a:", "neither", id="no password"),
        pytest.param("a", "name:hash", id="no colon"),
        pytest.param(f":{APACHE}", "name:hash", id="no name"),
        pytest.param(f"a:{DEAR}", "cost", id="a cost that takes seconds"),
        pytest.param(f"a:{APACHE[:-1]}", "neither", id="half a hash"),
        pytest.param(f"a:{HUGE}", "at most 256 MiB", id="more memory than there is"),
        pytest.param("a:$argon2id$v=19$m=64", "cannot be read", id="half an Argon2"),
        pytest.param(f"b:{APACHE}\na:{APACHE}\nb:{APACHE}", "stands twice", id="a user twice"),
        pytest.param(f"jo\u00e9:{APACHE}\njoe\u0301:{APACHE}", "stands twice", id="a user twice, typed in two ways"),
    ],
)
def test_refused(tmp_path, line, why):
    path = tmp_path / "users"
    path.write_text(f"# first\n\n{line}\n")
    with pytest.raises(ValueError, match=why) as caught:
        read_users(path)
    at = 2 + len(line.split("\n"))
    assert str(caught.value).startswith(f"{path}:{at}: ")
    assert "myPassword" not in str(caught.value) and "HqJZ" not in str(caught.value) and "VBPu" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"a:\xff", "UTF-8", id="not text"),
        pytest.param(b"#" * (9 * 1024 * 1024), "larger", id="without end"),
        pytest.param(None, "No such file", id="not there"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, why):
    path = tmp_path / "users"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        read_users(path)


@pytest.mark.parametrize("line", ["readers", ": ada", "two words: ada"])
def test_groups_that_are_none(tmp_path, line):
    (tmp_path / "groups").write_text(line)
    with pytest.raises(ValueError, match="groups:1: expected group"):
        read_users(HERE / "users.htpasswd", tmp_path / "groups")


def test_line_ends_of_other_systems(tmp_path):
    (tmp_path / "users").write_bytes(f"\ufeffa:{APACHE}\r\n".encode())
    assert read_users(tmp_path / "users")["a"].hash == APACHE


def test_a_salt_that_only_looks_like_one_holds_nothing():
    assert not verifies("$2y$05$" + "." * 21 + "z" + "." * 31, b"x")
