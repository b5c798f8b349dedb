"""Exports runs to a real ZenML server and looks at them through ZenML's client.

usage: check_zenml.py BIOPHONY FOLDER

A demo is run twice, so that one run has steps that ran and one has steps that
were cached, and a run that fails stands beside them. The server is started on
loopback, with a configuration of its own below FOLDER, and stopped at the end.
"""

import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 180


def main():
    biophony, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    work = (folder / "work").resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    runs = make_runs(biophony, work)
    config = work / "zenml"
    os.environ.update(
        ZENML_CONFIG_PATH=str(config),
        ZENML_ANALYTICS_OPT_IN="false",
        ZENML_LOGGING_VERBOSITY="ERROR",
        AUTO_OPEN_DASHBOARD="false",
    )
    server, url = start_server(work)
    try:
        for run in runs:
            export = [biophony, "export", "zenml", "--url", url, "--run", run["id"]]
            print(output(export, work), end="")
        again = subprocess.run(export, cwd=work, capture_output=True, text=True)
        expect("a second export is refused", (again.returncode, "already" in again.stderr), (1, True))
        check(url, runs)
        check_api_key(biophony, work, url)
    finally:
        server.terminate()
        server.wait(timeout=30)
    print("ZenML shows the runs as they were")


def make_runs(biophony, work):
    """A demo, the same once more, and a run that fails."""
    output([biophony, "demo", "--out", "clips"], work)
    train = [biophony, "train", "clips", "--set", "train.epochs=2"]
    output(train, work)
    output(train, work)
    failing = train + ["--seed", "9", "--set", "run.timeout_seconds=0.2"]
    failed = subprocess.run(failing, cwd=work, capture_output=True, text=True)
    expect("a step without time fails", failed.returncode != 0, True)
    listed = json.loads(output([biophony, "runs", "list", "--json"], work))
    show = [biophony, "runs", "show", "--json"]
    # The oldest first: what is cached then refers to what is registered.
    listed.sort(key=lambda run: run["started_ms"])
    return [json.loads(output([*show, run["id"]], work)) for run in listed]


def start_server(work):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    zenml = pathlib.Path(sys.executable).parent / "zenml"
    log = (work / "server.log").open("w")
    # The server has a folder of its own: the client below is none of its processes.
    environment = os.environ | {"ZENML_CONFIG_PATH": str(work / "server")}
    server = subprocess.Popen(
        [zenml, "login", "--local", "--blocking", "--port", str(port), "--ip-address", "127.0.0.1"],
        stdout=log, stderr=log, env=environment, cwd=work,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(PATIENCE_SECONDS * 2):
        try:
            urllib.request.urlopen(f"{url}/api/v1/info", timeout=5).read()
            return server, url
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.5)
    server.terminate()
    sys.exit(f"the server did not start: see {work / 'server.log'}")


def check(url, runs):
    token = log_in(url)
    project = get(f"{url}/api/v1/projects/default", token)["id"]
    # The client reads its configuration when it is imported.
    os.environ.update(
        ZENML_STORE_URL=url, ZENML_STORE_API_TOKEN=token, ZENML_ACTIVE_PROJECT_ID=project
    )
    from zenml.client import Client

    client = Client()
    versions = {}
    for run in runs:
        check_run(client, url, token, run, versions)
    states = {step["state"] for run in runs for step in run["steps"]}
    expect("every kind of step was there", states >= {"ran", "cached", "failed", "skipped"}, True)


def check_run(client, url, token, run, versions):
    name = run["id"]
    theirs = client.get_pipeline_run(name)
    expect(f"{name}: pipeline", theirs.pipeline.name, run["pipeline"])
    status = {"finished": "completed", "failed": "failed"}[run["state"]]
    expect(f"{name}: status", theirs.status.value, status)
    for what, moment in (("start", theirs.start_time), ("end", theirs.end_time)):
        ours = run["started_ms" if what == "start" else "finished_ms"]
        # ZenML's times are UTC and do not say so.
        theirs_ms = moment.replace(tzinfo=datetime.timezone.utc).timestamp() * 1e3
        expect(f"{name}: {what}", abs(theirs_ms - ours) < 2, True)
    expect(f"{name}: program", theirs.run_metadata["program"], run["program"])

    reached = {step["step"]: step for step in run["steps"] if step["state"] != "skipped"}
    steps = client.list_run_steps(pipeline_run_id=theirs.id, size=100, hydrate=True).items
    expect(f"{name}: steps", sorted(step.name for step in steps), sorted(reached))
    specs = {spec["name"]: spec for spec in run["graph"]["steps"]}
    for step in steps:
        check_step(client, name, step, reached[step.name], specs[step.name], versions)
    check_edges(url, token, theirs.id, run)


