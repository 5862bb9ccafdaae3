"""What strangers send: every response is a 4xx in one line, and the server continues to work."""

from __future__ import annotations

import ctypes
import io
import os
import random
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.mutations import mutated_bytes
from helpers.served import BOUNDARY, Client, form, image_bytes, serving
from PIL import Image

from lightcnn.data.preprocess import read_preprocess
from lightcnn.run_folder import RunFolder
from lightcnn.serving.explainers.explanations import Cancelled
from lightcnn.serving.job import make_api
from lightcnn.serving.settings import ServeSettings
from lightcnn.serving.uploads import Refused, Upload

FORM = f"multipart/form-data; boundary={BOUNDARY}"
CLEAR_PEAK = Path("/proc/self/clear_refs")
TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _alive(client: Client) -> Iterator[None]:
    """After every test the server predicts as before."""
    yield
    assert client.send("/predict", [("a.png", image_bytes())]).status == 200


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def compressed_zeros(count: int) -> bytes:
    packer = zlib.compressobj()
    return b"".join(packer.compress(bytes(10_000)) for _ in range(count // 10_000)) + packer.flush()


def bomb(width: int, height: int) -> bytes:
    """A PNG file of few bytes with that many black pixels."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = compressed_zeros((width // 8 + 2) * height + 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_chunk(kind: bytes, head: bytes, count: int) -> bytes:
    """A valid PNG file with a part that expands to so many bytes."""
    plain = image_bytes()
    return plain[:33] + chunk(kind, head + compressed_zeros(count)) + plain[33:]


POLYGLOT = b"GIF89a/*<script>alert(1)</script>*/" + image_bytes(kind="JPEG")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bomb.png", bomb(30_000, 30_000), "has more than 2 megapixels"),
        ("wide.png", bomb(2_000_001, 1), "has more than 2 megapixels"),
        ("empty.png", b"", "is not an image"),
        ("text.png", b"<html>", "is not an image"),
        ("polyglot.jpg", POLYGLOT, "is not an image"),
        ("cut.png", image_bytes()[:200], "is damaged"),
        ("cut.jpg", image_bytes(kind="JPEG")[:300], "is damaged"),
        ("a.jpg", image_bytes(kind="PNG"), "contains a PNG image; rename it to a.png"),
        ("a.tif", image_bytes(kind="TIFF"), "is not an image of a supported format (JPEG, PNG, WebP, BMP)"),
        ("vector.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not an image"),
        ("riff.webp", b"RIFF\x10\0\0\0WAVEfmt ", "is not an image"),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_files_that_are_no_images_are_refused(
    client: Client, path: str, name: str, content: bytes, message: str
) -> None:
    began = time.monotonic()
    answer = client.send(path, [(name, content)])
    assert answer.status == 422 and time.monotonic() - began < 5
    assert message in answer.json["error"] and answer.json["error"].startswith(name)
    assert "\n" not in answer.json["error"] and "Traceback" not in answer.json["error"]


def test_an_image_is_not_padded_to_a_huge_square(served_run: Path, settings: ServeSettings) -> None:
    """16 by 65,000 pixels would become 13 GB."""
    rule, image = read_preprocess(RunFolder.load(served_run) / "preprocess.json"), Upload("long.png", bomb(65_000, 16))
    assert image.decode(rule, settings.limits).pixels.shape == (16, 65_000, 1)
    with pytest.raises(
        Refused, match=r"^long\.png: would be padded to a square with a side of more than 4,000 pixels; crop"
    ):
        image.decode(rule.model_copy(update={"fit": "pad"}), settings.limits)


def test_an_image_with_something_behind_it_is_an_image_and_nothing_else(client: Client) -> None:
    plain, more = image_bytes(kind="JPEG"), image_bytes(kind="JPEG") + b"PK\x03\x04<?php system($_GET[0]); ?>"
    rows = client.send("/predict", [("a.jpg", plain), ("b.jpg", more)]).json["predictions"]
    assert rows[0]["probabilities"] == pytest.approx(rows[1]["probabilities"], abs=1e-6)


@contextmanager
def flat_memory(megabytes: float = 50) -> Iterator[None]:
    """Fails if the peak of this process's memory rises by more within the block."""
    if not CLEAR_PEAK.exists():
        pytest.skip("needs /proc to watch the memory")
    CLEAR_PEAK.write_text("5")
    before = peak_megabytes()
    yield
    assert peak_megabytes() - before < megabytes


def peak_megabytes() -> float:
    """The largest memory that was resident since it was cleared."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1000


def test_bombs_are_not_inflated(client: Client) -> None:
    """Neither pixels nor texts nor a colour profile, each of which would take 200 MB or more."""
    bombs = {"pixels": bomb(40_000, 40_000), "text": with_chunk(b"zTXt", b"Comment\0\0", 200_000_000),
             "profile": with_chunk(b"iCCP", b"icc\0\0", 200_000_000)}  # fmt: skip
    assert all(len(content) < 1_000_000 for content in bombs.values())
    with flat_memory():
        statuses = {name: client.send("/predict", [("a.png", content)]).status for name, content in bombs.items()}
    assert statuses["pixels"] == 422 and set(statuses.values()) <= {200, 422}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\\\windows\\\\a.png", "a.png"),
        ("/dev/zero", "zero"),
        ("x" * 500 + ".png", "x" * 96 + ".png"),
        ("%2e%2e%2fa.png", "%2e%2e%2fa.png"),
        ("\x1b[31m.png", "\\x1b[31m.png"),
        ("..", ".."),
    ],
)
def test_names_are_shown_and_never_paths(client: Client, name: str, shown: str) -> None:
    answer = client.send("/predict", [(name, image_bytes())])
    assert answer.status == 200 and answer.json["predictions"][0]["image"] == shown


@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/json", 415), ("text/plain", 415), ("image/png", 415), ("", 415), ("multipart/form-data", 400),
     ("multipart/form-data; boundary=" + "x" * 500, 400), ("multipart/form-data; boundary=other", 400)],
)  # fmt: skip
def test_a_body_of_another_type_is_refused(client: Client, kind: str, status: int) -> None:
    answer = client.ask("POST", "/predict", form([("a.png", image_bytes())], {}), Content_Type=kind)
    assert answer.status == status and answer.json["error"]


def test_a_file_with_another_content_type_is_refused(client: Client) -> None:
    body = form([("a.png", image_bytes())], {}, kind="text/html")
    answer = client.ask("POST", "/predict", body, Content_Type=FORM)
    assert answer.status == 415 and "has the content type text/html" in answer.json["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (form([], {}), "no image"),
        (form([], {"other": "1"}), "unknown field 'other'"),
        (form([("a.png", image_bytes())], {}, field="file"), "unknown file field 'file'"),
        (form([("a.png", image_bytes())] * 5, {}), "Too many files. Maximum number of files is 4."),
        (form([], {f"f{i}": "" for i in range(20)}), "Too many fields"),
        (form([("a.png", image_bytes())], {"abstain_below": "0" * 20_000}), "Part exceeded maximum size"),
        (b"", "no image"),
        (b"\0" * 1000, "the form cannot be read"),
        (form([("a.png", image_bytes())], {})[:-30], "no image"),
        (b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: form-data; name=" + b"n" * 100_000, "cannot be read"),
    ],
)
def test_forms_that_are_wrong_are_refused(
    client: Client, body: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = client.ask("POST", "/predict", body, Content_Type=FORM)
    assert answer.status == 400 and message in answer.json["error"]
    assert capfd.readouterr() == ("", "")


def test_a_field_twice_is_refused(client: Client) -> None:
    body = form([("a.png", image_bytes())], {"abstain_below": "0"}).replace(
        b'form-data; name="images"', b'form-data; name="abstain_below"\r\n\r\n1\r\n--'
        + BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; name="images"', 1
    )  # fmt: skip
    answer = client.ask("POST", "/predict", body, Content_Type=FORM)
    assert answer.status == 400 and "given twice" in answer.json["error"]


def test_two_gigabytes_are_refused_before_they_are_read(client: Client) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 2000000000\r\n\r\n"
    answer = client.raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 413") and b"the request has more than 4 MB" in answer


def test_two_gigabytes_without_a_length_end_at_the_limit(client: Client) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    start = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'.encode()
    part = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    sent = 0
    with flat_memory(), socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(head.encode() + f"{len(start):x}\r\n".encode() + start + b"\r\n")
        with pytest.raises(OSError):
            while sent < 2000:
                connection.sendall(part)
                sent += 1
        with connection.makefile("rb") as file:
            try:
                answer = file.read()
            except OSError:  # the rest that was sent lets the kernel drop what came back
                answer = b"HTTP/1.1 413"
    assert answer.startswith(b"HTTP/1.1 413") and sent < 100


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "1e3"])
def test_a_length_that_is_no_number_is_refused(client: Client, length: str) -> None:
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
    assert client.raw(head.encode())[9:12] in (b"400", b"413")


def test_a_slow_sender_is_refused_and_a_silent_one_closed(settings: ServeSettings) -> None:
    slow = replace(settings, limits=replace(settings.limits, upload_seconds=0.3))
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 5000\r\n\r\n--"
    with serving(make_api(slow), slow) as client:
        assert client.raw(head.encode()).startswith(b"HTTP/1.1 408")
        assert client.raw(b"GET / HTTP/1.1\r\nHost:") == b""
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
            for _ in range(2):  # heads that arrive in time, on one connection, and then one that does not
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert read_until(connection, b"}").startswith(b"HTTP/1.1 200")
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
            assert connection.recv(1) == b""
        assert client.send("/predict", [("a.png", image_bytes())]).status == 200


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """What arrives up to these bytes."""
    content = b""
    while not content.endswith(end):
        content += connection.recv(65_536)
    return content


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "localhost@evil", "[", "a b"]
)
def test_a_foreign_host_is_refused(client: Client, host: str) -> None:
    answer = client.ask("GET", "/model", Host=host)
    assert answer.status == 400 and "error" in answer.json


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:80"])
def test_hosts_of_this_machine_are_known(client: Client, host: str) -> None:
    assert client.ask("GET", "/healthz", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://localhost:1"}],
)  # fmt: skip
def test_other_sites_cannot_send_images(client: Client, headers: dict[str, str]) -> None:
    answer = client.send("/predict", [("a.png", image_bytes())], **headers)
    assert answer.status == 403 and "access-control-allow-origin" not in answer.headers
    assert client.ask("OPTIONS", "/predict", **headers).status in (403, 405)


def test_names_that_were_given_are_known(settings: ServeSettings) -> None:
    """Those of a proxy with TLS, whose page sends its own origin."""
    named = replace(settings, names=("Proxy.example", "other.example"), allow_remote=True)
    page = {"Host": "proxy.example", "Origin": "https://proxy.example", "Sec-Fetch-Site": "same-origin"}
    with serving(make_api(named), named) as client:
        assert client.send("/predict", [("a.png", image_bytes())], **page).status == 200
        assert client.send("/predict", [("a.png", image_bytes())], Host="other.example:81").status == 200
        assert client.ask("GET", "/model", Host="third.example").status == 400
        foreign = page | {"Origin": "https://third.example"}
        assert client.send("/predict", [("a.png", image_bytes())], **foreign).status == 403


def test_a_token_is_required_of_everything_that_depends_on_the_network(settings: ServeSettings) -> None:
    secret = replace(settings, token=TOKEN)
    with serving(make_api(secret), secret) as client:
        for path in ("/model", "/metrics", "/docs"):
            answer = client.ask("GET", path)
            assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.send("/predict", [("a.png", image_bytes())], Authorization="Bearer " + TOKEN[:-1]).status == 401
        assert client.send("/predict", [("a.png", image_bytes())], Authorization=f"Bearer {TOKEN}").status == 200
        assert [client.ask("GET", path).status for path in ("/", "/page.js", "/healthz")] == [200, 200, 200]


def test_every_answer_has_the_headers_and_no_cookie(client: Client) -> None:
    for answer in (client.ask("GET", "/"), client.ask("GET", "/x"), client.ask("GET", "/", Host="evil.example")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
        assert not {"set-cookie", "access-control-allow-origin", "server"} & answer.headers.keys()


def test_a_bug_is_answered_without_its_text(settings: ServeSettings, capfd: pytest.CaptureFixture[str]) -> None:
    api = make_api(settings)

    def broken(images: Any) -> Any:
        raise RuntimeError("secret of the patient")

    api.batcher._evaluate = broken
    with serving(api, settings) as client:
        answer = client.send("/predict", [("patient-name.png", image_bytes())])
    assert answer.status == 500 and answer.json == {"error": "internal error (RuntimeError)"}
    assert capfd.readouterr() == ("", "")


def test_over_capacity_is_answered_with_the_time_to_wait(settings: ServeSettings) -> None:
    small = replace(settings, limits=replace(settings.limits, waiting=1))
    api, released = make_api(small), threading.Event()
    evaluate = api.batcher._evaluate

    def slow(images: Any) -> Any:
        released.wait(10)
        return evaluate(images)

    api.batcher._evaluate = slow
    with serving(api, small) as client:
        first: list[int] = []
        thread = threading.Thread(
            target=lambda: first.append(client.send("/predict", [("a.png", image_bytes())]).status)
        )
        thread.start()
        while not api.batcher._waiting:
            time.sleep(0.01)
        answer = client.send("/predict", [("b.png", image_bytes())])
        released.set()
        thread.join()
        assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1 and first == [200]
        assert client.send("/predict", [("b.png", image_bytes())]).status == 200


def test_explanations_over_capacity_are_refused(settings: ServeSettings) -> None:
    small = replace(settings, limits=replace(settings.limits, explanations=1))
    api, released = make_api(small), threading.Event()
    explain = api.explanations.explainer.explain

    def slow(*arguments: Any) -> Any:
        released.wait(30)
        return explain(*arguments)

    api.explanations.explainer.explain = slow  # type: ignore[method-assign]
    with serving(api, small) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.send, "/explain", [("a.png", image_bytes())])
        while not api.explanations._count:
            time.sleep(0.01)
        answer = client.send("/explain", [("b.png", image_bytes())])
        released.set()
        assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1 and first.result().status == 200


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_an_explanation_ends_when_its_client_goes(settings: ServeSettings, kind: str) -> None:
    api, started, ends = make_api(settings), threading.Event(), list[str]()

    def endless(upload: Any, method: str, target: int | None, report: Callable[[int], None]) -> dict[str, Any]:
        started.set()
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                report(1)
                time.sleep(0.01)
        except Cancelled:
            ends.append("cancelled")
            raise
        return {}

    api.explanations.explainer.explain = endless  # type: ignore[method-assign]
    body = form([("a.png", image_bytes())], {})
    head = f"POST /explain HTTP/1.1\r\nHost: localhost\r\nAccept: {kind}\r\nContent-Type: {FORM}\r\n"
    with serving(api, settings) as client:
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert started.wait(10)
        while api.explanations._count:
            time.sleep(0.01)
    assert ends == ["cancelled"]


def test_too_many_requests_are_refused_with_the_time_to_wait(settings: ServeSettings) -> None:
    slow = replace(settings, limits=replace(settings.limits, requests_per_second=0.1))
    with serving(make_api(slow), slow) as client:
        first, second = (client.send("/predict", [("a.png", image_bytes())]) for _ in range(2))
        assert first.status == 200 and second.status == 429
        assert second.json == {"error": "more than 0.1 requests a second"}
        assert 1 <= int(second.headers["retry-after"]) <= 10


@contextmanager
def opened_for_writing() -> Iterator[list[str]]:
    """The names of all files that this process opens for writing within the block."""
    names: list[str] = []
    is_on = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on[0] and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            names.append(str(arguments[0]))

    sys.addaudithook(hook)  # a hook cannot be removed
    try:
        yield names
    finally:
        is_on[0] = False


def test_uploads_touch_neither_the_disk_nor_the_log(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    content = image_bytes(width=1200, height=1000, kind="BMP")
    assert len(content) > 3_000_000
    with opened_for_writing() as names:
        (tmp_path / "canary").write_text("x")
        assert names == [str(tmp_path / "canary")]
        assert client.send("/predict", [("name-of-a-patient.bmp", content)]).status == 200
        assert client.send("/explain", [("name-of-a-patient.bmp", content)]).status == 200
        assert client.send("/predict", [("name-of-a-patient.bmp", content[:-9])]).status == 422
    assert names == [str(tmp_path / "canary")] and [file.name for file in tmp_path.iterdir()] == ["canary"]
    assert capfd.readouterr() == ("", "")


def memory_megabytes() -> float:
    """The memory of this process that is resident, without what was freed but not returned yet."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def send_mutated(client: Client, count: int) -> set[int]:
    """The statuses of so many mutated files."""
    seeds = [image_bytes(kind=kind) for kind in ("PNG", "JPEG", "WEBP", "BMP")]
    statuses = set()
    for number in range(count):
        changed = mutated_bytes(seeds[number % 4], random.Random(number))
        answer = client.send("/predict", [("a", changed)])
        assert answer.status in (200, 422), (number, answer)
        assert "error" in answer.json or len(answer.json["predictions"]) == 1
        statuses.add(answer.status)
    return statuses


def test_mutated_files_are_predicted_or_refused(client: Client) -> None:
    assert send_mutated(client, 300) == {200, 422}


@pytest.mark.long
@pytest.mark.timeout(1800)  # 27 s on two idle cores
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_ten_thousand_mutated_files_need_no_more_memory(client: Client) -> None:
    send_mutated(client, 1000)
    before = memory_megabytes()
    assert send_mutated(client, 10_000) == {200, 422}
    assert memory_megabytes() - before < 50


def test_a_truncated_image_of_each_format_is_refused(client: Client) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        content = image_bytes(kind=kind)
        assert client.send("/predict", [("a", content[: len(content) // 2])]).status == 422
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, format="PNG")
    assert client.send("/predict", [("a", stream.getvalue())]).status == 200
