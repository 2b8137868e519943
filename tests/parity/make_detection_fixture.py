"""Write fixtures/detection.npz: average precisions of the same detections by pycocotools and by Fast R-CNN's VOC code.

    pip install pycocotools numpy
    python tests/parity/make_detection_fixture.py VOC_EVAL

VOC_EVAL is `lib/datasets/voc_eval.py` of github.com/rbgirshick/py-faster-rcnn, which is Python 2. Difficult boxes are
given to pycocotools as boxes of another area than those that it looks at, which it ignores as it does difficult ones
in its own code for areas; class 3 has detections but no box.
"""

import contextlib
import io
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

IMAGES, CLASSES, SIDE = 25, 4, 100
OBJECT = (
    "<object><name>{}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>{}</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def random_boxes(random, count):
    """Return boxes of whole pixels."""
    corners = random.integers(0, SIDE - 20, (count, 2))
    return np.concatenate([corners, corners + random.integers(5, 20, (count, 2))], axis=1)


def draw(random):
    """Return rows (image, label, difficult, box) of true boxes and (image, label, score, box) of detections."""
    truths, detections = [], []
    for image in range(IMAGES):
        count = random.integers(0, 7)
        boxes, labels = random_boxes(random, count), random.integers(0, CLASSES - 1, count)
        truths += [(image, label, random.random() < 0.2, *box) for box, label in zip(boxes, labels, strict=True)]
        for _ in range(2):
            shifts = random.integers(-2, 3, (count, 4))
            found = random.random(count) < 0.7
            moved = zip((boxes + shifts)[found], labels[found], strict=True)
            detections += [(image, label, 0, *box) for box, label in moved]
        strangers = random_boxes(random, 3)
        detections += [(image, random.integers(0, CLASSES), 0, *box) for box in strangers]
    detections = np.array(detections, np.float64)
    # No two scores are equal: the VOC code sorts them in no defined order.
    detections[:, 2] = random.permutation(np.linspace(0.05, 0.95, len(detections)))
    return np.array(truths, np.float64), detections


def coco(truths, detections, with_difficult):
    """Return the average precisions (classes, 10), NaN for a class without boxes."""
    annotations = [
        {
            "id": number,
            "image_id": int(row[0]) + 1,
            "category_id": int(row[1]) + 1,
            "bbox": [*row[3:5].tolist(), *(row[5:] - row[3:5]).tolist()],
            "area": 1e12 if row[2] and with_difficult else 1.0,
            "iscrowd": 0,
        }
        for number, row in enumerate(truths, 1)
    ]
    results = [
        {
            "image_id": int(row[0]) + 1,
            "category_id": int(row[1]) + 1,
            "bbox": [*row[3:5].tolist(), *(row[5:] - row[3:5]).tolist()],
            "score": float(row[2]),
        }
        for row in detections
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "info": {},
            "images": [{"id": image + 1} for image in range(IMAGES)],
            "categories": [{"id": label + 1} for label in range(CLASSES)],
            "annotations": annotations,
        }
        data.createIndex()
        evaluation = COCOeval(data, data.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=1).T
    return np.where(precision < 0, np.nan, precision)


def load_voc_eval(path):
    """Return the function of the original file, with what Python 3 and NumPy 2 want changed."""
    source = path.read_text()
    source = source.replace("import cPickle", "import pickle as cPickle").replace("np.bool)", "bool)")
    source = source.replace("print 'Reading annotation for {:d}/{:d}'.format(", "str('{:d}/{:d}').format(")
    source = source.replace("print 'Saving cached annotations to {:s}'.format(cachefile)", "pass")
    for mode in "wr":
        source = source.replace(f"open(cachefile, '{mode}')", f"open(cachefile, '{mode}b')")
    names = {}
    exec(compile(source, str(path), "exec"), names)
    return names["voc_eval"]


def voc07(truths, detections, path):
    """Return the 11-point average precision of each class that has boxes."""
    voc_eval = load_voc_eval(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for image in range(IMAGES):
            rows = truths[truths[:, 0] == image].astype(int)
            objects = [OBJECT.format(row[1], row[2], row[3] + 1, row[4] + 1, row[5], row[6]) for row in rows]
            (folder / f"{image}.xml").write_text(f"<annotation>{''.join(objects)}</annotation>")
        (folder / "images.txt").write_text("\n".join(map(str, range(IMAGES))))
        precisions = []
        for label in range(CLASSES - 1):
            rows = detections[detections[:, 1] == label].tolist()
            lines = [f"{row[0]:.0f} {row[2]!r} {row[3] + 1} {row[4] + 1} {row[5]} {row[6]}" for row in rows]
            (folder / f"det_{label}.txt").write_text("\n".join(lines))
            arguments = (f"{folder}/det_{{}}.txt", f"{folder}/{{}}.xml", f"{folder}/images.txt", str(label))
            precisions.append(voc_eval(*arguments, str(folder / "cache"), 0.5, use_07_metric=True)[2])
    return np.array([*precisions, np.nan])


def main():
    """Write the fixture."""
    truths, detections = draw(np.random.default_rng(1902))
    np.savez_compressed(
        Path(__file__).parent / "fixtures" / "detection.npz",
        truths=truths,
        detections=detections,
        coco=coco(truths, detections, with_difficult=False),
        coco_without_difficult=coco(truths, detections, with_difficult=True),
        voc07=voc07(truths, detections, Path(sys.argv[1])),
        pycocotools_version=version("pycocotools"),
    )


if __name__ == "__main__":
    main()
