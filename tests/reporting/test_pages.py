"""Pages as a browser shows them on a phone: whole, without a message, and no wider than the screen."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from conftest import WriteRun
from PIL import Image

from gan_lib.batch.pages import make_comparison
from gan_lib.reporting.html import write_index

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOOK = """<iframe id="frame" src="{page}" style="width: 390px; height: 3000px"></iframe><pre id="seen"></pre><script>
frame.onload = () => {{
  const page = frame.contentDocument, all = (what) => [...page.querySelectorAll(what)], screen = page.scrollingElement
  all("details").forEach((each) => each.open = true)
  seen.textContent = JSON.stringify({{
    sideways: screen.scrollWidth - screen.clientWidth,
    broken: all("img").filter((image) => !image.naturalWidth || !image.alt).length,
    lost: all('a[href^="#"]').filter((link) => !page.getElementById(link.hash.slice(1))).length,
    links: all('a:not([href^="#"])').map((link) => link.href),
    headings: all("h1").length,
  }})
}}</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_pages_fit_a_phone_and_every_image_and_link_is_there(write_run: WriteRun, tmp_path: Path) -> None:
    for name in ("gan-cpu", "cgan-cpu"):
        run = write_run(name, data="folder:/photographs/of/a/long/journey" + "-without-a-pause" * 5, quality={12: 40.0})
        Image.new("L", (96, 96), 128).save(run / "samples.png")
    for page in (make_comparison(tmp_path, []), write_index(tmp_path)):
        look = tmp_path / "look.html"
        look.write_text(LOOK.format(page=page.as_uri()))
        options = ("--headless=new", "--no-sandbox", "--disable-web-security", "--virtual-time-budget=5000", "--dump-dom")
        command = [str(BROWSER), *options, f"--user-data-dir={tmp_path / 'browser'}", look.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        seen = json.loads(unescape(re.findall(r'<pre id="seen">(.*?)</pre>', shown.stdout, re.S)[0]))
        links = seen.pop("links")
        assert seen == {"sideways": 0, "broken": 0, "lost": 0, "headings": 1}, page.name
        assert all(Path(link.removeprefix("file://")).exists() for link in links if link.startswith("file:"))
        assert "CONSOLE" not in shown.stderr
