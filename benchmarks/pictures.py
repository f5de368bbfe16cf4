"""The pictures of README and the model cards, answered by a running service.

    python -m benchmarks.pictures [--url http://127.0.0.1:3000] [--out docs/pictures]

Reads room.jpg, left.jpg and right.jpg of that folder (generated scenes that were not trained on) and writes
perceive.jpg (image, depth, segmentation, normals), the same of scikit-image's photograph `coffee` (CC0) as
photograph.jpg, stitch.jpg (reference, target, panorama), and generated.jpg, a sheet of the generator's frames with
their labels.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from benchmarks.client import Client
from benchmarks.sample_photographs import photograph
from benchmarks.served import served

WIDTH = 1600


def fit_width(image_HW3: np.ndarray, width: int) -> np.ndarray:
    """The image at a width in pixels, uint8."""
    height = round(image_HW3.shape[0] * width / image_HW3.shape[1])
    return np.asarray(cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA))


def fit_height(image_HW3: np.ndarray, height: int) -> np.ndarray:
    """The image at a height in pixels, uint8."""
    width = round(image_HW3.shape[1] * height / image_HW3.shape[0])
    return np.asarray(cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA))


def answered(
    client: Client, route: str, files: dict[str, tuple[str, bytes, str]], fields: dict[str, str]
) -> np.ndarray:
    """The picture that a request answers, BGR. Raises ValueError with the service's words if it is refused."""
    answer, _ = client.post(route, files, fields)
    if answer.status_code != 200:
        raise ValueError(f"{route}: expected 200, found {answer.status_code}: {answer.text[:300]}")
    return np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR))


def perceived(client: Client, upload: tuple[str, bytes, str]) -> np.ndarray:
    """The service's preview of one picture."""
    return fit_width(answered(client, "/v1/perceive", {"image": upload}, {"format": "preview"}), WIDTH)


def stitched(client: Client, folder: Path) -> np.ndarray:
    """Reference, target and their panorama, side by side."""
    files = {
        role: (f"{name}.jpg", (folder / f"{name}.jpg").read_bytes(), "image/jpeg")
        for role, name in (("reference", "left"), ("target", "right"))
    }
    panorama = answered(client, "/v1/stitch", files, {"format": "png"})
    parts = [cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) for _, content, _ in files.values()]
    gap = np.full((480, 12, 3), 255, np.uint8)
    left, right, joined = (fit_height(np.asarray(part), 480) for part in (*parts, panorama))
    return fit_width(np.concatenate([left, gap, right, gap, joined], axis=1), WIDTH)


def generated() -> np.ndarray:
    """Frames of the generator with labels, inverse depth and normals, BGR."""
    from training.data.sheet import make_sheet

    sheet_hw3 = make_sheet("rooms", seed=40, count=14, columns=2, outdoor=0.15).numpy()
    return fit_width(np.ascontiguousarray(sheet_hw3[..., ::-1]), WIDTH)


def main() -> None:
    """Write the pictures (command line)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=main.__doc__)
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    coffee = cv2.imencode(".png", photograph()[..., ::-1])[1].tobytes()
    room = (options.out / "room.jpg").read_bytes()
    with served(options.url) as url, Client(url) as client:
        pictures = {
            "perceive": perceived(client, ("room.jpg", room, "image/jpeg")),
            "photograph": perceived(client, ("coffee.png", coffee, "image/png")),
            "stitch": stitched(client, options.out),
            "generated": generated(),
        }
    for name, picture in pictures.items():
        cv2.imwrite(str(options.out / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
