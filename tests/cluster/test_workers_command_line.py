"""The options that start several workers: what is refused, and how devices are shared."""

import json
import sys

import pytest

from keras_tricks import Recipe, RecipeError
from keras_tricks.cli import main
from keras_tricks.cluster import find_workers, tf_config
from keras_tricks.cluster.launch_local import free_ports, gpu_shares
from keras_tricks.runs import create_run, list_runs


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """Run a command line that is refused in one line, before anything is made; return the line."""
    monkeypatch.setenv("KERAS_TRICKS_RUNS", str(tmp_path / "runs"))

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            main(list(words))
        assert caught.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert not list_runs(tmp_path / "runs")
        return lines[0]

    return run


def test_options_that_do_not_go_together_are_refused_with_the_way_out(refused, monkeypatch):
    assert "--launcher local or --launcher ray" in refused("train", "quickstart", "--workers", "2")
    assert "Add --workers" in refused("train", "quickstart", "--launcher", "local")
    assert "nohup" in refused("train", "quickstart", "--launcher", "local", "--workers", "2", "--detach")
    monkeypatch.setenv("TF_CONFIG", tf_config(("127.0.0.1:1", "127.0.0.1:2"), 0))
    assert "leave --launcher ray out" in refused("train", "quickstart", "--launcher", "ray", "--workers", "2")
    assert "--detach starts one process" in refused("train", "quickstart", "--detach")
    monkeypatch.setenv("TF_CONFIG", "{")
    assert "TF_CONFIG={" in refused("train", "quickstart")


def test_resume_takes_the_same_options(capsys, tmp_path):
    directory = create_run(tmp_path, "waiting", Recipe().model_dump(mode="json"))
    with pytest.raises(SystemExit) as caught:
        main(["runs", "resume", str(directory), "--workers", "2"])
    assert caught.value.code == 2
    assert "--launcher local or --launcher ray" in capsys.readouterr().err


def test_without_ray_its_launcher_says_how_to_get_it(monkeypatch):
    from keras_tricks.cluster.launch_ray import require_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ray.train", raising=False)
    monkeypatch.delitem(sys.modules, "ray.train.tensorflow", raising=False)
    with pytest.raises(RecipeError, match=r"pip install 'keras-tricks\[ray\]'"):
        require_ray()


def test_local_workers_have_ports_and_gpus_of_their_own(monkeypatch):
    ports = free_ports(4)
    assert len(set(ports)) == 4
    addresses = tuple(f"127.0.0.1:{port}" for port in ports)
    environments = [{"TF_CONFIG": tf_config(addresses, index)} for index in range(4)]
    assert [find_workers(environment).index for environment in environments] == [0, 1, 2, 3]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5,GPU-a,7")
    shares = [share["CUDA_VISIBLE_DEVICES"] for share in gpu_shares(2)]
    assert shares == ["3,5", "GPU-a,7"]
    with pytest.raises(RecipeError, match="5 workers, 4 GPUs"):
        gpu_shares(5)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpu_shares(2) == [{}, {}]


def test_workers_have_the_same_recipe_but_for_the_places_of_files():
    from keras_tricks.distribute.team_start import Start

    start = Start(Recipe(epochs=3, data_dir="/a"), resumes=False)
    mine = Recipe(epochs=3, data_dir="/b")
    assert start.require_same(mine) is mine
    with pytest.raises(RecipeError, match="Expected: epochs=3 Received: epochs=4"):
        start.require_same(mine.changed(epochs=4))
    assert json.loads(tf_config(("a:1", "b:1"), 1))["task"] == {"type": "worker", "index": 1}
