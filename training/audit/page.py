"""The page of one task: its most suspicious images with label and prediction, to be looked through by a person.

One file that needs nothing else: pictures, style and script are inside it. Verdicts stay in the browser and are saved
as a table on request.
"""

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.audit.ranking import Suspect, TaskRanking
from training.pictures import Picture

HERE = Path(__file__).parent
LARGEST_SIDE = 320
CAPTIONS = ("image", "label", "prediction")
TASKS = {
    "segmentation": "classes", "depth": "depth in metres", "normals": "surface normals", "parts": "body parts",
    "saliency": "saliency", "edges": "edges",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One image of a page: what was found, its pictures (image, label, prediction), and the files behind the label.

    scale: of depth, median of label over prediction, because the pictures show each depth map in the label's range.
    """

    suspect: Suspect
    pictures: tuple[Picture, Picture, Picture]
    scale: float | None = None
    files: tuple[str, ...] = ()


def page(ranking: TaskRanking, shown: Sequence[Shown], *, run: str, others: Sequence[str]) -> str:
    """The HTML text. run: what the page calls the run. others: tasks whose pages lie beside it."""
    task = html.escape(ranking.task)
    links = " ".join(f'<a href="{html.escape(other)}.html">{html.escape(other)}</a>' for other in others)
    suspected = sum(suspect.suspected for suspect in ranking.suspects)
    planted = ", planted errors marked" if any(item.suspect.planted is not None for item in shown) else ""
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
        f"<title>Suspicious labels: {task}</title>",
        f"<style>\n{(HERE / 'page.css').read_text()}</style>",
        "</head>",
        f'<body data-run="{html.escape(run)}" data-task="{task}">',
        "<header>",
        f"<h1>Suspicious labels: {task}</h1>",
        f"<p>{html.escape(run)}: the first {len(shown)} of {len(ranking.suspects)} images by "
        f"{_score_in_words(ranking.score)}; {suspected} suspected{planted}.</p>",
        f'<nav aria-label="Tasks">{links}</nav>' if links else "",
        '<p class="keys"><kbd>j</kbd> <kbd>k</kbd> next, previous · <kbd>w</kbd> label wrong · '
        "<kbd>r</kbd> label right · <kbd>u</kbd> undecided</p>",
        '<p><button type="button" id="save">Save verdicts as a table</button> '
        '<span id="count" role="status" aria-live="polite"></span></p>',
        "</header>",
        "<main>",
        *(_article(item, ranking.task) for item in shown),
        "</main>",
        f"<script>\n{(HERE / 'page.js').read_text()}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _article(item: Shown, task: str) -> str:
    suspect = item.suspect
    name = html.escape(suspect.name)
    facts = [("loss", f"{suspect.loss:.4g}")]
    if suspect.probability is not None:
        facts.append(("probability", f"{suspect.probability:.2f}"))
    if suspect.log_variance is not None:
        facts.insert(0, ("log variance", f"{suspect.log_variance:+.2f}"))
    if item.scale is not None:
        facts.append(("label ÷ prediction", f"{item.scale:.2f}"))
    if suspect.planted is not None:
        facts.append(("planted", "wrong" if suspect.planted else "right"))
    figures = "".join(
        f'<figure><img src="{_data_uri(picture)}" alt="{_alternative(caption, task, name)}" loading="lazy">'
        f"<figcaption>{caption}</figcaption></figure>"
        for caption, picture in zip(CAPTIONS, item.pictures, strict=True)
    )
    files = "".join(f"<li>{html.escape(file)}</li>" for file in item.files)
    mark = ' class="suspected"' if suspect.suspected else ""
    return "\n".join(
        (
            f'<article tabindex="0" aria-labelledby="h{suspect.rank}" data-index="{suspect.index}" '
            f'data-name="{name}" data-rank="{suspect.rank}"{mark}>',
            f'<h2 id="h{suspect.rank}">{suspect.rank}. {name}</h2>',
            f'<div class="pictures">{figures}</div>',
            f"<dl>{''.join(f'<div><dt>{term}</dt><dd>{value}</dd></div>' for term, value in facts)}</dl>",
            f"<ul>{files}</ul>" if files else "",
            f'<div role="group" aria-label="Verdict on {name}">'
            '<button type="button" data-verdict="wrong" aria-pressed="false">label wrong</button>'
            '<button type="button" data-verdict="right" aria-pressed="false">label right</button></div>',
            "</article>",
        )
    )


def _alternative(caption: str, task: str, name: str) -> str:
    of = "" if caption == "image" else f": {html.escape(TASKS.get(task, task))}"
    return f"{caption} of {name}{of}"


def _score_in_words(score: str) -> str:
    return {
        "log_variance": "learnt log variance",
        "last_loss": "last training loss",
        "final_loss": "loss of the final weights",
    }[score]


def _data_uri(picture: Picture) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def as_text(content: object) -> str:
    """JSON of an audit, strict: no NaN."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
