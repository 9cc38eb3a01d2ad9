"""Two ways of using the pages in a browser: with a mouse, and by keyboard alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

FIND = """
const within = (root) => {
  for (const one of root.querySelectorAll(arguments[0]))
    if (!arguments[1] || one.textContent.trim() === arguments[1]) return one;
  for (const one of root.querySelectorAll('*')) {
    const deeper = one.shadowRoot && within(one.shadowRoot);
    if (deeper) return deeper;
  }
  return null;
};
return within(document);
"""
"""The first element of a CSS selector with a text, in the shadow of components too."""
REACHED = """
let one = document.activeElement;
while (one && one.shadowRoot && one.shadowRoot.activeElement) one = one.shadowRoot.activeElement;
return one === arguments[0] && one.matches(':focus-visible');
"""
SHOWN = """
const shown = arguments[0].type === 'checkbox' ? arguments[0].closest('label') : arguments[0];
shown.scrollIntoView({block: 'center'});
return shown;
"""
"""What of an element is there to be clicked: Streamlit draws boxes beside the input."""
BOX = "return document.activeElement.tagName === 'INPUT'"
TRIES = 5
LONGEST_WAY = 400
"""Presses of Tab from one thing to any other of a page."""


class Hand(Protocol):
    """Somebody who uses a page."""

    driver: webdriver.Chrome

    def press(self, selector: str, text: str = "") -> None:
        """Press a button, link or box, once it is there and can be pressed."""

    def write(self, selector: str, text: str) -> None:
        """Replace what stands in a field, and leave it."""

    def choose(self, name: str, text: str) -> None:
        """Pick the first option with `text` in it from a select box, by what the page calls the choice."""

    def close(self) -> None:
        """Close what has opened over the page."""


class Mouse:
    """Clicks, and writes where it has clicked."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def press(self, selector: str, text: str = "") -> None:
        for _ in range(TRIES):
            with suppress(StaleElementReferenceException):  # the page was drawn again before the click
                element = self.driver.execute_script(SHOWN, _ready(self.driver, selector, text))
                ActionChains(self.driver).move_to_element(element).click().perform()
                return
        raise AssertionError(f"{selector} {text} does not stand still on {self.driver.current_url}")

    def write(self, selector: str, text: str) -> None:
        self.press(selector)
        _replace(self.driver, text)

    def choose(self, name: str, text: str) -> None:
        self.press(f".st-key-choice_{name} input")
        ActionChains(self.driver).send_keys(text, Keys.ENTER).perform()

    def close(self) -> None:
        self.press(".ms-strip")


class Keyboard:
    """Reaches everything with Tab, sees where it is, and presses Enter or the space bar."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def press(self, selector: str, text: str = "") -> None:
        self._reach(selector, text)
        key = Keys.SPACE if self.driver.execute_script(BOX) else Keys.ENTER
        ActionChains(self.driver).send_keys(key).perform()

    def write(self, selector: str, text: str) -> None:
        self._reach(selector, "")
        _replace(self.driver, text)

    def choose(self, name: str, text: str) -> None:
        self._reach(f".st-key-choice_{name} input", "")
        ActionChains(self.driver).send_keys(text, Keys.ENTER).perform()

    def close(self) -> None:
        ActionChains(self.driver).send_keys(Keys.ESCAPE).perform()

    def _reach(self, selector: str, text: str) -> None:
        """Tab on until the focus is there and can be seen; a page that is drawn again meanwhile has a new element."""
        for _ in range(LONGEST_WAY):
            with suppress(StaleElementReferenceException):  # the page was drawn again meanwhile
                element = _ready(self.driver, selector, text)
                if self.driver.execute_script(REACHED, element):
                    return
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
        raise AssertionError(f"Tab does not reach {selector} {text} on {self.driver.current_url}")


def seen(driver: webdriver.Chrome, selector: str, text: str = "") -> WebElement | None:
    """An element as FIND finds it; None where there is none."""
    found: WebElement | None = driver.execute_script(FIND, selector, text)
    return found


def texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    """In one step: the page may replace its elements at any moment."""
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    found: list[str] = driver.execute_script(script, selector)
    return found


def until(driver: webdriver.Chrome, holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it holds; raises TimeoutError with what the page says."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{driver.current_url}: {driver.find_element(By.TAG_NAME, 'body').text[:3000]}")
        time.sleep(0.1)


def _ready(driver: webdriver.Chrome, selector: str, text: str) -> WebElement:
    found: list[WebElement] = []

    def there() -> bool:
        element = seen(driver, selector, text)
        with suppress(StaleElementReferenceException):
            if element is not None and not driver.execute_script("return !!arguments[0].disabled", element):
                found.append(element)
        return bool(found)

    until(driver, there)
    return found[0]


def _replace(driver: webdriver.Chrome, text: str) -> None:
    chain = ActionChains(driver)
    chain.key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).send_keys(text).send_keys(Keys.TAB).perform()
