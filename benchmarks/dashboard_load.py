"""The pages on a big store: time to the first page, clicks, memory, several readers at once, beside a sweep.

    python -m benchmarks.dashboard_load [--store STORE] [--commits 60] [--work FOLDER]

Prints and writes benchmarks/results/dashboard_load.json with machine and versions. The store is `big_store`, or a copy
of the one given. Server-side time runs from the browser's message that asks for a page to the one that says all is
sent, as Chromium notes them: the first page of a fresh server (cold), the first of a fresh browser (warm), clicks and
filters on the pages. `users` are five sessions that speak Streamlit's protocol without a browser, each asking for
another view a second after it has one; `cpu_s` is what one of their views costs the server. Beside a sweep a process
commits 200 answers a second, as `store_readers` does. `holds_ms` says how long each query of a page keeps the store,
without anybody else. A busy machine shows in `load`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from duckdb import DuckDBPyConnection
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.big_store import JUDGE, STUDY, Size, make_big_store
from benchmarks.browser import browser, served, settled
from benchmarks.measured_on import cpu, versions
from benchmarks.visitor import visitor
from dashboard.store import answers, queries
from dashboard.store.reader import Reader
from dashboard.study import gates
from eval.pieces import read_outline, read_pieces
from eval.trust import calibrations

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "dashboard_load.json"
LIBRARIES = ("duckdb", "streamlit", "plotly", "numpy")
USERS = 5
TARGETS = {"cold_s": 1.5, "warm_s": 0.3, "click_p50_s": 0.3, "click_p95_s": 0.8, "memory_mb": 700, "hold_ms": 50}
"""At most; for several users at once twice the times."""
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("frontier", {}),
    ("frontier", {"pick": "0.45@2"}),
    ("frontier", {"pick": "0.5@1", "x": "usefulness"}),
    ("compare", {"sel": "0.3@1,0.6@1,1@1"}),
    ("compare", {"sel": "0.3@1,0.6@1,1@1", "diff": "1"}),
    ("compare", {"sel": "0.3@2,0.6@2", "kind": "harmful"}),
    ("failures", {"fault": "over_refusal", "pick": "0.65@2"}),
    ("failures", {"fault": "unsafe", "pick": "0.3@2"}),
    ("export", {"pick": "0.35@3"}),
)
"""What users look at, in turn."""


def runs(driver: webdriver.Chrome) -> list[float]:
    """Seconds of each run of a page since the last call, by the browser's own clock."""
    found: list[float] = []
    asked: float | None = None
    for entry in driver.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(entry["message"])["message"]
        if message["method"] not in ("Network.webSocketFrameSent", "Network.webSocketFrameReceived"):
            continue
        at, frame = message["params"]["timestamp"], message["params"]["response"]
        if frame["opcode"] != 2:
            continue
        payload = base64.b64decode(frame["payloadData"])
        if message["method"].endswith("Sent"):
            if BackMsg.FromString(payload).WhichOneof("type") == "rerun_script" and asked is None:
                asked = at
        elif asked is not None and _ends(payload):
            found.append(at - asked)
            asked = None
    return found


def _ends(payload: bytes) -> bool:
    message = ForwardMsg.FromString(payload)
    return (
        message.WhichOneof("type") == "script_finished" and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
    )


def first_page(address: str) -> float:
    """Seconds of the first Frontier page of a fresh browser."""
    with browser() as driver:
        driver.get(f"{address}/?lang=en")
        settled(driver, ".js-plotly-plot .scatterlayer .point")
        return runs(driver)[0]


def clicks(address: str, times: int) -> list[float]:
    """Seconds of every click and filter of some rounds through the pages."""
    found: list[float] = []
    with browser() as driver:
        for _ in range(times):
            for page, act in ACTIONS:
                if driver.current_url.partition("?")[0] != address + PLACES[page]:
                    driver.get(f"{address}{PLACES[page]}?lang=en")
                    settled(driver, READY[page])
                runs(driver)
                act(driver)
                settled(driver, READY[page])
                found += runs(driver)
    return found


