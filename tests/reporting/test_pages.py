"""Every kind of page as a browser shows it, on a desk, a phone and paper, light and dark: whole, silent, no wider than it."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from conftest import WriteRun, tiny_config
from PIL import Image

from gan_lib.batch import pages, runner
from gan_lib.batch.notebooks import ROOT
from gan_lib.reporting.comparison import HEAD
from gan_lib.reporting.html import write_index
from gan_lib.reporting.tables import table
from gan_lib.studies.unstated_choices import LENGTHS, publish_choices

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Rules of accessibility, checked where axe-core is installed: AXE_CORE=path, or npm install axe-core in this repository.
AXE = Path(os.environ.get("AXE_CORE") or ROOT / "node_modules" / "axe-core" / "axe.min.js")
VIEWS = {  # width in pixels, medium, colours; paper: A4 without its margins
    "desk": (1280, "screen", "light"),
    "dark desk": (1280, "screen", "dark"),
    "phone": (390, "screen", "light"),
    "dark phone": (390, "screen", "dark"),
    "paper": (688, "print", "light"),
}
TROUBLE = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed"}
LOOK = """(async () => {
  const all = (what) => [...document.querySelectorAll(what)], screen = document.scrollingElement
  all("details").forEach((each) => each.open = true)
  all("img").forEach((image) => image.loading = "eager")
  await Promise.all(all("img").map((image) => image.decode().catch(() => null)))
  return {
    sideways: screen.scrollWidth - screen.clientWidth,
    broken: all("img").filter((image) => !image.naturalWidth || !image.alt).length,
    lost: all('a[href^="#"]').filter((link) => !document.getElementById(link.hash.slice(1))).map((link) => link.hash),
    links: all('a:not([href^="#"])').map((link) => link.href),
    headings: all("h1").length,
  }
})()"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")]


class Browser:
    """A page of a headless Chromium, driven by the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        from websocket import create_connection

        options = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--remote-debugging-port=0")
        command = [str(BROWSER), *options, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        port, end = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (port.exists() and port.read_text()) and time.monotonic() < end:
            time.sleep(0.1)
        with urlopen(f"http://127.0.0.1:{port.read_text().split()[0]}/json") as answer:
            address = next(each["webSocketDebuggerUrl"] for each in json.load(answer) if each["type"] == "page")
        self._socket = create_connection(address, suppress_origin=True, timeout=60)
        self._calls, self._events = 0, list[dict[str, Any]]()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._calls:
            self._events.append(answer)
        return answer["result"]

    def ask(self, script: str) -> Any:
        """The value of a script in the page."""
        return self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)["result"].get("value")

    def close(self) -> None:
        self._socket.close()
        self.process.kill()
        self.process.wait()

    def look(self, page: Path, view: str) -> list[str]:
        """What is wrong with a page in one view."""
        width, medium, colours = VIEWS[view]
        self._events.clear()
        scheme = [{"name": "prefers-color-scheme", "value": colours}]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", media=medium, features=scheme)
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(json.loads(self._socket.recv()))
        seen = self.ask(LOOK)
        trouble = [f"{event['method']}: {event['params']}" for event in self._events if event["method"] in TROUBLE]
        files = (link.removeprefix("file://").partition("#")[0] for link in seen.pop("links") if link.startswith("file:"))
        trouble += [f"no such file: {path}" for path in files if not Path(path).exists()]
        trouble += [f"{what}: {value}" for what, value in seen.items() if value != {"headings": 1, "lost": []}.get(what, 0)]
        if AXE.is_file() and medium == "screen":
            self.ask(f"{AXE.read_text(encoding='utf-8')}; 0")
            found = "found.violations.map((each) => `axe ${each.id}: ${each.nodes.map((node) => node.html.slice(0, 200))}`)"
            trouble += self.ask(f"axe.run().then((found) => {found})")
        return [f"{page.name}, {view}: {each}" for each in trouble]


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        ("<p>Nothing is wrong.</p>", 0),
        ('<img src="gone.png" alt="gone">', 3),  # the request, the console's line about it, and the image
        ("<script>console.log(1)</script>", 1),
        ('<p style="width: 2000px">wide</p>', 1),
        ('<a href="gone.html">a</a> <a href="#gone">b</a>', 2),
        ("<h1>A second title</h1>", 1),
    ],
)
def test_what_is_wrong_with_a_page_is_seen(browser: Browser, tmp_path: Path, body: str, trouble: int) -> None:
    page = tmp_path / "page.html"
    head = '<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width"><title>x</title>'
    page.write_text(f'{head}<link rel="icon" href="data:,"><main><h1>A page</h1>{body}</main>')
    found = [each for each in browser.look(page, "phone") if ": axe " not in each]
    assert len(found) == trouble, found


def test_numbers_stay_whole_on_a_phone_and_a_wide_table_fits_on_paper(browser: Browser, tmp_path: Path) -> None:
    quantity = "mean score of real images minus that of generated ones, last epoch"
    pair = table([{"quantity": quantity, "this run": number} for number in (0.969, 452_292, 0.00416)], "A run")
    wide = table([{f"a_name_as_long_as_of_parameter_{at}": 0.00301 for at in range(26)}] * 3, "Trials")
    style = (ROOT / "gan_lib/reporting/templates/report/style.css").read_text(encoding="utf-8")
    body = f"<main><h1>Tables</h1>{pair._repr_html_()}{wide._repr_html_()}</main>"
    page = tmp_path / "page.html"
    page.write_text(f'{HEAD}<meta name="viewport" content="width=device-width"><title>x</title><style>{style}</style>{body}')
    lines = """(() => [...document.querySelectorAll(".pair td.number")].map((cell) => {
      const words = document.createRange()
      words.selectNodeContents(cell)
      return words.getClientRects().length
    }))()"""
    for view in ("phone", "paper"):
        assert [each for each in browser.look(page, view) if "favicon" not in each] == []
        assert browser.ask(lines) == [1, 1, 1]


def test_nothing_is_wrong_with_any_kind_of_page(
    browser: Browser, write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "REFERENCE", tmp_path / "reference")
    for name in ("gan-cpu", "cgan-cpu", "wgan-cpu"):
        run = write_run(name, data="folder:/photographs/of/a/long/journey" + "-without-a-pause" * 5, quality={12: 40.0})
        Image.new("L", (96, 96), 128).save(run / "samples.png")
    comparison = pages.make_comparison(tmp_path, [])
    (record,) = runner.run_batch(runner.plan([tiny_config(evaluate_every=3)], tmp_path))
    for below, lengths in (("choices/runs", LENGTHS), ("reference", {"gan": 1200, "cgan": 300})):
        for model, epochs in lengths.items():
            for beta in (0.9, 0.5):
                write_run(f"{model}-cpu", below=below, d=[0.5] * epochs, epochs=epochs, adam_beta1=beta, quality={epochs: 9.0})
    choices = publish_choices(tmp_path / "choices")
    trouble = []
    for page in (comparison, record.path / "report.html", write_index(tmp_path), choices):
        for view in VIEWS:
            trouble += browser.look(page, view)
    assert trouble == []
