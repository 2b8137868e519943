"""Write directories in the form of Pascal VOC."""

from PIL import Image

OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{0:g}</xmin><ymin>{1:g}</ymin>"
    "<xmax>{2:g}</xmax><ymax>{3:g}</ymax></bndbox></object>"
)


def annotation(objects, size=(40, 30)):
    """Return the XML of objects, each a name and the four numbers of the file, and maybe a mark as difficult."""
    written = [
        OBJECT.format(*corners, name=name, difficult=int(*difficult or (0,))) for name, corners, *difficult in objects
    ]
    width, height = size
    sides = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{sides}{''.join(written)}</annotation>"


def write_voc(root, images, sets=None):
    """Write images by their names: each a PIL image or a size, and its objects."""
    for folder in ("JPEGImages", "Annotations", *(["ImageSets/Main"] if sets else [])):
        (root / folder).mkdir(parents=True)
    for name, (image, objects) in images.items():
        image = Image.new("RGB", image) if isinstance(image, tuple) else image
        image.save(root / "JPEGImages" / f"{name}.png")
        (root / "Annotations" / f"{name}.xml").write_text(annotation(objects, image.size))
    for name, members in (sets or {}).items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{member}\n" for member in members))
    return root
