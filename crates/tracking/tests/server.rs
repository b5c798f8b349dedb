//! The server's classic routes, its quirks that clients rely on, and its manners.

mod http;

use std::net::TcpStream;

use biophony_tracking::server::MLFLOW_VERSION;
use http::TestServer;
use serde_json::json;

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

fn start() -> TestServer {
    TestServer::start(|access| access)
}

fn new_run(server: &TestServer) -> String {
    let answer = server.send("POST", "runs/create", json!({"experiment_id": "0"}));
    let run = answer.json();
    run["run"]["info"]["run_id"]
        .as_str()
        .expect("an identifier")
        .to_owned()
}

#[test]
fn it_says_that_it_is_well_and_which_mlflow_it_speaks() {
    let server = start();
    assert_eq!(server.get("/health").body, "OK");
    assert_eq!(server.get("/version").body, MLFLOW_VERSION);
    let info = server.get("/api/3.0/mlflow/server-info").json();
    assert_eq!(info["store_type"], "SqlStore");
    assert_eq!(info["multipart_uploads_enabled"], true);
}

#[test]
fn routes_are_under_both_prefixes() {
    let server = start();
    for prefix in ["/api", "/ajax-api"] {
        let path = format!("{prefix}/2.0/mlflow/experiments/get?experiment_id=0");
        let answer = server.get(&path).json();
        assert_eq!(answer["experiment"]["name"], "Default");
        assert_eq!(answer["experiment"]["workspace"], "default");
    }
}

#[test]
fn parts_of_mlflow_that_are_not_here_say_so() {
    let server = start();
    for path in [
        "/api/3.0/mlflow/traces/search",
        "/api/2.0/mlflow/webhooks",
        "/graphql",
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.code()),
            (501, "NOT_IMPLEMENTED".to_owned())
        );
    }
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get("/api/2.0/mlflow/runs/create").status, 405);
}

#[test]
fn an_error_has_mlflows_form() {
    let server = start();
    let answer = server.get("/api/2.0/mlflow/runs/get?run_id=bad%25id");
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.json(),
        json!({
            "error_code": "RESOURCE_DOES_NOT_EXIST",
            "message": "Run with id=bad%id not found",
            "sqlstate": "KAM00",
            "error_class": "RESOURCE_NOT_FOUND",
        })
    );
}

#[track_caller]
fn check_refusal(server: &TestServer, route: &str, body: serde_json::Value, message: &str) {
    let answer = server.send("POST", route, body);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.json()["message"], message);
}

