"""Reads what `biophony` tracks with MLflow's own client and server.

usage: check_tracking.py BIOPHONY FOLDER

1. A home folder made by `biophony demo` and served by `biophony serve`: runs,
   histories, files and data sets are there for the client, and the model in use
   loads by its alias and answers as `biophony classify` does.
2. MLflow's server is sent the same, while it is away, later, and twice: it has
   everything once.
3. `biophony export mlflow-sqlite` gives a database that MLflow's server opens, logged
   models and all, and `biophony import mlflow-sqlite` reads it before and after MLflow
   has brought it up to date; a second time adds nothing.
4. What MLflow leaves without a server, a database and a folder `mlruns`, is taken in
   with its files, which MLflow's client then finds on our server.
"""

import json
import math
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import warnings
import wave

os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    GIT_PYTHON_REFRESH="quiet",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
)
for name in list(os.environ):
    if name.startswith("BIOPHONY_") or name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        del os.environ[name]
warnings.filterwarnings("ignore")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

# Both read the same samples and the same network; they round differently.
TOLERANCE = 1e-4


class Biophony:
    """The program, in a folder of its own."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *arguments, home="home"):
        command = [self.program, *arguments, "--home", home]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    folder = pathlib.Path(sys.argv[2]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    biophony = Biophony(program, folder)
    biophony("demo", "--out", "demo")
    clip = folder / "call.wav"
    write_call(biophony, clip)
    expected = expect(biophony, clip)

    with served(program, folder, "home") as address:
        ours = look(address, "our server", clip, expected)
    send(biophony, folder, clip, expected, ours)
    databases(biophony, folder, clip, expected, ours)
    local_store(biophony, program, folder)
    print("tracking: all is as it should be")


def write_call(biophony, clip):
    """A call that rises and falls, at the rate that the model listens at."""
    settings = {one["key"]: one["value"] for one in json.loads(biophony("config", "--json"))}
    rate = settings["features.sample_rate"]
    t = np.arange(3 * rate) / rate
    call = 0.4 * np.sin(2 * np.pi * (1200 * t + 90 * np.sin(6 * t))) * (np.sin(9 * t) > 0)
    with wave.open(str(clip), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((call * 32767).astype("<i2").tobytes())


def expect(biophony, clip):
    """The probabilities that our own program gives, in the order of the model's classes."""
    [row] = json.loads(biophony("classify", str(clip), "--json"))
    return {one["label"]: one["probability"] for one in row["predictions"]}


def look(address, name, clip, expected):
    """Looks at the demo's run on a server, as a user of MLflow would."""
    mlflow.set_tracking_uri(address)
    client = MlflowClient()
    runs = mlflow.search_runs(experiment_names=["demo"], filter_string="params.epochs = '30'")
    assert len(runs) == 1, f"{name}: {len(runs)} runs"
    run = client.get_run(runs.iloc[0].run_id)
    assert run.info.status == "FINISHED", run.info.status
    assert runs.iloc[0]["params.opt_name"] == "AdamW"
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
        assert sorted(steps) == list(range(30)), f"{name}: {key} {steps}"
    for key in ("test_accuracy", "test_accuracy_low", "test_macro_f1"):
        assert 0 <= run.data.metrics[key] <= 1, f"{name}: {key}"
    if sys.platform == "linux":
        assert run.data.metrics["system/system_memory_usage_megabytes"] > 0
    contexts = {i.tags[0].value for i in run.inputs.dataset_inputs}
    assert contexts == {"train", "eval", "test"}, contexts
    files = {file.path: file.file_size for file in client.list_artifacts(run.info.run_id)}
    for file in ("report.html", "metrics.json", "learning_curves.svg", "confusion.svg"):
        assert files.get(file), f"{name}: {file} in {files}"
    page = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="report.html")
    assert pathlib.Path(page).stat().st_size == files["report.html"]

    champion = client.get_model_version_by_alias("biophony", "champion")
    assert champion.run_id == run.info.run_id
    gate = json.loads(champion.tags["biophony.gate"])
    assert gate["decision"]["accepted"] is True
    uris = ["models:/biophony@champion", f"models:/biophony/{champion.version}"]
    uris.append(f"runs:/{run.info.run_id}/model")
    for uri in uris:
        ask(uri, f"{name}: {uri}", clip, expected)
    [model] = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    assert model.status == "READY" and model.metrics, f"{name}: {model}"
    print(f"{name}: run, curves, files, data sets, model by alias, version and run")
    return run


