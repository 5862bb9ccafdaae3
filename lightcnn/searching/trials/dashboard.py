"""`lightcnn dashboard`: optuna-dashboard on a study, which it can read only, for this machine only."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from sqlalchemy import make_url

from lightcnn import interrupt
from lightcnn.errors import InputError
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trials.place import STORAGE_ERRORS
from lightcnn.searching.trials.shown_study import ShownStudies, StudyCopy
from lightcnn.searching.trials.storage import DAMAGES
from lightcnn.searching.trials.storage_url import require_storage_url, visible_url
from lightcnn.text import first_line

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")
"""Names of the server in a request. With another one, the page of another site may have sent it."""
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def run(target: str, *, port: int, on_ready: Callable[[str], object]) -> None:
    """Serves until a signal; `on_ready` is called with the address of the page.

    `target` is the run folder of a search or the URL of an Optuna storage. Raises: InputError if the study, the port or
    the extra is missing.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise InputError("dashboard: optuna-dashboard is not installed; pip install 'lightcnn[dashboard]'")
    from optuna_dashboard import wsgi

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="lightcnn-") as folder:
        app = read_only(wsgi(open_studies(target, Path(folder))))
        with _listen(app, port) as server:
            ended = threading.Event()
            with interrupt.ending(ended.set):
                threading.Thread(target=server.serve_forever, daemon=True).start()
                on_ready(f"http://{HOST}:{server.server_port}/")
                ended.wait()
            server.shutdown()


def open_studies(target: str, folder: Path) -> ShownStudies:
    """The studies of a run folder or of a storage; `folder` is for a copy of an SQLite file. Raises: InputError."""
    shown = visible_url(target) if "://" in target else target
    try:
        studies = _open(target, folder)
        for study in studies.get_all_studies():
            studies.get_all_trials(study._study_id)
    except (ImportError, *STORAGE_ERRORS, *DAMAGES) as error:
        cause = error.__cause__ or error
        reason = first_line(getattr(cause, "orig", cause))
        raise InputError(f"{shown}: not a study of Optuna that can be read ({reason})") from None
    return studies


def read_only(app: App) -> App:
    """The same application for requests that change nothing, and that no page of another site has sent."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").partition(":")[0] not in NAMES:
            return _refuse(start_response, "400 Bad Request", "unknown host; use the address that lightcnn printed")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start_response, "403 Forbidden", "lightcnn dashboard shows studies and changes nothing")
        return app(environ, start_response)

    return answer


def _open(target: str, folder: Path) -> ShownStudies:
    """The studies of a URL; those of an SQLite file, that of a run folder included, are read from a copy."""
    if "://" not in target:
        file = RunFolder.load(target) / "study.db"
        remedy = "name the run folder of a search, or the URL of a storage"
    elif target.startswith("grpc:"):
        raise InputError(f"{visible_url(target)}: a proxy; name the database behind it")
    elif not target.startswith("sqlite"):
        require_storage_url(target, "dashboard")
        return ShownStudies(target)
    else:
        file = Path(make_url(target).database or "")
        remedy = "name an SQLite file, as in sqlite:///study.db"
    if not file.is_file():
        raise InputError(f"{file}: not a file; {remedy}")
    copy = StudyCopy(file, folder)
    return ShownStudies(f"sqlite:///{copy.path}", copy)


def _refuse(start_response: Callable[..., Any], status: str, reason: str) -> list[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps({"reason": reason}).encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing for a request."""


def _listen(app: App, port: int) -> WSGIServer:
    """The server, bound to its port. Raises: InputError if the port cannot be used."""
    if not 0 <= port <= 65_535:
        raise InputError(f"--port {port}: must be a number from 0 to 65535; 0 chooses a free port")
    try:
        return make_server(HOST, port, app, server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise InputError(
            f"--port {port}: cannot be used ({error.strerror}); give another, or 0 for any that is free"
        ) from None
