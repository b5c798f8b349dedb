//! Parameters that MLflow's server refuses or takes in a way of its own.

mod http;

use http::{Answer, TestServer};
use serde_json::{Value, json};

const HISTORIES: &str = "/ajax-api/2.0/mlflow/metrics/get-history-bulk";
const DOCS: &str = "See the API docs for more information about request parameters.";

fn start() -> TestServer {
    TestServer::start(|access| access)
}

fn new_run(server: &TestServer) -> String {
    let made = server.send("POST", "runs/create", json!({ "experiment_id": "0" }));
    text(&made.json()["run"]["info"]["run_id"])
}

/// A run with a metric `a` that has the value 0, 1 and so on.
fn measured_run(server: &TestServer, n_points: usize) -> String {
    let run = new_run(server);
    let points: Vec<Value> = (0..n_points)
        .map(|i| json!({ "key": "a", "value": i, "timestamp": i, "step": i }))
        .collect();
    let body = json!({ "run_id": run, "metrics": points });
    let logged = server.send("POST", "runs/log-batch", body);
    assert_eq!(logged.status, 200, "{logged:?}");
    run
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[track_caller]
fn check_refused(answer: &Answer, code: &str, message: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (400, code));
    assert_eq!(answer.json()["message"], message);
}

#[track_caller]
fn check_invalid(answer: &Answer, message: &str) {
    check_refused(answer, "INVALID_PARAMETER_VALUE", message);
}

#[test]
fn a_run_is_made_in_an_experiment_that_is_named() {
    let server = start();
    for body in [
        json!({}),
        json!({ "experiment_id": "" }),
        json!({ "experiment_id": null }),
    ] {
        check_refused(
            &server.send("POST", "runs/create", body),
            "BAD_REQUEST",
            &format!("Missing value for required parameter 'experiment_id'. {DOCS}"),
        );
    }
    let found = server.send("POST", "runs/search", json!({ "experiment_ids": ["0"] }));
    assert_eq!(found.body, "{}");
}

/// The runs and values of an answer about many histories.
#[track_caller]
fn histories(server: &TestServer, query: &str) -> Vec<(String, f64)> {
    let answer = server.get(&format!("{HISTORIES}?metric_key=a{query}"));
    let points = answer.json()["metrics"].clone();
    let points = points.as_array().expect("always a list").iter();
    let pair = |point: &Value| {
        let value = point["value"].as_f64().expect("a number");
        (text(&point["run_id"]), value)
    };
    points.map(pair).collect()
}

