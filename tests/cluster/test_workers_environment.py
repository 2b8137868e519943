"""Which workers a process finds in its environment."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tricks import RecipeError
from keras_tricks.cluster import ONE_WORKER, Workers, find_workers, tf_config
from keras_tricks.cluster.slurm import expand_counts, expand_nodes

STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "5",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NODELIST": "gpu[09-11]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_PROCID": "3",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1",
}


def config(cluster, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_without_variables_or_with_one_worker_there_is_one():
    for environment in (
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        config({"worker": ["a:1"]}),
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "gpu[1-4]"},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
    ):
        assert find_workers(environment) == ONE_WORKER
        assert find_workers(environment).is_chief


def test_tf_config_with_and_without_a_chief():
    workers = find_workers(config({"worker": ["a:1", "b:2"]}, index="1"))
    assert workers == Workers(2, 1, ("a:1", "b:2"))
    assert not workers.is_chief
    assert workers.name(1) == "worker 1 (b)"
    chief = {"chief": ["c:3"], "worker": ["a:1", "b:2"]}
    assert find_workers(config(chief, "chief")) == Workers(3, 0, ("c:3", "a:1", "b:2"))
    assert find_workers(config(chief, "worker", 1)) == Workers(3, 2, ("c:3", "a:1", "b:2"))
    assert find_workers({"TF_CONFIG": tf_config(("a:1", "b:2"), 1)}) == workers


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSON object"),
        ("[1]", "JSON object"),
        ('{"cluster": {"ps": ["a:1"]}}', "'ps'"),
        ('{"cluster": {"worker": "a:1"}}', "cluster.worker"),
        ('{"cluster": {"worker": ["a", "b"]}}', "host:port"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}}', "once"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "task.type"),
        ('{"cluster": {"chief": ["a:1", "b:1"]}}', "one chief"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}', "from 0 to 1"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": true}}', "from 0 to 1"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": 7}', '"task"'),
    ],
)
def test_a_wrong_tf_config_is_named_with_its_value(text, reason):
    with pytest.raises(RecipeError, match="TF_CONFIG") as caught:
        find_workers({"TF_CONFIG": text})
    assert reason in str(caught.value)
    assert str(caught.value).endswith(f"TF_CONFIG={text}")


def test_a_slurm_step_gives_each_task_an_address_of_its_own():
    workers = find_workers(STEP)
    assert (workers.count, workers.index) == (5, 3)
    hosts, ports = zip(*(address.split(":") for address in workers.addresses), strict=True)
    assert hosts == ("gpu09", "gpu09", "gpu10", "gpu10", "gpu11")
    assert len(set(workers.addresses)) == 5
    assert all(1024 < int(port) < 32768 for port in ports)
    other_job = find_workers({**STEP, "SLURM_JOB_ID": "4712"})
    assert not set(other_job.addresses) & set(workers.addresses)
    assert find_workers({**STEP, **config({"worker": ["a:1", "b:2"]})}).count == 2, "TF_CONFIG comes first"


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SLURM_PROCID", "5", "0 to 4"),
        ("SLURM_PROCID", "x", "SLURM_PROCID=x"),
        ("SLURM_STEP_NUM_TASKS", "0", "SLURM_STEP_NUM_TASKS=0"),
        ("SLURM_STEP_NODELIST", "gpu[1-", "SLURM_STEP_NODELIST=gpu[1-"),
        ("SLURM_STEP_NODELIST", "", "SLURM_STEP_NODELIST"),
        ("SLURM_STEP_NODELIST", "gpu[9-8]", "[9-8]"),
        ("SLURM_STEP_NODELIST", "gpu[1-2]", "contradict"),
        ("SLURM_STEP_TASKS_PER_NODE", "2(x2),2", "contradict"),
        ("SLURM_STEP_TASKS_PER_NODE", "two", "SLURM_STEP_TASKS_PER_NODE=two"),
        ("SLURM_NODEID", "0", "--distribution=block"),
    ],
)
def test_wrong_slurm_variables_are_named(variable, value, reason):
    with pytest.raises(RecipeError) as caught:
        find_workers({**STEP, variable: value})
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("login", ["login"]),
        ("gpu[01-03,7]", ["gpu01", "gpu02", "gpu03", "gpu7"]),
        ("a1,b[8-10].cluster,c-2", ["a1", "b8.cluster", "b9.cluster", "b10.cluster", "c-2"]),
        ("r[1-2]n[09-10]", ["r1n09", "r1n10", "r2n09", "r2n10"]),
    ],
)
def test_node_lists(text, names):
    assert expand_nodes(text) == names


NAME = st.from_regex(r"[a-z][a-z0-9.-]{0,5}", fullmatch=True)
NUMBER = st.integers(0, 2000)


@given(
    st.lists(
        st.tuples(NAME, st.lists(st.tuples(NUMBER, st.integers(0, 20)), min_size=1, max_size=3), st.integers(1, 5)),
        min_size=1,
        max_size=4,
    )
)
def test_ranges_expand_to_each_of_their_numbers(groups):
    text = ",".join(
        f"{name}[{','.join(f'{first:0{width}}-{first + more:0{width}}' for first, more in ranges)}]"
        for name, ranges, width in groups
    )
    expected = [
        f"{name}{number:0{max(width, len(str(first)))}}"
        for name, ranges, width in groups
        for first, more in ranges
        for number in range(first, first + more + 1)
    ]
    assert expand_nodes(text) == expected


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(1, 9)), min_size=1, max_size=5))
def test_counts_expand_to_one_a_node(groups):
    text = ",".join(f"{tasks}(x{nodes})" if nodes > 1 else str(tasks) for tasks, nodes in groups)
    assert expand_counts(text) == [tasks for tasks, nodes in groups for _ in range(nodes)]


@given(st.text(alphabet="ab01[]-,( )x", max_size=12))
def test_any_text_is_a_node_list_or_refused(text):
    for expand in (expand_nodes, expand_counts):
        try:
            assert all(expand(text))
        except ValueError as error:
            assert str(error)