def ask(uri, name, clip, expected):
    model = mlflow.pyfunc.load_model(uri)
    assert model.metadata.signature is not None, name
    example = model.input_example
    assert example is not None and np.asarray(example).ndim == 2, name
    with wave.open(str(clip)) as file:
        assert file.getframerate() == model.metadata.metadata["sample_rate"], "no resampling here"
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        waveform = (samples.astype(np.float32) / 32768).reshape(-1, file.getnchannels())
    answer = model.predict(waveform.mean(axis=1)[None, :])["probabilities"][0]
    for label, probability in zip(model.metadata.metadata["labels"], answer):
        difference = abs(expected[label] - float(probability))
        assert difference < TOLERANCE, f"{name}: {label} differs by {difference}"


def send(biophony, folder, clip, expected, ours):
    """MLflow's own server is told of what is here."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = ["--set", f"tracking.uri={address}"]
    told = json.loads(biophony("tracking", "status", "--json", *server))
    assert told["reachable"] is False and told["runs"] == 1, told
    with mlflow_server(folder / "theirs", port):
        sent = json.loads(biophony("tracking", "sync", "--all", "--json", *server))
        assert len(sent["sent"]) == 1 and sent["aliases_of"] == ["biophony"], sent
        theirs = look(address, "MLflow's server, sent later", clip, expected)
        same(ours, theirs)
        again = json.loads(biophony("tracking", "sync", "--all", "--json", *server))
        assert again["sent"] == [] and again["aliases_of"] == [], again
        # A second training is told while it goes on.
        settings = ["--set", "train.epochs=4", "--set", "train.members=1"]
        settings += ["--set", "clip.clip_seconds=2.0", "--set", "tracking.experiment=live"]
        biophony("run", "--data", "demo", *settings, *server)
        # The end of a run waits for a server only so long; a slow one is told the rest now.
        biophony("tracking", "sync", *server)
        told = json.loads(biophony("tracking", "status", "--json", *server))
        assert told["pending"] == 0 and told["sent"] == 2, told
        mlflow.set_tracking_uri(address)
        runs = mlflow.search_runs(experiment_names=["live"])
        assert len(runs) == 1 and runs.iloc[0].status == "FINISHED", runs
        print("MLflow's server: told of a training as it went")


def same(ours, theirs):
    assert ours.data.params == theirs.data.params
    assert ours.data.metrics == theirs.data.metrics, "the last points"
    assert ours.info.start_time == theirs.info.start_time
    assert ours.info.end_time == theirs.info.end_time
    of_copying = ("biophony.cop", "biophony.send_to")
    own = lambda tags: {k: v for k, v in tags.items() if not k.startswith(of_copying)}  # noqa
    assert own(ours.data.tags) == own(theirs.data.tags)


def databases(biophony, folder, clip, expected, ours):
    """Databases are written for MLflow and read from it."""
    shutil.copytree(folder / "home" / "mlartifacts", folder / "their-artifacts")
    biophony("export", "mlflow-sqlite", "mlflow.db")
    old = revision(folder / "mlflow.db")
    read = ["import", "mlflow-sqlite", "mlflow.db", "--json"]
    added = json.loads(biophony(*read, home="from-old"))
    assert added["runs"] == 2 and added["versions"] >= 1 and added["logged_models"] == 2, added
    port = free_port()
    with mlflow_server(folder, port, "mlflow.db"):
        mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
        there = MlflowClient().get_run(ours.info.run_id)
        same(ours, there)
        [model] = MlflowClient().search_logged_models(
            [there.info.experiment_id], filter_string=f"source_run_id = '{there.info.run_id}'"
        )
        assert model.metrics and model.tags, model
        for uri in ("models:/biophony/1", f"models:/{model.model_id}", f"runs:/{there.info.run_id}/model"):
            ask(uri, f"the database: {uri}", clip, expected)
        # Something of today's MLflow that the old schema has no place for.
        mlflow.set_experiment("made there")
        with mlflow.start_run():
            mlflow.log_metric("odd", math.nan)
            mlflow.log_param("p", 1)
        mlflow.create_external_model(name="elsewhere")
    new = revision(folder / "mlflow.db")
    assert old != new, (old, new)
    files = ["--artifacts", "home/mlartifacts"]
    added = json.loads(biophony(*read, *files, home="from-new"))
    assert added["runs"] == 3 and added["logged_models"] == 3 and added["files"] > 0, added
    again = json.loads(biophony(*read, *files, home="from-new"))
    assert not any(again.values()), again
    more = json.loads(biophony(*read, home="from-old"))
    assert more["runs"] == 1 and more["versions"] == 0, more
    # What was taken in is in use there.
    biophony("models", "show", "champion", home="from-new")
    print(f"databases: written at {old}, read at {old} and at {new}, once")


def local_store(biophony, program, folder):
    """MLflow's store without a server is taken in, and served from here."""
    there = folder / "local"
    there.mkdir()
    work = """
import mlflow
mlflow.set_experiment("local")
with mlflow.start_run():
    mlflow.log_metric("loss", 0.5)
    mlflow.log_text("hello", "notes/hello.txt")
"""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    subprocess.run(
        [sys.executable, "-c", work], cwd=there, env=environment, check=True, capture_output=True
    )
    # The folder that its URIs lead to is no longer there.
    there.rename(folder / "moved")
    read = ["import", "mlflow-sqlite", "moved/mlflow.db", "--artifacts", "moved/mlruns", "--json"]
    added = json.loads(biophony(*read, home="from-local"))
    assert added["runs"] == 1 and added["files"] == 1 and added["files_elsewhere"] == 0, added
    with served(program, folder, "from-local") as address:
        mlflow.set_tracking_uri(address)
        [run] = mlflow.search_runs(experiment_names=["local"], output_format="list")
        assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/hello.txt") == "hello"
    again = json.loads(biophony(*read, home="from-local"))
    assert not any(again.values()), again
    print("MLflow's store without a server: taken in with its files")


def revision(file):
    with sqlite3.connect(file) as database:
        return database.execute("SELECT version_num FROM alembic_version").fetchone()[0]


class Process:
    """A program in a process group of its own, which is ended when it is not needed."""

    def __init__(self, command, cwd, stdout=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def __enter__(self):
        return self.address

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=60)


def served(program, folder, home):
    command = [program, "serve", "--addr", "127.0.0.1:0", "--home", home]
    process = Process(command, folder, subprocess.PIPE)
    line = process.process.stdout.readline()
    process.address = line.split()[-1]
    assert process.address.startswith("http://"), line
    return process


def mlflow_server(folder, port, database="mlflow.db"):
    folder.mkdir(exist_ok=True)
    command = [str(pathlib.Path(sys.executable).parent / "mlflow"), "server", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / database}"]
    command += ["--artifacts-destination", str(folder / "their-artifacts")]
    process = Process(command, folder)
    process.address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 300
    while process.process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{process.address}/health", timeout=5).read()
            return process
        except OSError:
            time.sleep(0.2)
    process.__exit__()
    raise AssertionError("MLflow's server does not start")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