#[test]
fn histories_of_many_runs_are_one_list_with_one_limit() {
    let server = start();
    let mut runs = [measured_run(&server, 3), measured_run(&server, 3)];
    runs.sort();
    let [first, second] = &runs;
    let all: Vec<(String, f64)> = runs
        .iter()
        .flat_map(|run| [0.0, 1.0, 2.0].map(|value| (run.clone(), value)))
        .collect();
    let asked = format!("&run_id={second}&run_id={first}&run_id={second}&run_id=none");
    assert_eq!(histories(&server, &asked), all);
    for (max_results, n_points) in [
        ("0", 0),
        ("2", 2),
        ("3", 3),
        ("5", 5),
        ("99999", 6),
        ("-1", 5),
        ("-4", 2),
        ("-99", 0),
        ("-9223372036854775808", 0),
    ] {
        let query = format!("{asked}&max_results={max_results}");
        assert_eq!(histories(&server, &query), all[..n_points], "{max_results}");
    }
    assert_eq!(histories(&server, "&run_id="), []);
    let of_no_key = server.get(&format!("{HISTORIES}?metric_key=&run_id={first}"));
    assert_eq!(of_no_key.body, r#"{"metrics":[]}"#);
    check_invalid(
        &server.get(&format!("{HISTORIES}?run_id={first}")),
        "GetMetricHistoryBulk request must specify a metric_key.",
    );
    check_invalid(
        &server.get(&format!(
            "{HISTORIES}?metric_key=a{}",
            "&run_id=x".repeat(101)
        )),
        "GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received 101 run_ids.",
    );
}

#[test]
fn samples_of_histories_have_limits() {
    let server = start();
    let run = measured_run(&server, 3);
    let sample = |query: &str| {
        let path = "/api/2.0/mlflow/metrics/get-history-bulk-interval";
        server.get(&format!("{path}?metric_key=a{query}"))
    };
    for max_results in ["0", "-1", "2501"] {
        check_invalid(
            &sample(&format!("&run_ids={run}&max_results={max_results}")),
            &format!("max_results must be between 1 and 2500. {DOCS}"),
        );
    }
    for (max_results, n_points) in [("1", 1), ("2", 2), ("2500", 3)] {
        let answer = sample(&format!("&run_ids={run}&max_results={max_results}"));
        let points = answer.json()["metrics"].as_array().map(Vec::len);
        assert_eq!(points, Some(n_points), "{max_results}");
    }
    assert_eq!(sample(&"&run_ids=x".repeat(100)).body, "{}");
    check_invalid(
        &sample(&"&run_ids=x".repeat(101)),
        &format!(
            "GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received \
             101 run_ids. {DOCS}"
        ),
    );
}

#[test]
fn a_switch_is_true_or_false_and_no_text() {
    let server = start();
    let post = |route: &str, body: Value| server.send("POST", route, body);
    post("registered-models/create", json!({ "name": "birds" }));
    for stage in ["Production", "None"] {
        let source = json!({ "name": "birds", "source": "s3://b/m" });
        let made = post("model-versions/create", source).json()["model_version"].clone();
        let moved = json!({ "name": "birds", "version": made["version"], "stage": stage });
        assert_eq!(post("model-versions/transition-stage", moved).status, 200);
    }
    let promote = |archive: &Value| {
        let body = json!({
            "name": "birds", "version": "2", "stage": "Production",
            "archive_existing_versions": archive,
        });
        post("model-versions/transition-stage", body)
    };
    let stage = |version: u32| {
        let path = "/api/2.0/mlflow/model-versions/get?name=birds&version=";
        let version = server.get(&format!("{path}{version}")).json();
        text(&version["model_version"]["current_stage"])
    };
    for (archive, kind) in [
        (json!("x"), "str"),
        (json!("true"), "str"),
        (json!(1), "int"),
        (json!([]), "list"),
    ] {
        check_invalid(
            &promote(&archive),
            &format!(
                "Invalid value {archive} for parameter 'archive_existing_versions' supplied:  \
                 Hint: Value was of type '{kind}'. {DOCS}"
            ),
        );
        assert_eq!((stage(1), stage(2)), ("Production".into(), "None".into()));
    }
    assert_eq!(promote(&Value::Null).status, 200);
    assert_eq!(stage(1), "Production");
    assert_eq!(promote(&json!(true)).status, 200);
    assert_eq!(stage(1), "Archived");
}

#[test]
fn what_is_null_has_its_default() {
    let server = start();
    let run = new_run(&server);
    let body = json!({
        "run_id": run,
        "metrics": [{ "key": "m", "value": 1, "timestamp": 1, "step": null }],
        "params": [{ "key": "p", "value": null }],
        "tags": [{ "key": "t", "value": null }],
    });
    assert_eq!(server.send("POST", "runs/log-batch", body).body, "{}");
    let path = format!("/api/2.0/mlflow/runs/get?run_id={run}");
    let data = server.get(&path).json()["run"]["data"].clone();
    assert_eq!(data["metrics"][0]["step"], 0);
    assert_eq!(data["params"], json!([{ "key": "p", "value": "" }]));
    let tags = data["tags"].as_array().expect("tags");
    assert!(
        tags.contains(&json!({ "key": "t", "value": "" })),
        "{tags:?}"
    );
    let body = json!({ "experiment_id": "0", "tags": [{ "key": "t", "value": null }] });
    assert_eq!(server.send("POST", "runs/create", body).status, 200);
    // What must be there must still be there.
    for field in ["key", "value", "timestamp"] {
        let mut metric = json!({ "key": "m", "value": 1, "timestamp": 1 });
        metric[field] = Value::Null;
        let body = json!({ "run_id": run, "metrics": [metric] });
        check_invalid(
            &server.send("POST", "runs/log-batch", body),
            &format!("Missing value for required parameter 'metrics[0].{field}'. {DOCS}"),
        );
    }
}

#[test]
fn a_body_that_is_no_json_object_is_told_so() {
    let server = start();
    let run = new_run(&server);
    let kind = [("Content-Type", "application/json")];
    for (body, why) in [
        ("not json", "expected ident at line 1 column 2"),
        (
            r#"{"run_id":"#,
            "EOF while parsing a value at line 1 column 10",
        ),
        ("[1]", "it is of type 'list'"),
        ("5", "it is of type 'int'"),
    ] {
        for route in [
            "runs/update",
            "runs/log-batch",
            "runs/search",
            "logged-models/search",
        ] {
            let path = format!("/api/2.0/mlflow/{route}");
            check_invalid(
                &server.ask("POST", &path, &kind, body),
                &format!("Bad Request. The body must be a JSON object: {why}."),
            );
        }
    }
    // Nothing at all, or nothing said, is no parameter.
    for body in ["", "null"] {
        let answer = server.ask("POST", "/api/2.0/mlflow/runs/update", &kind, body);
        check_invalid(
            &answer,
            &format!("Missing value for required parameter 'run_id'. {DOCS}"),
        );
    }
    // Such a body does nothing, even where the path says all.
    let made = server.send("POST", "logged-models", json!({ "experiment_id": "0" }));
    let model = text(&made.json()["model"]["info"]["model_id"]);
    let path = format!("/api/2.0/mlflow/logged-models/{model}");
    assert_eq!(server.ask("DELETE", &path, &kind, "{").status, 400);
    assert_eq!(server.get(&path).status, 200);
    let path = format!("/api/2.0/mlflow/runs/get?run_id={run}");
    assert_eq!(server.get(&path).status, 200);
}

#[test]
fn a_body_that_is_not_utf8_is_told_so() {
    use std::io::{Read, Write};
    let server = start();
    let body = b"{\"run_id\":\"\xff\"}";
    let mut stream = std::net::TcpStream::connect(server.address()).expect("connects");
    let head = format!(
        "POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.address(),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sends");
    stream.write_all(body).expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(
        answer.contains("The body must be a JSON object"),
        "{answer}"
    );
}

#[test]
fn a_folder_is_no_file() {
    let server = start();
    let run = new_run(&server);
    let root = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts");
    server.ask("PUT", &format!("{root}/notes/a.txt"), &[], "text");
    let of_run = format!("/get-artifact?run_id={run}&path=");
    for path in [format!("{of_run}notes"), format!("{root}/notes")] {
        check_invalid(
            &server.get(&path),
            &format!("Artifact path refers to a directory, not a file: '0/{run}/artifacts/notes'"),
        );
    }
    assert_eq!(server.get(&format!("{of_run}notes/a.txt")).body, "text");
    assert_eq!(server.get(&format!("{of_run}none")).status, 404);
}
