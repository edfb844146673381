"""Draws docs/gallery/ from synthetic data and writes docs/gallery.md around it.

    python docs/make_gallery.py work/

Runs 'skeltools demo' into work/demo (some minutes on two cores) unless it is there, and draws with the very
commands that the page shows. Still pictures are reduced to 128 colours, to keep the checkout small. Pictures
of the HTML page need chromium and the extra 'browser'; without them the ones that are there are kept.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from skeltools.cli.main import main

HERE = Path(__file__).resolve().parent / "gallery"

PICTURES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "A clip",
        "The recording, the clip as networks see it, and the clip after augmentations. Where both bodies of "
        "a clip were centred on themselves, they are set apart, and the picture says so.",
        (
            ("clip.gif", "plot clip clips.h5 S001C001P016R002A007 --raw"),
            ("strip.png", "plot clip clips.h5 S001C001P016R002A007 --raw --augment 'crop(6)|shear(0.5)'"),
            ("pair.png", "plot clip clips.h5 S002C002P005R001A050 --view corner --frames 5"),
        ),
    ),
    (
        "A run",
        "What it logged, and its test features in two dimensions.",
        (
            ("curves.png", "plot curves demo/runs/motion-seed0"),
            ("embedding.png", "plot embedding demo/runs/motion-seed0 demo/ntu60.h5"),
        ),
    ),
    (
        "Results",
        "Confusions of three seeds added up, and what pretraining gains and loses class by class.",
        (
            ("confusion.png", "plot confusion demo/runs"),
            ("compare.png", "plot compare demo/runs@random demo/runs"),
        ),
    ),
    (
        "Attention",
        "What the mask holds salient: of one clip, and averaged over the test clips of a class. Salience is "
        "the share of a token's activation that the mask keeps; a token of ST-GCN spans four frames of a "
        "joint, one of BiGRU is a frame of all joints.",
        (
            ("attention.png", "plot attention stgcn demo/ntu60.h5 S001C002P016R002A023"),
            ("attention.gif", "plot attention stgcn demo/ntu60.h5 S001C002P016R002A023"),
            ("class.png", "plot attention stgcn demo/ntu60.h5 --class 'hand waving'"),
        ),
    ),
)
"""Heading, text, and (file, command without --out) of each part."""

INTRODUCTION = """\
# Gallery

Pictures of synthetic motion, drawn by `python docs/make_gallery.py work/`, which also writes this page.
`skeltools demo demo` makes the runs, with BiGRU; the attention is that of an ST-GCN, `skeltools pretrain
demo/ntu60.h5 --split xsub --stream motion --recipe demo --out stgcn`; `clips.h5` is `skeltools synth ntu60
raw --clips 240`, converted with `--keep-raw`. The runs are of demo size: they show what the pictures look
like, not what the method can do.
"""

PAGE = "page demo/runs --out report.html"
# After pictures of the page were taken anew, the sentence about them in `text` goes.
SHOTS = (("page-desk.png", 1200, 1500, False), ("page-phone.png", 390, 844, True))
"""Picture, width, height, and whether it is dark and shows the player."""


def call(words: Sequence[str]) -> None:
    """Run a command."""
    result = CliRunner().invoke(main, list(words))
    if result.exit_code:
        sys.exit(result.output)


def make(work: Path) -> None:
    """Make the data and runs that are not there."""
    if not (work / "demo" / "runs" / "motion-seed2" / "results").exists():
        call(["demo", "demo", "--replace"])
    if not (work / "stgcn" / "checkpoints").exists():
        words = "pretrain demo/ntu60.h5 --split xsub --stream motion --recipe demo --out stgcn --replace"
        call(words.split())
    if not (work / "clips.h5").exists():
        call(["synth", "ntu60", "raw", "--clips", "240", "--replace"])
        call(["convert", "ntu60", "raw", "clips.h5", "--keep-raw", "--replace"])


def reduce(path: Path) -> None:
    """Reduce a PNG to 128 colours."""
    from PIL import Image

    picture = Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


def shots(page: Path) -> bool:
    """Take pictures of the page in chromium; tell whether there is one."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        return False
    if browser is None or driver is None:
        return False
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    with tempfile.TemporaryDirectory() as profile:
        for word in (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "hide-scrollbars",
            f"user-data-dir={profile}",
        ):
            options.add_argument(f"--{word}")
        made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            for name, width, height, dark in SHOTS:
                size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
                made.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                made.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
                made.get(page.resolve().as_uri())
                if dark:
                    made.execute_script("document.getElementById('player').scrollIntoView()")
                made.save_screenshot(str(HERE / name))
                reduce(HERE / name)
        finally:
            made.quit()
    return True


def text() -> str:
    """Return docs/gallery.md."""
    lines = [INTRODUCTION]
    for heading, words, pictures in PICTURES:
        lines += [f"## {heading}", "", words, ""]
        for name, command in pictures:
            lines += ["```", f"skeltools {command} --out {name}", "```", "", f"![{name}](gallery/{name})", ""]
    lines += [
        "## The page",
        "",
        "One HTML file without network or server; see [pictures and pages](plots.md). The two pictures",
        "were taken from runs that swapped parts in the stream: they show the",
        "page, and the figures in them are withdrawn.",
        "",
    ]
    lines += ["```", f"skeltools {PAGE}", "```", ""]
    lines += [line for name, *_ in SHOTS for line in (f"![{name}](gallery/{name})", "")]
    return "\n".join(lines[:-1]) + "\n"


def run(work: Path) -> None:
    """Make everything."""
    work.mkdir(parents=True, exist_ok=True)
    HERE.mkdir(exist_ok=True)
    os.chdir(work)
    make(Path())
    for _, _, pictures in PICTURES:
        for name, command in pictures:
            out = HERE / name
            call([*shlex.split(command), "--out", str(out), "--replace"])
            if out.suffix == ".png":
                reduce(out)
            print(f"{name}: {out.stat().st_size / 1e3:.0f} kB", flush=True)
    call([*shlex.split(PAGE), "--replace"])
    if not shots(Path("report.html")):
        print("No browser: the pictures of the page are kept as they are.")
    (HERE.parent / "gallery.md").write_text(text(), encoding="utf-8")
    total = sum(path.stat().st_size for path in HERE.iterdir())
    print(f"{total / 1e6:.2f} MB in all")


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "work"))
