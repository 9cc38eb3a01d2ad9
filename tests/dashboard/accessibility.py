"""axe-core in the browser: what it finds on a page, by rule and selector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from selenium import webdriver

SERIOUS = ("serious", "critical")
RUN = """
const done = arguments[arguments.length - 1];
const rows = (certain, rules) => rules.flatMap((rule) => rule.nodes.map((node) => ({
  rule: rule.id, impact: node.impact, certain, target: node.target.flat(9).join(' '), html: node.html.slice(0, 200),
  why: node.failureSummary || ''})));
const failed = (error) => done([{
  rule: String(error), impact: 'critical', certain: true, target: '', html: '', why: ''}]);
axe.run(document, {resultTypes: ['violations', 'incomplete'],
                   runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
  .then((found) => done([...rows(true, found.violations), ...rows(false, found.incomplete)]), failed);
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One element that breaks one rule."""

    rule: str
    impact: str
    """minor, moderate, serious or critical."""
    certain: bool
    """False: axe cannot tell, a person has to look."""
    target: str
    """CSS selector; parts of shadow roots follow each other."""
    html: str
    why: str

    @property
    def is_serious(self) -> bool:
        """Whether it hinders somebody."""
        return self.impact in SERIOUS


def findings(driver: webdriver.Chrome) -> Iterator[Finding]:
    """What axe finds against WCAG 2.2 A and AA, and best practice, on the page as it stands."""
    if not driver.execute_script("return !!window.axe"):
        driver.execute_script((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    for found in driver.execute_async_script(RUN):
        yield Finding(**found)
