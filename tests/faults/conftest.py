"""Trainers as real processes, forked from one that has imported Keras: that import takes most of their time."""

import multiprocessing
import subprocess

import faults_trainer
import pytest


@pytest.fixture(scope="session")
def fork_server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras_tricks.train", "keras_tricks.cli", "sklearn.datasets"])
    return context


@pytest.fixture
def start_trainer(fork_server, tmp_path):
    """Start a trainer and return its process; what it says on the terminal is in `tmp_path/terminal`."""
    processes = []

    def start(directory, **more):
        arguments = (directory, tmp_path / "terminal")
        process = fork_server.Process(target=faults_trainer.train, args=arguments, kwargs=more)
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()


@pytest.fixture
def small_model(monkeypatch):
    """Have the trainings in this process use the small model too."""
    monkeypatch.setattr("keras_tricks.models.ResNet20", faults_trainer.small_model)


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    """A run that nothing happened to."""
    from keras_tricks import train

    directory = faults_trainer.new_run(tmp_path_factory.mktemp("unbroken"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("keras_tricks.models.ResNet20", faults_trainer.small_model)
        train.run(faults_trainer.RECIPE, directory)
    return directory


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root, and a system that lets root do it")
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)