#[test]
fn parameters_are_checked_in_mlflows_words() {
    let server = start();
    let run = new_run(&server);
    let docs = "See the API docs for more information about request parameters.";
    check_refusal(
        &server,
        "experiments/create",
        json!({}),
        &format!("Missing value for required parameter 'name'. {docs}"),
    );
    check_refusal(
        &server,
        "experiments/create",
        json!({"name": 5}),
        &format!(
            "Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'. {docs}"
        ),
    );
    check_refusal(
        &server,
        "runs/log-metric",
        json!({"run_id": run, "key": "a", "value": "x", "timestamp": 1}),
        &format!(
            "Invalid value \"x\" for parameter 'value' supplied:  Hint: Value was of type 'str'. \
             {docs}"
        ),
    );
    check_refusal(
        &server,
        "runs/search",
        json!({"max_results": 50001}),
        &format!(
            "Invalid value 50001 for parameter 'max_results' supplied:  Hint: Value was of type \
             'int'. {docs}"
        ),
    );
    let text = [("Content-Type", "text/plain")];
    let path = "/api/2.0/mlflow/experiments/create";
    let answer = server.ask("POST", path, &text, r#"{"name":"z"}"#);
    assert_eq!(
        answer.json()["message"],
        "Bad Request. Content-Type must be one of ['application/json']."
    );
}

/// MLflow stores 0 for such a value; that is a fault and is not copied.
#[test]
fn a_batch_with_a_value_that_is_no_number_is_refused() {
    let server = start();
    let run = new_run(&server);
    let metrics = json!([{"key": "m", "value": "x", "timestamp": 1}]);
    let answer = server.send(
        "POST",
        "runs/log-batch",
        json!({"run_id": run, "metrics": metrics}),
    );
    assert_eq!(answer.status, 400);
}

#[test]
fn quirks_that_clients_rely_on() {
    let server = start();
    let run = new_run(&server);
    let status = |method, route: &str, body| server.send(method, route, body).status;
    // Unknown fields are ignored, and an unknown status too.
    assert_eq!(
        status(
            "POST",
            "runs/update",
            json!({"run_id": run, "status": "BOGUS", "x": 1})
        ),
        200
    );
    // The old name of a run's identifier still works.
    assert_eq!(
        status("POST", "runs/restore", json!({"run_uuid": run})),
        200
    );
    // Whole numbers may be strings, and what is not a number has a name.
    let metric = json!({"run_id": run, "key": "s", "value": "NaN", "timestamp": "1", "step": "-3"});
    assert_eq!(status("POST", "runs/log-metric", metric), 200);
    let history = server.get(&format!(
        "/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=s"
    ));
    assert_eq!(
        history.json()["metrics"],
        json!([{"key": "s", "value": "NaN", "timestamp": 1, "step": -3}])
    );
    // A run that is not there has an empty history.
    let history = server.get("/api/2.0/mlflow/metrics/get-history?run_id=none&metric_key=s");
    assert_eq!((history.status, history.body.as_str()), (200, "{}"));
    // A missing alias is a bad parameter when read and nothing when removed.
    status("POST", "registered-models/create", json!({"name": "m"}));
    let read = server.get("/api/2.0/mlflow/registered-models/alias?name=m&alias=none");
    assert_eq!(
        (read.status, read.code()),
        (400, "INVALID_PARAMETER_VALUE".to_owned())
    );
    let alias = json!({"name": "m", "alias": "none"});
    assert_eq!(status("DELETE", "registered-models/alias", alias), 200);
    // A search for experiments must say how many it wants.
    assert_eq!(status("POST", "experiments/search", json!({})), 400);
    assert_eq!(server.send("POST", "runs/search", json!({})).body, "{}");
}

#[test]
fn numbers_are_taken_for_experiments_and_states_and_lists_are_lists() {
    let server = start();
    let run = new_run(&server);
    let search = |body| server.send("POST", "runs/search", body);
    let found = search(json!({ "experiment_ids": [0] })).json();
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(1));
    let refused = search(json!({ "experiment_ids": "0" }));
    assert_eq!(refused.status, 400);
    let models = |body| server.send("POST", "logged-models/search", body);
    assert_eq!(models(json!({ "experiment_ids": [] })).body, "{}");
    let refused = models(json!({ "experiment_ids": [0] }));
    assert_eq!(refused.status, 400);
    let message = refused.json()["message"].to_string();
    assert!(
        message.contains("Invalid value [0] for parameter 'experiment_ids'"),
        "{message}"
    );
    assert_eq!(models(json!({})).status, 400);
    for (number, name) in [
        (3, "FINISHED"),
        (4, "FAILED"),
        (5, "KILLED"),
        (1, "RUNNING"),
    ] {
        let body = json!({ "run_id": run, "status": number });
        let answer = server.send("POST", "runs/update", body).json();
        assert_eq!(answer["run_info"]["status"], name);
    }
    // A name that is unknown is nothing, as in protobuf; a number is refused.
    let update = |change| {
        let mut body = json!({ "run_id": run, "run_name": "" });
        body["status"] = change;
        server.send("POST", "runs/update", body)
    };
    assert_eq!(update(json!("4")).json()["run_info"]["status"], "FAILED");
    for change in [json!("BOGUS"), json!("99"), json!(null)] {
        assert_eq!(update(change).json()["run_info"]["status"], "FAILED");
    }
    for change in [json!(99), json!(0), json!(-1), json!([])] {
        let words = format!("Invalid value {change} for parameter 'status' supplied");
        let refused = update(change);
        assert_eq!(refused.status, 400);
        assert!(refused.body.contains(&words), "{refused:?}");
    }
}

