"""Runs one session of the official MLflow client, and a list of raw requests,
against our server and against MLflow's own, and compares the answers.

usage: check_mlflow_client.py SERVE FOLDER [--only-ours]

Afterwards the tracking crate's contract suite runs with MLflow's server among its
stores. SERVE is our server's example program. Identifiers become `id1`, `id2` and so on
in the order in which they appear, so that what refers to what is compared too;
times become 0. With --only-ours the session must merely succeed.
"""

import json
import math
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
import zlib

os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    MLFLOW_ENABLE_ASYNC_LOGGING="false",
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
    GIT_PYTHON_REFRESH="quiet",
    # Our server takes large files in parts, and says so; MLflow's does not over a folder.
    MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 << 20),
    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20),
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
)
warnings.filterwarnings("ignore")

import mlflow  # noqa: E402
import mlflow_searches as searches  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import requests  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunTag, ViewType  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402


def main():
    serve, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    only_ours = "--only-ours" in sys.argv
    work = folder / "servers"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    ours = observe(work / "ours", lambda port, data: [serve, str(port), str(data)])
    if only_ours:
        failed = [name for name, answer in ours if str(answer).startswith("EXCEPTION")]
        sys.exit(f"failed: {failed}" if failed else 0)
    theirs = observe(work / "theirs", mlflow_server, contract)
    sys.exit(compare(ours, theirs))


def contract(uri, data):
    """The tracking crate's contract suite, with MLflow's server among the stores."""
    names = {"URI": uri, "DATABASE": str(data.resolve() / "m.db")}
    environment = {f"TRACKING_TEST_MLFLOW_{name}": value for name, value in names.items()}
    suite = ["cargo", "test", "-q", "-p", "biophony-tracking", "--test", "store_contract"]
    subprocess.run(suite, env={**os.environ, **environment}, check=True)


def mlflow_server(port, data):
    mlflow_program = pathlib.Path(sys.executable).parent / "mlflow"
    return [
        str(mlflow_program), "server", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{data}/m.db",
        "--artifacts-destination", f"{data}/artifacts",
    ]


def observe(data, command, then=lambda uri, data: None):
    """Starts a server, asks everything of it, does what comes then, and stops it."""
    data.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(data / "log", "w") as log:
        server = subprocess.Popen(
            command(port, data.resolve()), stdout=log, stderr=log, start_new_session=True
        )
    try:
        uri = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 180
        while True:
            try:
                if requests.get(uri + "/health", timeout=2).ok:
                    break
            except requests.RequestException:
                pass
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{command(port, data)[0]} does not serve, see {data}/log")
            time.sleep(0.05)
        seen = Observations()
        client_session(uri, seen)
        raw_requests(uri, seen)
        then(uri, data)
        return seen.steps
    finally:
        os.killpg(server.pid, 15)
        server.wait()


class Observations:
    """Answers with everything that differs from run to run made equal."""

    def __init__(self):
        self.steps = []
        self.names = {}

    def see(self, name, ask):
        try:
            answer = plain(ask())
        except Exception as error:  # noqa: BLE001 # every error is an answer
            answer = f"EXCEPTION {type(error).__name__}: {error}"
        self.steps.append((name, self.neutral(answer)))

    def neutral(self, answer):
        text = json.dumps(answer, sort_keys=True, default=str)
        # SQL in MLflow's errors has identifiers that nothing else has.
        text = re.sub(r"\[SQL: .*?sqlalche\.me/[\w/]*\)", "SQL", text)
        text = re.sub(r"\b(m-)?[0-9a-f]{32}\b", self.rename, text)
        text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "uuid", text)
        text = re.sub(r"\b1[78]\d{11}\b", "0", text)
        text = re.sub(r"127\.0\.0\.1:\d+", "host", text)
        return json.loads(text)

    def rename(self, match):
        return self.names.setdefault(match[0], f"id{len(self.names) + 1}")


