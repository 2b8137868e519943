"""A subject: the same train step of timm's model, eager or compiled."""

from __future__ import annotations

import sys
import time

import torch
from answering import answer_requests


def _timm():
    """Import timm, also beside a torchvision whose compiled operations do not load; none of them is used here."""
    register_fake = torch.library.register_fake

    def register_others(operation, *arguments, **options):
        if str(operation).startswith("torchvision::"):
            return lambda function: function
        return register_fake(operation, *arguments, **options)

    torch.library.register_fake = register_others
    try:
        import timm
        from timm.utils.agc import adaptive_clip_grad
    finally:
        torch.library.register_fake = register_fake
    return timm, adaptive_clip_grad


def main() -> None:
    """Build, take the first step, and answer requests."""
    name, image_size, batch_size, precision, way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6]
    timm, adaptive_clip_grad = _timm()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    begin = time.perf_counter()
    model = timm.create_model(name, num_classes=1000).to(device).train()
    if device == "cuda":
        model = model.to(memory_format=torch.channels_last)
    head = {id(parameter) for parameter in model.get_classifier().parameters()}
    clipped = [parameter for parameter in model.parameters() if id(parameter) not in head]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=2e-5)
    forward = torch.compile(model) if way == "compiled" else model
    images = torch.randn(batch_size, 3, image_size, image_size, device=device)
    if device == "cuda":
        images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (batch_size,), device=device)
    scaler = torch.amp.GradScaler(device, enabled=precision == "float16")
    half = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]

    def step() -> None:
        with torch.autocast(device, dtype=half, enabled=half is not None):
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        adaptive_clip_grad(clipped, clip_factor=0.01)
        scaler.step(optimizer)
        scaler.update()

    def run(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    built = time.perf_counter() - begin
    first = run(1)
    run(2)
    answer_requests(run, batch_size, {"first_step_s": first, "build_s": built})


if __name__ == "__main__":
    main()
