"""URLs of storages: their passwords are hidden, and those whose password could be shown elsewhere are refused."""

from __future__ import annotations

import pytest

from lightcnn.errors import InputError
from lightcnn.searching.trials.storage_url import bracketed, require_storage_url, visible_url


@pytest.mark.parametrize(
    ("url", "visible"),
    [
        ("postgresql+psycopg://anna:secret@db:5432/optuna", "postgresql+psycopg://anna:***@db:5432/optuna"),
        ("postgresql+psycopg://anna:se:c@ret@db:5432/optuna", "postgresql+psycopg://anna:***@db:5432/optuna"),
        ("postgresql+psycopg://anna:se/c?ret@db/optuna?a=b", "postgresql+psycopg://anna:***@db/optuna?a=b"),
        ("postgresql+psycopg://an@na:secret@db/optuna", "postgresql+psycopg://an@na:***@db/optuna"),
        ("postgresql+psycopg://an/na:secret@db/optuna", "postgresql+psycopg://an/na:***@db/optuna"),
        ("postgresql+psycopg://anna:secret@[::1]:5432/optuna", "postgresql+psycopg://anna:***@[::1]:5432/optuna"),
        ("postgresql+psycopg://anna:secret/optuna", "postgresql+psycopg://anna:***/optuna"),  # the host is missing
        ("postgresql+psycopg://[::1]:secret/optuna", "postgresql+psycopg://[::1]:***/optuna"),
        ("mysql://db/optuna?a=b&passwd=sec@ret&c=d", "mysql://db/optuna?a=b&passwd=***&c=d"),
        ("anna:sec://ret@db/optuna", "anna:***@db/optuna"),
        ("anna:secret@db/optuna", "anna:***@db/optuna"),
        ("postgresql:anna:secret@db/optuna", "postgresql:***@db/optuna"),
        ("postgresql+psycopg://anna@db:5432/optuna", "postgresql+psycopg://anna@db:5432/optuna"),
        ("grpc://[::1]:13000", "grpc://[::1]:13000"),
        ("grpc://host:99999", "grpc://host:99999"),
        ("sqlite:///folder/study.db", "sqlite:///folder/study.db"),
        ("moles.db", "moles.db"),
    ],
)
def test_the_password_is_hidden(url: str, visible: str) -> None:
    assert visible_url(url) == visible
    assert visible_url(visible) == visible


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql+psycopg://anna:sec@ret@db/x",
            "U postgresql+psycopg://anna:***@db/x: has more than one @; write each @ of the user name and of the "
            "password as %40",
        ),
        (
            "postgresql+psycopg://an@na:secret@db/x",
            "U postgresql+psycopg://an@na:***@db/x: has more than one @; write each @ of the user name and of the "
            "password as %40",
        ),
        (
            "postgresql+psycopg://anna@db/x?password=secret",
            "U postgresql+psycopg://...: the password must be before the @, where it is hidden in messages",
        ),
        (
            "postgresql+psycopg://db/x?PassWord=sec@r@et",
            "U postgresql+psycopg://...: the password must be before the @, where it is hidden in messages",
        ),
        (
            "postgresql+psycopg://anna:secret@db:q/x",
            "U postgresql+psycopg://anna:***@db:***/x: the port is not a number; write "
            "USER:PASSWORD@HOST:PORT/DATABASE, as in anna:PASSWORD@db.example.org:5432/optuna",
        ),
        (
            "postgresql+psycopg://anna:secret/x",
            "U postgresql+psycopg://anna:***/x: the port is not a number; write USER:PASSWORD@HOST:PORT/DATABASE, as "
            "in anna:PASSWORD@db.example.org:5432/optuna",
        ),
        (
            "postgresql+psycopg://anna:secret@db:65536/x",
            "U postgresql+psycopg://anna:***@db:65536/x: the port must be a number from 1 to 65535",
        ),
        (
            "postgresql+psycopg://anna:***@db/x",
            "U postgresql+psycopg://anna:***@db/x: *** hides the password; write the password there, or set "
            "LIGHTCNN_STORAGE",
        ),
    ],
)
def test_a_url_that_could_show_its_password_or_has_no_port_is_refused(url: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        require_storage_url(url, "U")
    assert str(error.value) == message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://anna:sec%40ret@db:5432/optuna",
        "postgresql+psycopg://anna:se/cr?et@db/optuna",
        "postgresql+psycopg://anna@[::1]:5432/optuna?sslmode=require",
        "postgresql+psycopg://db/optuna",
        "postgresql+psycopg:///optuna",
        "postgresql+psycopg://anna:secret@/optuna",
    ],
)
def test_other_urls_are_accepted(url: str) -> None:
    require_storage_url(url, "U")
    shown = visible_url(url)
    assert not any(part in shown for part in ("ret@", "cr?et"))
    assert shown.partition("?")[0].endswith("/optuna")


def test_an_address_of_ipv6_is_in_brackets() -> None:
    assert [bracketed(host) for host in ("::1", "[::1]", "127.0.0.1", "db")] == ["[::1]", "[::1]", "127.0.0.1", "db"]