PLACES = {"frontier": "/", "compare": "/compare", "failures": "/failures"}
READY = {
    "frontier": ".js-plotly-plot .scatterlayer .point",
    "compare": ".ms-card",
    "failures": ".js-plotly-plot .point",
}


def _choose(name: str, text: str) -> Callable[[webdriver.Chrome], None]:
    def act(driver: webdriver.Chrome) -> None:
        box = driver.find_element(By.CSS_SELECTOR, f".st-key-choice_{name} input")
        box.click()
        box.send_keys(text, Keys.ENTER)

    return act


def _click(selector: str) -> Callable[[webdriver.Chrome], None]:
    return lambda driver: driver.find_element(By.CSS_SELECTOR, selector).click()


def _click_point(number: int) -> Callable[[webdriver.Chrome], None]:
    def act(driver: webdriver.Chrome) -> None:
        points = driver.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .scatterlayer .point")
        ActionChains(driver).move_to_element(points[number]).pause(0.2).click().perform()

    return act


def _key(key: str) -> Callable[[webdriver.Chrome], None]:
    return lambda driver: driver.find_element(By.TAG_NAME, "body").send_keys(key)


ACTIONS: tuple[tuple[str, Callable[[webdriver.Chrome], None]], ...] = (
    ("frontier", _choose("pick", "r 0.45")),
    ("frontier", _choose("baseline", "base")),
    ("frontier", _choose("pick", "r 0.80")),
    ("frontier", _click_point(20)),
    ("compare", _click(".st-key-choice_diff label")),
    ("compare", _key("j")),
    ("compare", _key("j")),
    ("compare", _choose("kind", "harmful")),
    ("failures", _choose("fault", "un")),
    ("failures", _click_point(30)),
)
"""A page and what is done on it."""


