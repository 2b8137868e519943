"""Write fixtures/sgd.npz: runs of torch.optim.SGD under a changing learning rate.

    python tests/parity/make_sgd_fixture.py

The gradient of a weight is `noise[t] + CURVATURE * weight`, so that an error of one step grows
into the next. Weights are kept every STRIDE steps.
"""

from pathlib import Path

import numpy as np
import torch

SHAPES = {"conv/kernel": (3, 3, 2, 2), "fc/kernel": (4, 3), "fc/bias": (3,)}
CASES = {
    "nesterov_decay": {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-2},
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
    "heavy_ball_decay": {"momentum": 0.9, "nesterov": False, "weight_decay": 5e-2},
    "heavy_ball": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    "plain_decay": {"momentum": 0.0, "nesterov": False, "weight_decay": 5e-2},
    "no_bias_decay": {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-2},
}
STEPS, STRIDE, CURVATURE = 80, 4, 0.3


def learning_rates():
    """Warm up over 10 steps to 0.2, then divide by ten at steps 40 and 60."""
    step = np.arange(STEPS)
    rate = 0.2 * np.minimum((step + 1) / 10, 1)
    return rate * 0.1 ** ((step >= 40).astype(int) + (step >= 60))


def run(case, initial, noise, rates):
    """Return the weights, one row every STRIDE steps, after a run of torch.optim.SGD."""
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in initial.items()}
    settings = dict(CASES[case])
    weight_decay = settings.pop("weight_decay")
    groups = [
        {
            "params": [weight],
            "weight_decay": 0.0 if case == "no_bias_decay" and name.endswith("bias") else weight_decay,
        }
        for name, weight in weights.items()
    ]
    optimizer = torch.optim.SGD(groups, lr=1.0, dampening=0, **settings)
    rows = []
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        for name, weight in weights.items():
            weight.grad = torch.tensor(noise[name][step]) + CURVATURE * weight.detach()
        optimizer.step()
        if (step + 1) % STRIDE == 0:
            rows.append(np.concatenate([weight.detach().numpy().ravel() for weight in weights.values()]))
    return np.stack(rows)


def main():
    """Write the fixture."""
    generator = np.random.default_rng(1812)
    initial = {name: generator.normal(0, 0.5, shape).astype("float32") for name, shape in SHAPES.items()}
    noise = {name: generator.normal(0, 0.5, (STEPS, *shape)).astype("float32") for name, shape in SHAPES.items()}
    rates = learning_rates()
    arrays = {f"initial:{name}": value for name, value in initial.items()}
    arrays |= {f"noise:{name}": value for name, value in noise.items()}
    arrays |= {f"weights:{case}": run(case, initial, noise, rates) for case in CASES}
    np.savez_compressed(
        Path(__file__).parent / "fixtures" / "sgd.npz",
        learning_rates=rates,
        curvature=np.float32(CURVATURE),
        stride=STRIDE,
        torch_version=torch.__version__,
        **arrays,
    )


if __name__ == "__main__":
    main()