def check_step(client, name, step, ours, spec, versions):
    where = f"{name} {step.name}"
    status = {"ran": "completed", "cached": "cached", "failed": "failed"}[ours["state"]]
    expect(f"{where}: status", step.status.value, status)
    expect(f"{where}: reason", step.run_metadata["reason"], ours["reason"][:4000])
    duration = (step.end_time - step.start_time).total_seconds()
    expect(f"{where}: duration", abs(duration - (ours["duration_ms"] or 0) / 1e3) < 2e-3, True)
    expect(f"{where}: parameters", step.config.parameters, spec["params"] or {})
    # What a failed step reads was known to it, too.
    inputs = {
        input["from"] + ("" if input["output"] == "output" else "." + input["output"])
        for input in spec["inputs"]
    }
    expect(f"{where}: inputs", set(step.inputs), inputs)
    if ours["state"] == "failed":
        expect(f"{where}: error", step.exception_info.message, ours["error"])
    expect(f"{where}: outputs", set(step.outputs), {output["name"] for output in ours["outputs"]})
    for output in ours["outputs"]:
        [artifact] = step.outputs[output["name"]]
        artifact = client.get_artifact_version(artifact.id)
        expect(f"{where}: content", artifact.uri, "blake3:" + output["content"])
        for key, value in output["metadata"].items():
            if isinstance(value, (str, int, float)):
                expect(f"{where}: {output['name']} {key}", artifact.run_metadata[key], value)
        if ours["state"] == "cached":
            known = versions.get((step.name, output["content"]))
            expect(f"{where}: {output['name']} is the one that was made", artifact.id, known)
        versions.setdefault((step.name, output["content"]), artifact.id)


def check_edges(url, token, run_id, run):
    """The graph that the dashboard draws."""
    dag = get(f"{url}/api/v1/runs/{run_id}/dag", token)
    nodes = {node["node_id"]: node for node in dag["nodes"]}
    drawn = sorted(
        (nodes[edge["source"]]["name"], nodes[edge["target"]]["name"]) for edge in dag["edges"]
    )
    expected = []
    for step in run["graph"]["steps"]:
        for input in step["inputs"]:
            is_source = any(source["name"] == input["from"] for source in run["graph"]["sources"])
            expected.append((input["from"] if is_source else input["output"], step["name"]))
        expected += [(step["name"], output["name"]) for output in step["outputs"]]
    expect(f"{run['id']}: edges", drawn, sorted(expected))
    print(f"{run['id']}: {dag['status']}, {len(nodes)} nodes, {len(drawn)} edges")


def check_api_key(biophony, work, url):
    """A key of a service account opens the door, a wrong one does not."""
    from zenml.client import Client

    client = Client()
    client.create_service_account("exporter")
    key = client.create_api_key("exporter", name="key").key
    export = [biophony, "export", "zenml", "--url", url, "--run", "newest", "--token"]
    good = subprocess.run([*export, key], cwd=work, capture_output=True, text=True)
    expect("a key is taken", "already" in good.stderr, True)
    wrong = subprocess.run([*export, "ZENKEY_wrong"], cwd=work, capture_output=True, text=True)
    expect("a wrong key is refused by call and status", "POST /login: status 401" in wrong.stderr, True)


def log_in(url):
    form = b"username=default&password="
    with urllib.request.urlopen(f"{url}/api/v1/login", data=form) as answer:
        return json.load(answer)["access_token"]


def get(url, token):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def output(command, work):
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: expected {expected!r}, found {found!r}")


if __name__ == "__main__":
    main()