def users(address: str, seconds: float) -> list[float]:
    """Seconds of the views of several sessions at once."""
    found: list[float] = []
    until = time.monotonic() + seconds

    def use(number: int) -> None:
        with visitor(address) as one:
            place = number  # so that they look at different things
            while time.monotonic() < until:
                page, query = VIEWS[place % len(VIEWS)]
                found.append(one.visit(page, **query).seconds)
                place += 1
                time.sleep(1.0)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(USERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@contextmanager
def sweep(store: Path, commits: int) -> Iterator[None]:
    """A process that commits about once a second, from the start of the block to its own end."""
    started = store.with_name("started")
    command = [sys.executable, "-m", "benchmarks.store_readers", "--write", store, started, "--commits", commits]
    process = subprocess.Popen([*map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not started.exists() and process.poll() is None:
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()
        started.unlink(missing_ok=True)


def server_of(address: str) -> Path:
    """The folder in /proc of the server's process."""
    port = str(urlsplit(address).port)
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().decode().split("\0")
        except OSError:
            continue  # it has ended
        if "--server.port" in words and port in words:
            return line.parent
    raise RuntimeError(f"no server on port {port}")


def memory_mb(process: Path) -> int:
    """The most that a process has had in memory."""
    lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) // 1024


def cpu_s(process: Path) -> float:
    """Seconds that a process has used so far, on all cores together."""
    user, system = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def holds(store: Path, times: int) -> dict[str, dict[str, float]]:
    """Milliseconds that each query of the pages, and each read of the boards, keeps the store."""
    reader = Reader(store)
    with reader.reading(0) as db:
        merges = [one.checkpoint_id for one in queries.checkpoints(db, STUDY) if one.ratio is not None]
        keys = [item.key for item in answers.items(db, STUDY)]
        outline = read_outline(db, STUDY, JUDGE)
    asked: dict[str, Callable[[DuckDBPyConnection], object]] = {
        "studies": queries.studies,
        "judges": lambda db: queries.judges(db, STUDY),
        "checkpoints": lambda db: queries.checkpoints(db, STUDY),
        "estimates": lambda db: queries.estimates(db, STUDY, JUDGE, "all", "all"),
        "grid": lambda db: queries.grid(db, STUDY),
        "calibrations": lambda db: calibrations(db, JUDGE),
        "items": lambda db: answers.items(db, STUDY),
        "answers of 4 checkpoints": lambda db: answers.said(db, STUDY, JUDGE, keys[7], merges[:4]),
        "300 texts": lambda db: answers.bodies(db, STUDY, merges[3], [(key, 0) for key in keys[:300]]),
        "merge setting": lambda db: queries.merge_setting(db, merges[0]),
        "gates": lambda db: gates.comparisons(db, STUDY, merges[0]),
        "board, outline": lambda db: read_outline(db, STUDY, JUDGE),
    }
    found: dict[str, list[float]] = {}

    def clocked(name: str) -> Any:
        @contextmanager
        def reading() -> Iterator[DuckDBPyConnection]:
            started = time.monotonic()
            with reader.reading(1.0) as db:
                yield db
            found.setdefault(name, []).append(time.monotonic() - started)

        return reading

    for _ in range(times):
        for name, query in asked.items():
            with clocked(name)() as db:
                query(db)
        read_pieces(clocked("board, all checkpoints"), STUDY, JUDGE, outline, list(outline.versions))
        read_pieces(clocked("board, one checkpoint"), STUDY, JUDGE, outline, list(outline.versions)[5:6])
    return {name: _spread(seconds, 1000) for name, seconds in found.items()}


def measured(store: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All of it, on one store, which grows."""
    cold = []
    for _ in range(arguments.rounds):
        with served(store) as address:
            cold.append(first_page(address))
    found: dict[str, Any] = {"holds_ms": holds(store, 5 * arguments.rounds), "cold_s": _spread(cold)}
    for name in ("quiet", "beside_a_sweep"):
        with served(store) as address, ExitStack() as stack:
            first_page(address)
            if name != "quiet":
                stack.enter_context(sweep(store, arguments.commits))
            server = server_of(address)
            warm = [first_page(address) for _ in range(arguments.rounds)]
            clicked = clicks(address, arguments.rounds)
            before = cpu_s(server)
            seen = users(address, arguments.seconds)
            found[name] = {
                "warm_s": _spread(warm),
                "click_s": _spread(clicked),
                "users_s": {**_spread(seen), "cpu_s": round((cpu_s(server) - before) / len(seen), 3)},
                "memory_mb": memory_mb(server),
            }
    return found


def _spread(values: Sequence[float], factor: float = 1) -> dict[str, float]:
    in_order = sorted(values)
    places = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {"n": len(values)} | {
        name: round(factor * in_order[min(len(in_order) - 1, int(share * len(in_order)))], 3)
        for name, share in places.items()
    }


def main() -> None:
    arguments = _arguments()
    started = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        store = Path(name) / "results.duckdb"
        if arguments.store:
            shutil.copy(arguments.store, store)
        else:
            make_big_store(store, Size(arguments.merges, arguments.prompts, references=True))
        found = measured(store, arguments)
    result = {
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "load": [round(started, 1), round(os.getloadavg()[0], 1)]},
        "versions": versions(LIBRARIES),
        "setting": {name: getattr(arguments, name) for name in ("merges", "prompts", "rounds", "seconds", "commits")},
        "targets": TARGETS,
        **found,
    }
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a store of benchmarks.big_store; it is copied")
    parser.add_argument("--merges", type=int, default=63)
    parser.add_argument("--prompts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3, help="fresh servers, fresh browsers, rounds of clicks [3]")
    parser.add_argument("--seconds", type=float, default=30.0, help="that five users look around [30]")
    parser.add_argument("--commits", type=int, default=600, help="of the sweep at most, about one a second")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", default=None, help="folder for the store, deleted afterwards")
    return parser.parse_args()


if __name__ == "__main__":
    main()