def plain(value):
    """An entity as dictionaries and lists."""
    if isinstance(value, float) and not math.isfinite(value):
        # One of MLflow's routes writes it without quotes, which is no JSON.
        return "NaN" if math.isnan(value) else str(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "__iter__") and hasattr(value, "keys"):
        return {str(key): plain(value[key]) for key in value.keys()}
    if hasattr(value, "to_proto"):
        fields = {key: item for key, item in vars(value).items() if "trace" not in key}
        return {key.lstrip("_"): plain(item) for key, item in fields.items()}
    return str(value)


def tiny_model():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )


def client_session(uri, seen):
    """What a person does with the client in a day."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient(uri, uri)
    see = seen.see
    see("set_experiment", lambda: mlflow.set_experiment("birds"))
    see("set_experiment again", lambda: mlflow.set_experiment("birds"))
    see("experiment tag", lambda: mlflow.set_experiment_tag("site", "pond"))
    run = mlflow.start_run(run_name="r1", tags={"a": "b"}, description="d")
    id = run.info.run_id
    see("run", lambda: client.get_run(id).info)
    see("log_param", lambda: mlflow.log_param("lr", 0.1))
    see("log_params", lambda: mlflow.log_params({"depth": 4, "empty": ""}))
    see("log_metric", lambda: mlflow.log_metric("loss", 0.5, step=1))
    for name, value in [("nan", math.nan), ("inf", math.inf), ("ninf", -math.inf)]:
        see(f"log {name}", lambda: mlflow.log_metric(name, value))
    see("log_metrics", lambda: mlflow.log_metrics({"loss": 0.25, "f1": 0.9}, step=2))
    batch = dict(
        metrics=[Metric("bulk", i / 2, 1700000000000 + i, i) for i in range(10)],
        params=[Param("batch", "x")],
        tags=[RunTag("tag", "y")],
    )
    see("log_batch", lambda: client.log_batch(id, **batch))
    see("log_batch again", lambda: client.log_batch(id, **batch))
    see("set_tag", lambda: mlflow.set_tag("one", 1))
    see("set_tags", lambda: mlflow.set_tags({"two": 2, "three": 3}))
    see("delete_tag", lambda: mlflow.delete_tag("three"))
    see("delete_tag again", lambda: mlflow.delete_tag("three"))
    see("log_text", lambda: mlflow.log_text("hello", "notes/hello.txt"))
    see("log_dict", lambda: mlflow.log_dict({"k": [1, 2]}, "d.json"))
    with tempfile.TemporaryDirectory() as files:
        pathlib.Path(files, "a #ä.txt").write_text("a")
        pathlib.Path(files, "a.txt").write_text("a")
        pathlib.Path(files, "sub").mkdir()
        pathlib.Path(files, "sub", "b+c d.txt").write_text("b")
        see("log_artifact", lambda: mlflow.log_artifact(files + "/a.txt", "files"))
        see("log_artifact with a hash", lambda: mlflow.log_artifact(files + "/a #ä.txt", "odd"))
        see("log_artifacts", lambda: mlflow.log_artifacts(files + "/sub", "dir/sub"))
        large = pathlib.Path(files, "large.bin")
        large.write_bytes(bytes(range(256)) * (50 << 10))
        see("log large artifact", lambda: mlflow.log_artifact(str(large), "files"))
    see("load large artifact", lambda: zlib.crc32(pathlib.Path(
        mlflow.artifacts.download_artifacts(f"runs:/{id}/files/large.bin")).read_bytes()))
    data = mlflow.data.from_numpy(np.arange(6.0).reshape(3, 2), name="clips")
    see("log_input", lambda: mlflow.log_input(data, context="training"))
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    see("log_image", lambda: mlflow.log_image(image, "picture.png"))
    see("log_image steps", lambda: mlflow.log_image(image, key="spec", step=0, synchronous=True))
    example = np.array([[1.0, -1.0]], dtype=np.float32)

    def log_model():
        info = mlflow.onnx.log_model(
            tiny_model(), name="model", input_example=example, registered_model_name="birdnet"
        )
        seen.model_id = info.model_id
        return [info.model_id, info.registered_model_version]

    see("log_model", log_model)
    see("log_metric after model", lambda: mlflow.log_metric("after", 1.0, step=3, dataset=data))
    see("end_run", mlflow.end_run)
    see("register_model", lambda: vars(mlflow.register_model(f"runs:/{id}/model", "second")))
    see("get_logged_model", lambda: logged(mlflow.get_logged_model(seen.model_id)))
    see("search_logged_models", lambda: [
        logged(m) for m in client.search_logged_models(
            ["1"], filter_string="name = 'model' AND metrics.after > 0.5",
            order_by=[{"field_name": "metrics.after", "ascending": False}])
    ])
    see("search_logged_models none", lambda: client.search_logged_models(
        ["1"], filter_string="params.lr = 'nothing'"))
    see("whole run", lambda: whole(client.get_run(id)))
    see("history", lambda: client.get_metric_history(id, "bulk"))
    see("history nan", lambda: client.get_metric_history(id, "nan"))
    see("history inf", lambda: client.get_metric_history(id, "inf"))
    for path in [None, "notes", "dir", "dir/sub", "files", "odd", "nothing", "images"]:
        see(f"list_artifacts {path}", lambda: listing(client, id, path))
    see("load_text", lambda: mlflow.artifacts.load_text(f"runs:/{id}/notes/hello.txt"))
    see("load odd name", lambda: mlflow.artifacts.load_text(f"runs:/{id}/dir/sub/b+c d.txt"))
    see("load_image", lambda: mlflow.artifacts.load_image(f"runs:/{id}/picture.png").size)
    see("load missing", lambda: mlflow.artifacts.load_text(f"runs:/{id}/none.txt"))
    see("download", lambda: downloaded(id))
    registry_session(client, id, example, see)
    search_session(client, see)
    lifecycle_session(client, id, see)


def logged(model):
    metrics = sorted((m.key, m.value, m.step) for m in model.metrics or [])
    return [
        model.name, model.model_id, str(model.status), model.artifact_location,
        model.source_run_id, dict(model.params), sorted(model.tags), metrics,
        model.model_type,
    ]


def whole(run):
    inputs = [
        [vars(i.dataset), [(t.key, t.value) for t in i.tags]]
        for i in run.inputs.dataset_inputs
    ]
    outputs = [vars(o) for o in (run.outputs.model_outputs if run.outputs else [])]
    skip = ("mlflow.source", "mlflow.user", "mlflow.log")
    tags = {k: v for k, v in run.data.tags.items() if not k.startswith(skip)}
    info = {k: v for k, v in vars(run.info).items() if k != "_user_id"}
    return [info, run.data.metrics, run.data.params, tags, inputs, outputs]


def listing(client, id, path):
    files = client.list_artifacts(id, path)
    stable = [f for f in files if "images/" not in f.path]
    return [[f.path, f.is_dir, f.file_size] for f in stable]


def downloaded(id):
    with tempfile.TemporaryDirectory() as to:
        place = pathlib.Path(
            mlflow.artifacts.download_artifacts(run_id=id, artifact_path="dir", dst_path=to)
        )
        return sorted(
            [str(p.relative_to(place)), p.read_text()] for p in place.rglob("*") if p.is_file()
        )


def registry_session(client, id, example, see):
    see("alias", lambda: client.set_registered_model_alias("birdnet", "champion", "1"))
    see("by alias", lambda: vars(client.get_model_version_by_alias("birdnet", "champion")))
    see("by latest", lambda: vars(client.get_model_version_by_alias("birdnet", "Latest")))
    see("missing alias", lambda: client.get_model_version_by_alias("birdnet", "none"))
    for uri in ["models:/birdnet@champion", "models:/birdnet/1", f"runs:/{id}/model"]:
        see(f"predict {uri.split('/')[0]}",
            lambda: plain(mlflow.pyfunc.load_model(uri).predict(example)))
    see("stage", lambda: vars(
        client.transition_model_version_stage("birdnet", "1", "Production")))
    see("latest", lambda: [vars(v) for v in client.get_latest_versions("birdnet")])
    see("latest of a stage", lambda: client.get_latest_versions("birdnet", ["Staging"]))
    see("version tag", lambda: client.set_model_version_tag("birdnet", "1", "k", "v"))
    see("update version", lambda: vars(client.update_model_version("birdnet", "1", "words")))
    see("model tag", lambda: client.set_registered_model_tag("birdnet", "k", "v"))
    see("update model", lambda: client.update_registered_model("birdnet", "text").description)
    see("get model", lambda: registered(client.get_registered_model("birdnet")))
    see("get version", lambda: vars(client.get_model_version("birdnet", "1")))
    for filter in ["", *searches.VERSION_FILTERS]:
        see(f"versions {filter}", lambda: [
            [v.name, v.version, v.current_stage, v.tags]
            for v in client.search_model_versions(filter)])
    for order in searches.VERSION_ORDERS:
        see(f"versions by {order}", lambda: [
            [v.name, v.version] for v in client.search_model_versions(order_by=[order])])
    for filter in ["", *searches.MODEL_FILTERS]:
        see(f"models {filter}", lambda: [
            registered(m) for m in client.search_registered_models(filter)])
    for order in searches.MODEL_ORDERS:
        see(f"models by {order}", lambda: [
            m.name for m in client.search_registered_models(order_by=[order])])
    def prompt():
        made = client.register_prompt("greeting", "Hello {{name}}", commit_message="first")
        return [made.name, made.version, made.template, made.commit_message]

    see("register prompt", prompt)
    see("load prompt", lambda: client.get_prompt_version("greeting", "1").template)
    see("versions with their names", lambda: [
        [v.name, v.version, v.aliases] for v in client.search_model_versions()])
    see("copy version", lambda: vars(client.copy_model_version("models:/birdnet/1", "third")))
    see("rename", lambda: registered(client.rename_registered_model("birdnet", "renamed")))
    see("missing model", lambda: client.get_registered_model("birdnet"))
    see("create existing", lambda: client.create_registered_model("second"))
    see("delete version tag", lambda: client.delete_model_version_tag("renamed", "1", "k"))
    see("delete model tag", lambda: client.delete_registered_model_tag("renamed", "k"))
    see("delete alias", lambda: client.delete_registered_model_alias("renamed", "champion"))
    see("delete version", lambda: client.delete_model_version("renamed", "1"))
    see("deleted version", lambda: client.get_model_version("renamed", "1"))
    see("delete model", lambda: client.delete_registered_model("renamed"))


def registered(model):
    return [
        model.name, model.description, model.tags, model.aliases,
        [(v.version, v.current_stage) for v in model.latest_versions or []],
    ]


def search_session(client, see):
    experiment = client.create_experiment("searching", tags={"t": "1"})
    for i, (optimizer, loss) in enumerate(
        [("adam", 0.5), ("Adam", math.nan), ("sgd", None), ("adamw", 0.1)]
    ):
        run = client.create_run(
            experiment, start_time=1000 + i, run_name=f"s{i}", tags={"parity": str(i % 2), "a b": "x y"}
        )
        client.log_param(run.info.run_id, "optimizer", optimizer)
        if loss is not None:
            client.log_metric(run.info.run_id, "val loss", loss, timestamp=1, step=0)
        client.set_terminated(run.info.run_id, "FINISHED" if i % 2 else "FAILED", end_time=9000)

    def names(**how):
        return [r.info.run_name for r in client.search_runs([experiment], **how)]

    for filter in searches.RUN_FILTERS:
        see(f"runs {filter}", lambda: names(filter_string=filter))
    for order in searches.RUN_ORDERS:
        see(f"runs by {order}", lambda: names(order_by=order))

    def pages():
        sizes, token = [], None
        while True:
            page = client.search_runs([experiment], max_results=3, page_token=token)
            sizes.append([r.info.run_name for r in page])
            token = page.token
            if not token:
                return sizes

    see("pages", pages)
    see("junk token", lambda: names(page_token="junk"))
    for filter in searches.EXPERIMENT_FILTERS:
        see(f"experiments {filter}", lambda: [
            e.name for e in client.search_experiments(filter_string=filter)])
    for order in searches.EXPERIMENT_ORDERS:
        see(f"experiments by {order}", lambda: [
            e.name for e in client.search_experiments(order_by=[order])])
    for filter in searches.LOGGED_FILTERS:
        see(f"logged models {filter}", lambda: [
            m.name for m in client.search_logged_models(["1"], filter_string=filter)])
    for order in searches.LOGGED_ORDERS:
        see(f"logged models by {order}", lambda: [
            m.name for m in client.search_logged_models(["1"], order_by=[order])])


def lifecycle_session(client, id, see):
    with mlflow.start_run(run_name="parent"):
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("m", 1)
    see("nested", lambda: whole(client.get_run(child.info.run_id))[3].get("mlflow.parentRunId"))
    with mlflow.start_run(run_id=id):
        mlflow.log_metric("resumed", 1)
    see("resumed", lambda: client.get_run(id).info.status)
    see("delete run", lambda: client.delete_run(id))
    see("write to deleted", lambda: client.log_metric(id, "x", 1))
    see("deleted run", lambda: client.get_run(id).info.lifecycle_stage)
    see("deleted only", lambda: [
        r.info.run_name for r in client.search_runs(["1"], run_view_type=ViewType.DELETED_ONLY)])
    see("restore run", lambda: client.restore_run(id))
    see("rename experiment", lambda: client.rename_experiment("1", "fowl"))
    see("delete experiment tag", lambda: client.delete_experiment_tag("1", "site"))
    see("delete experiment", lambda: client.delete_experiment("1"))
    see("run in deleted", lambda: client.create_run("1"))
    see("deleted experiment", lambda: client.get_experiment("1"))
    see("restore experiment", lambda: client.restore_experiment("1"))
    see("experiments", lambda: [
        [e.name, e.lifecycle_stage] for e in client.search_experiments(view_type=ViewType.ALL)])
    see("delete logged model", lambda: len(client.search_logged_models(["1"])))
    see("missing run", lambda: client.get_run("0" * 32))
    see("same experiment", lambda: client.create_experiment("fowl"))
    see("other param", lambda: client.log_param(id, "lr", 2))
    see("bad metric name", lambda: client._tracking_client.store.log_metric(
        id, Metric("a%", 1, 1, 0)))


def raw_requests(uri, seen):
    """Requests that the client would not send: what is missing, wrong or hostile."""
    api = "/api/2.0/mlflow/"
    experiment = requests.post(uri + api + "experiments/create", json={"name": "raw"}).json()[
        "experiment_id"]
    info = requests.post(
        uri + api + "runs/create", json={"experiment_id": experiment, "run_name": "raw"}
    ).json()["run"]["info"]
    run = info["run_id"]
    gone = "f" * 32
    metric = {"run_id": run, "key": "a", "value": 1, "timestamp": 1}

    def ask(method, path, body=None, **more):
        if isinstance(body, str):
            more["data"] = body
        elif body is not None:
            more["json"] = body

        def send():
            answer = requests.request(method, uri + path, **more)
            try:
                return [answer.status_code, answer.json()]
            except ValueError:
                return [answer.status_code, answer.headers.get("content-type", "").split(";")[0]]

        seen.see(f"{method} {path} {json.dumps(body)[:90]}", send)

    def post(path, body, **more):
        ask("POST", api + path, body, **more)

    def get(path):
        ask("GET", api + path)

    for body in [{"name": ""}, {}, {"name": 5}, {"name": "x" * 501},
                 {"name": "x", "artifact_location": "runs:/a"},
                 {"name": "y", "artifact_location": "../a?b#c"},
                 *[{"name": "h", "artifact_location": uri} for uri in searches.HOSTS]]:
        post("experiments/create", body)
    post("experiments/create", "not json", headers={"Content-Type": "application/json"})
    post("experiments/create", '{"name":"z"}', headers={"Content-Type": "text/plain"})
    for query in ["experiment_id=999", "experiment_id=abc", "", "experiment_id=0"]:
        get(f"experiments/get?{query}")
    get("experiments/get-by-name?experiment_name=zz")
    post("experiments/delete", {"experiment_id": "999"})
    for body in [{"max_results": 0}, {"max_results": 50001}, {}, {"max_results": 1},
                 {"max_results": 5, "page_token": "junk"},
                 {"max_results": 5, "order_by": ["name ASC", "name DESC"]}]:
        post("experiments/search", body)
    for taken in ["Default", "raw"]:
        post("experiments/update", {"experiment_id": experiment, "new_name": taken})
    for body in [{"experiment_id": "999"}, {}, {"experiment_id": ""}, {"experiment_id": None}]:
        post("runs/create", body)
    for query in ["run_id=nope", "", "run_id=bad%25id"]:
        get(f"runs/get?{query}")
    for change in [{"key": "a%"}, {"key": "a/../b"}, {"key": "a" * 251}, {"value": "x"},
                   {"value": None}, {"timestamp": -1}, {"timestamp": None}, {"run_id": gone},
                   {"run_id": None}, {}, {"value": "NaN", "timestamp": "1", "step": "-3"}]:
        post("runs/log-metric", {**metric, **change})
    # MLflow's server stores the run's part nevertheless, so this is a run of its own.
    other = requests.post(uri + api + "runs/create", json={"experiment_id": "0"}).json()
    other = other["run"]["info"]["run_id"]
    seen.neutral([other, "m-" + gone])
    of_none = {"key": "unknown model", "value": 1, "timestamp": 1, "model_id": "m-" + gone}
    post("runs/log-metric", {"run_id": other, **of_none})
    post("runs/log-batch", {"run_id": other, "metrics": [of_none]})
    for change in [{}, {}, {"value": "2"}, {"key": ""}, {"key": "empty", "value": ""}]:
        post("runs/log-parameter", {"run_id": run, "key": "p", "value": "1", **change})
    post("runs/set-tag", {"run_id": run, "key": "k" * 251, "value": "v"})
    post("runs/delete-tag", {"run_id": run, "key": "zz"})
    many = [{"key": "m", "value": 1.0, "timestamp": 1, "step": i} for i in range(1001)]
    params = [{"key": f"q{i}", "value": "1"} for i in range(101)]
    for change in [
        {"metrics": many}, {"metrics": many[:999], "params": params[:2]}, {"params": params},
        {"params": [{"key": "d", "value": "1"}, {"key": "d", "value": "2"}]},
        {"params": [{"key": "p", "value": "other"}]}, {}, {"metrics": [{"key": "m"}]},
        {"tags": [{"value": "x"}]}, {"metrics": [{**metric, "key": "b%"}]},
    ]:
        post("runs/log-batch", {"run_id": run, **change})
    for change in [{"metrics": [{**metric, "key": "null", "step": None}]},
                   {"params": [{"key": "null", "value": None}]},
                   {"tags": [{"key": "null", "value": None}]}]:
        post("runs/log-batch", {"run_id": run, **change})
    post("runs/create", {"experiment_id": experiment, "run_name": "null",
                         "tags": [{"key": "a null", "value": None}]})
    for change in [{"max_results": 50001}, {"max_results": 0}, {"page_token": "junk"},
                   {"order_by": ["metrics.a FOO"]}, {"experiment_ids": []},
                   {"experiment_ids": ["x"]}, {"filter": "metrics.a > 'x'"},
                   {"experiment_ids": [int(experiment)]}, {"experiment_ids": experiment}]:
        post("runs/search", {"experiment_ids": [experiment], **change})
    for body in [{"experiment_ids": []}, {}, {"experiment_ids": [int(experiment)]}]:
        post("logged-models/search", body)
    for query in [f"run_id={run}&metric_key=none", f"run_id={gone}&metric_key=none",
                  f"run_id={run}", f"run_id={run}&metric_key=m&max_results=0",
                  f"run_id={run}&metric_key=a&max_results=1"]:
        get(f"metrics/get-history?{query}")
    sampled = "metrics/get-history-bulk-interval?metric_key=a"
    for max_results in [3, 0, -1, 2501]:
        get(f"{sampled}&run_ids={run}&max_results={max_results}")
    for n_runs in [0, 100, 101]:
        get(sampled + "&run_ids=x" * n_runs)
    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    for runs in [[run], [run, other], [run, other, run], [gone], [""], ["x"] * 101, []]:
        asked = "".join(f"&run_id={id}" for id in runs)
        ask("GET", f"{bulk}?metric_key=a{asked}")
    for max_results in [0, 1, 2, -1, -2, -99]:
        ask("GET", f"{bulk}?metric_key=a&run_id={run}&max_results={max_results}")
    ask("GET", f"{bulk}?run_id={run}")
    ask("GET", f"{bulk}?run_id={run}&metric_key=")
    datasets = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    for ids in [["1"], [], [str(i) for i in range(21)], ["x"], [experiment]]:
        ask("POST", datasets, {"experiment_ids": ids})
    ask("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=notes/a.txt", "text",
        headers={"Content-Type": "application/octet-stream"})
    ask("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=../a.txt", "text")
    get(f"artifacts/list?run_id={run}&path=notes")
    models = "/ajax-api/2.0/mlflow/logged-models/"
    ask("GET", f"{models}{seen.model_id}/artifacts/files?artifact_file_path=MLmodel")
    ask("GET", f"{models}{seen.model_id}/artifacts/files")
    ask("GET", f"{models}{seen.model_id}/artifacts/files?artifact_file_path=../x")
    made = requests.post(uri + api + "logged-models", json={"experiment_id": experiment}).json()
    for _ in range(2):
        ask("DELETE", f"{api}logged-models/{made['model']['info']['model_id']}")
    ask("DELETE", f"{api}logged-models/m-{gone}")
    post("runs/delete", {"run_id": run})
    post("runs/log-metric", metric)
    post("runs/update", {"run_id": run, "status": "FINISHED"})
    post("runs/restore", {"run_id": run})
    post("runs/restore", {"run_id": run})
    post("runs/update", {"run_id": run, "status": "BOGUS"})
    for status in [4, 99, 0, "3", "99", []]:
        post("runs/update", {"run_id": run, "status": status})
    post("runs/update", {"run_id": run, "run_name": ""})
    post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": 5, "run_name": "nn"})
    for name in ["a/b", "", "second"]:
        post("registered-models/create", {"name": name})
    get("registered-models/get?name=zz")
    root = info["artifact_uri"]
    for body in [
        {"name": "zz", "source": "mlflow-artifacts:/1/x"}, {"source": "file:///etc"},
        {"source": "/etc/passwd", "run_id": run}, {"source": "mlflow-artifacts:/../../etc"},
        {"source": "http://evil/x#../../"}, {}, {"source": root + "/m", "run_id": run},
        {"source": f"runs:/{gone}/m", "run_id": run}, {"source": "//proc/self/root"},
        {"source": root + "/../x", "run_id": run}, {"source": root + "/%2e%2e/x", "run_id": run},
        {"source": "models:/m-" + gone}, *[{"source": uri} for uri in searches.HOSTS],
        {"source": f"runs://{run}/m", "run_id": run},
        {"source": root.replace(":/", "://", 1) + "/m", "run_id": run},
    ]:
        post("model-versions/create", {"name": "second", **body})
    for query in ["name=second&version=99", "name=second&version=x", "name=none&version=1",
                  "name=second&version=-1", "name=second&version=99999999999"]:
        get(f"model-versions/get?{query}")
    post("model-versions/transition-stage", {"name": "second", "version": "1", "stage": "Foo"})
    for archive in ["x", "true", 1, []]:
        post("model-versions/transition-stage", {
            "archive_existing_versions": archive, "name": "second", "version": "1",
            "stage": "Staging"})
    for alias, version in [("latest", "1"), ("v3", "1"), ("a b", "1"), ("ok", "77")]:
        for name in ["second", "none"]:
            post("registered-models/alias", {"name": name, "alias": alias, "version": version})
    get("registered-models/alias?name=second&alias=none")
    get("registered-models/alias?name=second&alias=latest")
    post("registered-models/create", {"name": "copies"})
    get("registered-models/alias?name=copies&alias=latest")
    for source in ["second/1", "second/latest", "second@latest", "second/99", "none/1", "second/x",
                   "second/1/a", "second@none"]:
        for body in [{}, {"run_id": gone}]:
            post("model-versions/create", {"name": "copies", "source": "models:/" + source, **body})
    ask("DELETE", api + "registered-models/alias", {"name": "second", "alias": "none"})
    get("registered-models/search?max_results=1001")
    get("model-versions/search?max_results=200001")
    get("registered-models/search?filter=foo%3D'1'")
    get(f"artifacts/list?run_id={run}")
    get(f"artifacts/list?run_id={run}&path=../..")
    for path in ["../../x", "notes", "notes/a.txt", "none"]:
        ask("GET", f"/get-artifact?run_id={run}&path={path}")
    files = "/api/2.0/mlflow-artifacts/artifacts"
    ask("GET", files + "?path=../..")
    for path in ["..%2f..%2fetc%2fpasswd", "..%252f..%252fetc/passwd", "1/none", "a%23b",
                 "%2fetc%2fpasswd"]:
        ask("GET", f"{files}/{path}")
    ask("PUT", f"{files}/9/raw/x.txt", "text")
    ask("GET", files + "?path=9/raw")
    ask("PUT", f"{files}/..%2f..%2fx", "text")
    ask("DELETE", f"{files}/9/raw/x.txt")
    ask("DELETE", f"{files}/9/raw/x.txt")
    ask("GET", "/api/2.0/mlflow/runs/create")
    ask("GET", "/health")
    for headers in [{"Host": "evil.example"}, {"Origin": "http://evil.example"}]:
        post("experiments/create", {"name": "csrf"}, headers=headers)
    ask("GET", "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0")


# Differences that are meant, by a piece of the step's name. What comes of the request is
# the same even there: only words and values may differ.
MEANT = {
    'POST /api/2.0/mlflow/experiments/create {"name": "x"': "SQL is not quoted in errors",
    "POST /api/2.0/mlflow/experiments/create \"not json\"": "it is said that it is no JSON",
    '"new_name": "Default"}': "SQL is not quoted in errors",
    "same experiment": "SQL is not quoted in errors",
    **{f"POST /api/2.0/mlflow/runs/create {body}": "SQL is not quoted in errors"
       for body in ["{}", '{"experiment_id": ""}', '{"experiment_id": null}']},
    '"unknown model"': "SQL is not quoted in errors",
    'runs/search {"experiment_ids": [3]}': "a number is read as an identifier, not as nothing",
    '{"name": "copies", "source": "models:/second/1"}': "a version names its logged model",
    "get_logged_model": "NaN of a model's metric stays NaN, and does not become 0",
}


def compare(ours, theirs):
    differences = 0
    for (name, our_answer), (_, their_answer) in zip(ours, theirs, strict=True):
        if alike(our_answer, their_answer):
            continue
        meant = None
        if outcome(our_answer) == outcome(their_answer):
            meant = next((why for part, why in MEANT.items() if part in name), None)
        stumbled = "too many 500 error responses" in str(their_answer)
        if stumbled and str(our_answer).startswith("EXCEPTION"):
            meant = "a filter that MLflow's server stumbles over is refused in words"
        if meant is None:
            differences += 1
            print(f"--- {name}\n  ours:   {show(our_answer)}\n  theirs: {show(their_answer)}")
    print(f"{len(ours)} answers compared, {differences} differ")
    return min(differences, 1)


def outcome(answer):
    """What came of a request, without words and values: `None` for a client's success."""
    match answer:
        case [int(status), {"error_code": code}]:
            return [status, code]
        case [int(status), {}]:
            return [status]
        case str(text) if text.startswith("EXCEPTION"):
            # The kind of error, and MLflow's code where there is one.
            return text.split(":")[:2]
        case _:
            return None


def show(answer):
    return json.dumps(answer, sort_keys=True)[:1500]


def alike(a, b):
    """Equal but for the order of Python's sets in messages."""
    return sets_sorted(json.dumps(a, sort_keys=True)) == sets_sorted(json.dumps(b, sort_keys=True))


def sets_sorted(text):
    return re.sub(r"\{('[^{}]*')\}", lambda m: str(sorted(m[1].split(", "))), text)


if __name__ == "__main__":
    main()