#[test]
fn a_step_that_is_no_step_is_refused_and_not_bent() {
    let server = start();
    let run = new_run(&server);
    // Beyond 64 bits, as a number and as a text.
    for step in [
        "1180591620717411303424",
        "\"1180591620717411303424\"",
        "1e20",
        "-1e20",
    ] {
        for route in ["runs/log-metric", "runs/log-batch"] {
            let metric = format!(r#""key":"a","value":1,"timestamp":1,"step":{step}"#);
            let body = match route {
                "runs/log-metric" => format!(r#"{{"run_id":"{run}",{metric}}}"#),
                _ => format!(r#"{{"run_id":"{run}","metrics":[{{{metric}}}]}}"#),
            };
            let path = format!("/api/2.0/mlflow/{route}");
            let json = [("Content-Type", "application/json")];
            let answer = server.ask("POST", &path, &json, &body);
            assert_eq!(answer.status, 400, "{route} {step}: {}", answer.body);
        }
    }
    let history = format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=a");
    assert_eq!(server.get(&history).body, "{}");
}

#[test]
fn searches_of_any_length_are_answered() {
    let server = start();
    new_run(&server);
    let search = |filter: Vec<String>, order: Vec<String>| {
        let body = json!({
            "experiment_ids": ["0"], "filter": filter.join(" AND "), "order_by": order,
        });
        server.send("POST", "runs/search", body)
    };
    let clauses = |n: usize| (0..n).map(|i| format!("params.p{i} IS NULL")).collect();
    for n in [1, 16, 17, 1100, 2000] {
        let answer = search(clauses(n), Vec::new());
        assert_eq!(answer.status, 200, "{n} clauses: {}", answer.body);
        assert_eq!(answer.json()["runs"].as_array().map(Vec::len), Some(1));
    }
    let refused = search(clauses(2001), Vec::new());
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "INVALID_PARAMETER_VALUE")
    );
    let keys = |n: usize| (0..n).map(|i| format!("metrics.m{i}")).collect();
    assert_eq!(search(Vec::new(), keys(50)).status, 200);
    assert_eq!(search(Vec::new(), keys(51)).status, 400);
    let path = "/api/2.0/mlflow/registered-models/search?filter=";
    let filter = vec!["name%20LIKE%20'a%25'"; 1100].join("%20AND%20");
    assert_eq!(server.get(&format!("{path}{filter}")).status, 200);
}

#[test]
fn a_version_names_its_aliases_when_it_is_asked_for_by_itself() {
    let server = start();
    let post = |route, body| server.send("POST", route, body);
    post("registered-models/create", json!({ "name": "birds" }));
    post(
        "model-versions/create",
        json!({ "name": "birds", "source": "s3://b/m" }),
    );
    let alias = json!({ "name": "birds", "alias": "champion", "version": "1" });
    post("registered-models/alias", alias);
    let one = server
        .get("/api/2.0/mlflow/model-versions/get?name=birds&version=1")
        .json();
    assert_eq!(one["model_version"]["aliases"], json!(["champion"]));
    // As MLflow's server has it.
    let found = server.get("/api/2.0/mlflow/model-versions/search").json();
    assert_eq!(found["model_versions"][0]["version"], "1");
    assert_eq!(found["model_versions"][0].get("aliases"), None);
}

#[test]
fn prompts_are_registered_with_words_that_lead_nowhere_for_a_source() {
    let server = start();
    let prompt = |name: &str, source: &str, said: &str| {
        let tags = json!([{ "key": "mlflow.prompt.is_prompt", "value": said }]);
        let body = json!({ "name": name, "tags": tags });
        server.send("POST", "registered-models/create", body);
        let body = json!({ "name": name, "source": source, "tags": tags });
        server.send("POST", "model-versions/create", body)
    };
    assert_eq!(prompt("greeting", "dummy-source", "true").status, 200);
    for source in [
        "/etc/passwd",
        "file:///etc",
        "mlflow-artifacts:/1/x",
        "other",
    ] {
        let refused = prompt("greeting", source, "true");
        assert_eq!(refused.status, 400, "{source}");
        let message = refused.json()["message"].to_string();
        assert!(
            message.contains("must use an MLflow placeholder"),
            "{message}"
        );
    }
    assert_eq!(prompt("no-prompt", "dummy-source", "false").status, 400);
}

#[test]
fn a_run_carries_both_names_of_its_identifier() {
    let server = start();
    let run = new_run(&server);
    let info = server
        .get(&format!("/api/2.0/mlflow/runs/get?run_id={run}"))
        .json()["run"]["info"]
        .clone();
    assert_eq!(info["run_id"], info["run_uuid"]);
    assert_eq!(
        info["artifact_uri"],
        format!("mlflow-artifacts:/0/{run}/artifacts")
    );
}

#[test]
fn files_go_in_and_out_are_listed_and_deleted() {
    let server = start();
    let run = new_run(&server);
    let path = format!("{FILES}/0/{run}/artifacts/a%20b/c%2Bd.txt");
    let put = server.ask("PUT", &path, &[], "hello");
    assert_eq!((put.status, put.body.as_str()), (200, ""));
    assert_eq!(server.get(&path).body, "hello");
    let list = server
        .get(&format!("{FILES}?path=0/{run}/artifacts/a+b"))
        .json();
    assert_eq!(
        list["files"],
        json!([{"path": "c+d.txt", "is_dir": false, "file_size": 5}])
    );
    let of_run = server.get(&format!(
        "/api/2.0/mlflow/artifacts/list?run_id={run}&path=a%20b"
    ));
    assert_eq!(of_run.json()["files"][0]["path"], "a b/c+d.txt");
    let page = server.get(&format!("/get-artifact?run_id={run}&path=a%20b/c%2Bd.txt"));
    assert_eq!(page.body, "hello");
    assert_eq!(server.ask("DELETE", &path, &[], "").body, "{}");
    let gone = server.get(&path);
    assert_eq!(
        (gone.status, gone.code()),
        (404, "RESOURCE_DOES_NOT_EXIST".to_owned())
    );
    assert_eq!(server.get(&format!("{FILES}?path=nothing")).body, "{}");
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    use std::io::Write;
    let server = start();
    {
        let mut stream = TcpStream::connect(server.address()).expect("connects");
        let head = format!(
            "PUT {FILES}/1/half HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\nhalf",
            server.address()
        );
        stream.write_all(head.as_bytes()).expect("sends");
    }
    // The next whole upload shows that the server has gone on.
    server.ask("PUT", &format!("{FILES}/1/whole"), &[], "whole");
    assert_eq!(server.get(&format!("{FILES}/1/half")).status, 404);
    let list = server.get(&format!("{FILES}?path=1")).json();
    assert_eq!(list["files"].as_array().map(Vec::len), Some(1));
}

#[test]
fn models_are_logged_registered_and_loaded_by_alias() {
    let server = start();
    let run = new_run(&server);
    let model = server.send(
        "POST",
        "logged-models",
        json!({"experiment_id": "0", "name": "cnn", "source_run_id": run}),
    );
    let model = model.json()["model"]["info"].clone();
    let id = model["model_id"].as_str().expect("an identifier");
    let ready = json!({"model_id": id, "status": "LOGGED_MODEL_READY"});
    assert_eq!(
        server
            .send("PATCH", &format!("logged-models/{id}"), ready)
            .status,
        200
    );
    let named = server.send("POST", "registered-models/create", json!({"name": "birds"}));
    assert!(!named.body.contains("description"), "{named:?}");
    let source = format!("models:/{id}");
    let version = server.send(
        "POST",
        "model-versions/create",
        json!({"name": "birds", "source": source, "model_id": id}),
    );
    let version = version.json()["model_version"].clone();
    assert_eq!(
        (&version["version"], &version["run_id"]),
        (&json!("1"), &json!(run))
    );
    let alias = json!({"name": "birds", "alias": "champion", "version": "1"});
    assert_eq!(
        server.send("POST", "registered-models/alias", alias).status,
        200
    );
    let found = server.get("/api/2.0/mlflow/registered-models/alias?name=birds&alias=champion");
    assert_eq!(
        found.json()["model_version"]["aliases"],
        json!(["champion"])
    );
    let uri = server.get("/api/2.0/mlflow/model-versions/get-download-uri?name=birds&version=1");
    assert_eq!(uri.json()["artifact_uri"], model["artifact_uri"]);
    let tags = server
        .get(&format!("/api/2.0/mlflow/logged-models/{id}"))
        .json();
    assert_eq!(
        tags["model"]["info"]["tags"][0]["key"],
        "mlflow.modelVersions"
    );
}

#[test]
fn many_clients_at_once_lose_nothing() {
    let server = start();
    let run = new_run(&server);
    std::thread::scope(|scope| {
        for client in 0..10 {
            let (server, run) = (&server, &run);
            scope.spawn(move || {
                for step in 0..20 {
                    let metric = json!({
                        "run_id": run, "key": format!("m{client}"), "value": step,
                        "timestamp": 1, "step": step,
                    });
                    assert_eq!(server.send("POST", "runs/log-metric", metric).status, 200);
                }
            });
        }
    });
    for client in 0..10 {
        let history = server.get(&format!(
            "/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=m{client}"
        ));
        assert_eq!(history.json()["metrics"].as_array().map(Vec::len), Some(20));
    }
}

#[test]
fn after_it_was_stopped_it_listens_no_more() {
    let mut server = start();
    let address = server.address();
    assert_eq!(server.get("/health").status, 200);
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}
