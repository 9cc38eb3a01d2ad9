"""Pictures of the dashboard for the README: python -m benchmarks.screenshots [STORE]

Writes docs/img/frontier.png, compare.png, failures.png, judges.png and export.png at 1440 x 900, light, English. With
`--all FOLDER` every page in both languages, both themes and two sizes goes to FOLDER, to be looked at.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from benchmarks.browser import browser, served, settled

READY = {
    "frontier": ".js-plotly-plot",
    "compare": ".ms-card",
    "failures": ".js-plotly-plot",
    "judges": ".ms-table",
    "export": ".ms-table",
}
"""What each page shows last."""
ADDRESS = {"compare": "&kind=borderline&diff=1&sel=0.3,0.6,1", "failures": "&pick=0.6"}
"""Query parameters that make a telling picture."""
SIZES = ((1440, 900), (1024, 768))


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?", type=Path, default=Path("results.duckdb"))
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    with served(arguments.store) as address:
        if arguments.all is None:
            take(address, Path("docs/img"), SIZES[0], dark=False, language="en", suffix="")
            return
        for size, dark, language in product(SIZES, (False, True), ("en", "ja")):
            suffix = f"-{size[0]}-{'dark' if dark else 'light'}-{language}"
            take(address, arguments.all, size, dark=dark, language=language, suffix=suffix)


def take(address: str, folder: Path, size: tuple[int, int], *, dark: bool, language: str, suffix: str) -> None:
    """One picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    for page, ready in READY.items():
        with browser(width=size[0], height=size[1], dark=dark, language=language) as driver:
            place = "" if page == "frontier" else page  # the default page stands at the root
            driver.get(f"{address}/{place}?lang={language}{ADDRESS.get(page, '')}")
            settled(driver, ready)
            driver.save_screenshot(str(folder / f"{page}{suffix}.png"))


if __name__ == "__main__":
    main()
