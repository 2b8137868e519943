"""A side: the input pipeline of keras-tricks."""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_tricks import data
from keras_tricks.data.decoded_images import DecodedImages
from keras_tricks.data.image_data_set import ImageDataSet
from keras_tricks.data.image_folder import DecodedFileSplit, FileSplit
from keras_tricks.data_facts import DataFacts

BATCH, WARMUP_BATCHES = 40, 5
JITTER, NOISE = data.ColorJitter(), data.PcaNoise()
PLAIN = data.ImageNetPreprocessing(image_size=224)
STAGES = {
    "crop": {"preprocessing": data.ImageNetPreprocessing(image_size=224, flip=False)},
    "flip": {},
    "jitter": {"image_transforms": (JITTER,)},
    "published": {"image_transforms": (JITTER, NOISE)},
    "decoded": {"image_transforms": (JITTER, NOISE), "decoded": True},
    "repeated": {"image_transforms": (JITTER, NOISE), "repeats": 4},
    "rand_augment": {"image_transforms": (data.RandAugment(2, 9),)},
    "nfnet": {
        "preprocessing": data.ImageNetPreprocessing(image_size=192, interpolation="bicubic"),
        "image_transforms": (data.RandAugment(4, 5),),
        "batch_transforms": (
            data.MixUp(0.2, per_image=True),
            data.CutMix(1.0, per_image=True, beside_mixup="halves"),
        ),
    },
}


def main() -> None:
    """Answer with the times of so many images of a stage, for each line that asks for some."""
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(workers)
    files = sorted(folder.iterdir())
    split = FileSplit(files, np.arange(len(files)))
    with tempfile.TemporaryDirectory() as cache:
        images = DecodedImages(split, files, cache)
    splits = {False: split, True: DecodedFileSplit(files, np.arange(len(files)), images, np.arange(len(files)))}
    facts = DataFacts(name="files", title="files")
    data_sets = {
        decoded: ImageDataSet("files", tuple(map(str, range(1000))), of, split, facts) for decoded, of in splits.items()
    }
    threads = tf.data.Options()
    threads.threading.private_threadpool_size = workers
    print(json.dumps({"stages": list(STAGES), "versions": f"TensorFlow {tf.__version__}"}), flush=True)
    for line in sys.stdin:
        stage, images = line.split()
        arguments = {"preprocessing": PLAIN, **STAGES[stage]}
        data_set = data_sets[arguments.pop("decoded", False)]
        batches = data.training_batches(data_set, batch_size=BATCH, seed=0, epochs=10**6, **arguments)
        iterator = iter(batches.with_options(threads))
        for _ in range(WARMUP_BATCHES):
            next(iterator)
        count = int(images) // BATCH
        processor, start = time.process_time(), time.perf_counter()
        for _ in range(count):
            next(iterator)
        answer = {
            "images": count * BATCH,
            "seconds": time.perf_counter() - start,
            "processor_seconds": time.process_time() - processor,
        }
        del iterator
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
