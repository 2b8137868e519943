"""Write fixtures/retinanet.npz: anchors, losses and detections of torchvision's RetinaNet for drawn outputs and boxes.

    pip install torch torchvision numpy
    python tests/parity/make_retinanet_fixture.py

torchvision matches a box that no anchor overlaps by half with the best one, and has an L1 loss: each box here is close
to an anchor, and its smooth L1 loss is chosen.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

IMAGES, CLASSES, SIDE, ANCHOR_SIZE = 3, 3, 64, 2
BOXES = (4, 1, 0)


class Levels(torch.nn.Module):
    """Stands where the backbone does, whose maps are not needed."""

    out_channels = 8


def main():
    """Draw, compute and write."""
    sizes = tuple(tuple(int(ANCHOR_SIZE * 2**level * 2 ** (scale / 3)) for scale in range(3)) for level in range(3, 8))
    generator = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5)
    model = RetinaNet(Levels(), CLASSES, anchor_generator=generator, detections_per_img=20, score_thresh=0.5)
    model.head.regression_head._loss_type = "smooth_l1"
    maps = [torch.zeros(1, 8, -(-SIDE // 2**level), -(-SIDE // 2**level)) for level in range(3, 8)]
    (anchors,) = generator(ImageList(torch.zeros(1, 3, SIDE, SIDE), [(SIDE, SIDE)]), maps)

    random = np.random.default_rng(0)
    inside = anchors[((anchors >= 0) & (anchors <= SIDE)).all(1)].numpy()
    outputs = (0.5 * random.normal(size=(IMAGES, len(anchors), 4 + CLASSES))).astype("float32")
    targets = np.full((IMAGES, max(BOXES), 6), -1, "float32")
    for image, count in enumerate(BOXES):
        boxes = inside[random.permutation(len(inside))[:count]] + random.uniform(-1, 1, (count, 4))
        labels = random.integers(0, CLASSES, (count, 1))
        targets[image, :count] = np.concatenate([boxes, labels, np.ones((count, 1))], axis=1)
        overlaps = torchvision.ops.box_iou(torch.tensor(boxes), anchors.double()).numpy()
        assert not count or (overlaps.max(1) > 0.5).all()

    losses, found = [], {"boxes": [], "labels": [], "scores": []}
    counts = [9 * each.shape[2] * each.shape[3] for each in maps]
    for image, count in enumerate(BOXES):
        output = torch.tensor(outputs[image : image + 1])
        head = {"bbox_regression": output[..., :4], "cls_logits": output[..., 4:]}
        target = torch.tensor(targets[image, :count])
        parts = model.compute_loss([{"boxes": target[:, :4], "labels": target[:, 4].long()}], head, [anchors])
        losses.append([float(parts["classification"]), float(parts["bbox_regression"])])
        by_level = {name: list(value.split(counts, dim=1)) for name, value in head.items()}
        (result,) = model.postprocess_detections(by_level, [list(anchors.split(counts))], [(SIDE, SIDE)])
        for name, value in result.items():
            found[name].append(value.numpy())
    path = Path(__file__).parent / "fixtures" / "retinanet.npz"
    np.savez_compressed(
        path,
        anchors=anchors.numpy(),
        outputs=outputs,
        targets=targets,
        losses=np.array(losses),
        torchvision=torchvision.__version__,
        **{name: np.stack(value) for name, value in found.items()},
    )


if __name__ == "__main__":
    with torch.no_grad():
        main()
