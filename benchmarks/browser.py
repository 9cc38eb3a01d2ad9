"""Debian's Chromium, driven by Selenium without downloads, on pages that this machine serves."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
START_SECONDS = 60.0


@contextmanager
def served(store: Path, *, studies: Path | None = None) -> Iterator[str]:
    """The dashboard on `store` in a process of its own; yields its address."""
    code = "import sys; from pathlib import Path; from dashboard.serving.serve import serve; "
    code += f"sys.exit(serve(Path({str(store)!r}), {_any_port()}, False))"
    environment = {**os.environ, **({} if studies is None else {"MERGESCOPE_STUDIES": str(studies)})}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise RuntimeError(f"the dashboard did not start: {line!r}")
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=20)


def _any_port() -> int:
    """A port that nobody listens on, far from those that other servers on this machine try first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def browser(
    *, width: int = 1440, height: int = 900, dark: bool = False, language: str = "en", downloads: Path | None = None
) -> Iterator[webdriver.Chrome]:
    """A fresh browser with an empty profile."""
    if CHROMIUM is None or CHROMEDRIVER is None:
        raise RuntimeError("chromium and chromedriver are missing: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        own = (f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--accept-lang={language}")
        for switch in (*SWITCHES, f"--lang={language}", *own):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        options.add_experimental_option(
            "prefs", {"download.default_directory": str(downloads or profile), "download.prompt_for_download": False}
        )
        driver = webdriver.Chrome(options=options, service=Service(executable_path=CHROMEDRIVER))
        try:
            theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            yield driver
        finally:
            driver.quit()


def settled(driver: webdriver.Chrome, wanted: str, *, seconds: float = 40.0) -> None:
    """Wait until the CSS selector `wanted` is there and the page has stopped running.

    Raises TimeoutError naming what did not come.
    """
    deadline = time.monotonic() + seconds
    quiet = 0
    while time.monotonic() < deadline:
        there = driver.execute_script(
            "return !!document.querySelector(arguments[0]) && !document.querySelector('[data-stale=\"true\"]')"
            " && !document.querySelector('[data-testid=\"stStatusWidget\"]')",
            wanted,
        )
        quiet = quiet + 1 if there else 0
        if quiet >= 4:
            return
        time.sleep(0.15)
    raise TimeoutError(f"{wanted} did not settle within {seconds:.0f} s on {driver.current_url}")


def foreign_requests(driver: webdriver.Chrome) -> list[str]:
    """Addresses on other machines that the browser's pages asked for since the last call."""
    found = []
    for entry in driver.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(entry["message"])["message"]
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            url = message["params"].get("request", message["params"])["url"]
            parts = urlsplit(url)
            if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in ("127.0.0.1", "localhost"):
                found.append(url)
    return found
