"""Pictures of the dashboard for the README: python -m benchmarks.screenshots [STORE]

Writes docs/img/frontier.png, compare.png, failures.png, judges.png and export.png at 1440 x 900, light, English. With
`--all FOLDER` every page in both languages, both themes and two sizes goes to FOLDER, to be looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
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
OTHERS = {"review": ".ms-note, .ms-notice", "runs": ".ms-table, .ms-notice"}
"""The same of pages that the README does not show."""
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
            told = {page: ADDRESS.get(page, "") for page in READY}
            take(address, told, Path("docs/img"), SIZES[0], dark=False, language="en", suffix="")
            return
        for size, dark, language in product(SIZES, (False, True), ("en", "ja")):
            suffix = f"-{size[0]}-{'dark' if dark else 'light'}-{language}"
            everything = dict.fromkeys(READY | OTHERS, "")
            take(address, everything, arguments.all, size, dark=dark, language=language, suffix=suffix)


def take(
    address: str,
    pages: Mapping[str, str],
    folder: Path,
    size: tuple[int, int],
    *,
    dark: bool,
    language: str,
    suffix: str,
) -> None:
    """One picture of each of some pages; pages: by name, query parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    for page, query in pages.items():
        with browser(width=size[0], height=size[1], dark=dark, language=language) as driver:
            place = "" if page == "frontier" else page  # the default page stands at the root
            driver.get(f"{address}/{place}?lang={language}{query}")
            settled(driver, (READY | OTHERS)[page])
            driver.save_screenshot(str(folder / f"{page}{suffix}.png"))


if __name__ == "__main__":
    main()
