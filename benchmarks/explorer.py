"""Takes the screenshots of docs/explorer.md: python benchmarks/explorer.py [FOLDER]

Trains a small model of MNIST, and a detector on the benign tumors of scikit-learn's breast cancer data, opens the page in Chromium, and
writes docs/figures/explorer-*.png. With a folder, the models are kept there and used again.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sklearn.datasets import load_breast_cancer

FIGURES = Path(__file__).parents[1] / "docs/figures"
ISTHMUS = [sys.executable, "-c", "from isthmus.cli import main; main()"]
COLORS = 256  # of a screenshot
WIDTH = 1100  # of a screenshot, in pixels


def run(folder: Path, *words: str) -> None:
    """Runs a command."""
    print("isthmus", *words)
    subprocess.run([*ISTHMUS, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def make_models(folder: Path) -> None:
    """Trains what is not there yet."""
    if not (folder / "digits").exists():
        run(folder, "train", "epochs=8", "bottleneck.size=16", "random_state=0", "--out", "digits")
    if not (folder / "tumors.safetensors").exists():
        tumors = load_breast_cancer(as_frame=True)
        table = tumors.data.assign(kind=tumors.target_names[tumors.target])
        table.to_csv(folder / "tumors.csv", index=False)
        table[table.kind == "benign"].to_csv(folder / "benign.csv", index=False)
        read = ["--data", "benign.csv", "--labels", "kind"]
        run(folder, "train", "bottleneck.size=4", "random_state=0", *read, "--out", "benign")
        run(folder, "detect", "benign", "--data", "tumors.csv", "--labels", "kind", "--save", "tumors.safetensors")


def shoot(
    folder: Path, words: list[str], view: str, out: str, height: int, scheme: str, act: Callable[[Page], None]
) -> None:
    """Opens a view of the page and writes what it shows."""
    command = [*ISTHMUS, "explore", *words, "--no-browser"]
    with (
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as playwright,
    ):
        assert server.stdout is not None
        try:
            address = next(found[0] for line in server.stdout if (found := re.findall(r"http://\S+", line)))
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(f"{address}#{view}")
            page.wait_for_selector("html[data-ready=yes]")
            act(page)
            page.wait_for_timeout(2500)  # for the scores
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        finally:
            server.terminate()
    small = image.resize((WIDTH, WIDTH * image.height // image.width), Image.Resampling.LANCZOS)
    small.quantize(COLORS, kmeans=4, dither=Image.Dither.NONE).save(FIGURES / out, optimize=True)
    print(out, (FIGURES / out).stat().st_size // 1000, "kB")


def to_t_sne(page: Page) -> None:
    """Waits for the map by t-SNE."""
    page.wait_for_selector("canvas[data-map=tsne]", timeout=120_000)


def type_a_row(page: Page) -> None:
    """Changes a value of the row in the form."""
    page.locator("[name=source][value=own]").check(force=True)
    page.fill("[data-column='3']", "900")
    page.press("[data-column='3']", "Enter")
    page.wait_for_selector("#example-title:has-text('typed')")


def main() -> None:
    """Writes the screenshots."""
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = kept or Path(temporary)
        make_models(folder)
        shoot(folder, ["digits"], "x=3&map=tsne&code=", "explorer-digits.png", 900, "light", to_t_sne)
        read = ["--data", "tumors.csv", "--labels", "kind"]
        shoot(folder, ["tumors.safetensors", *read], "x=100", "explorer-tumors.png", 1240, "dark", type_a_row)


if __name__ == "__main__":
    main()
