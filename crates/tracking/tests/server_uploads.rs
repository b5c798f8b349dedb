//! Files that come in parts, or from MLflow's pages.

mod http;

use http::{Answer, TestServer};
use serde_json::{Value, json};

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// One step of an upload in parts, as the client asks for it.
fn step(server: &TestServer, name: &str, headers: &[(&str, &str)], mut body: Value) -> Answer {
    body["path"] = json!("/home/ada/large.bin");
    let path = format!("/api/2.0/mlflow-artifacts/mpu/{name}/1/run/artifacts");
    let headers = [headers, &[JSON]].concat();
    server.ask("POST", &path, &headers, &body.to_string())
}

/// Sends a part where `create` said, with the headers that it gave.
fn send_part(server: &TestServer, credential: &Value, text: &str) -> Answer {
    let url = credential["url"].as_str().expect("a URL");
    let base = format!("http://{}", server.address());
    let path = url.strip_prefix(&base).expect("leads to this server");
    let headers: Vec<(&str, &str)> = credential["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
        .collect();
    server.ask("PUT", path, &headers, text)
}

#[test]
fn a_file_comes_in_parts() {
    let token = "0123456789abcdef";
    let server = TestServer::start(|access| {
        let access = access.with_tokens(&format!("editor {token}"));
        access.expect("a token")
    });
    let bearer = format!("Bearer {token}");
    let pass = [("Authorization", bearer.as_str())];
    let created = step(&server, "create", &pass, json!({"num_parts": 3}));
    assert_eq!(created.status, 200, "{created:?}");
    let upload = created.json();
    let credentials = upload["credentials"].as_array().expect("a list");
    let mut parts = Vec::new();
    // The parts come in any order, and one of them twice.
    for (index, text) in [(2, "c"), (0, "x"), (1, "b"), (0, "a")] {
        let sent = send_part(&server, &credentials[index], text);
        assert_eq!(sent.status, 200, "{sent:?}");
        parts.retain(|part: &Value| part["part_number"] != index + 1);
        let tag = sent.header("etag").expect("a tag");
        parts.push(json!({"part_number": index + 1, "etag": tag}));
    }
    let whole = json!({"upload_id": upload["upload_id"], "parts": parts});
    let completed = step(&server, "complete", &pass, whole.clone());
    assert_eq!((completed.status, completed.body.as_str()), (200, "{}"));
    let path = format!("{FILES}/1/run/artifacts/large.bin");
    assert_eq!(server.ask("GET", &path, &pass, "").body, "abc");
    assert_eq!(step(&server, "complete", &pass, whole).status, 400);
    // Without the token that `create` passed on, nobody adds a part.
    let stripped = json!({"url": credentials[0]["url"], "headers": {}});
    assert_eq!(send_part(&server, &stripped, "a").status, 401);
}

#[test]
fn an_upload_in_parts_can_be_given_up() {
    let server = TestServer::start(|access| access);
    let upload = step(&server, "create", &[], json!({"num_parts": 1})).json();
    assert_eq!(
        send_part(&server, &upload["credentials"][0], "a").status,
        200
    );
    let id = json!({"upload_id": upload["upload_id"]});
    assert_eq!(step(&server, "abort", &[], id.clone()).status, 200);
    assert_eq!(step(&server, "abort", &[], id).status, 200);
    assert_eq!(
        send_part(&server, &upload["credentials"][0], "a").status,
        400
    );
    let uploads = server.folder().join("artifacts/.uploads");
    assert_eq!(std::fs::read_dir(uploads).expect("a folder").count(), 0);
}

#[test]
fn uploads_in_parts_lead_nowhere_else() {
    let server = TestServer::start(|access| access);
    for body in [
        json!({"upload_id": "../../secret", "parts": []}),
        json!({"upload_id": "", "parts": []}),
        json!({"upload_id": "0".repeat(32), "parts": []}),
        json!({"upload_id": "0".repeat(32)}),
        json!({"upload_id": "0".repeat(32), "parts": [{"part_number": 1, "etag": "../x"}]}),
    ] {
        let refused = step(&server, "complete", &[], body.clone());
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    for n_parts in [0, -1, 10_001] {
        let refused = step(&server, "create", &[], json!({"num_parts": n_parts}));
        assert_eq!(refused.status, 400, "{n_parts}");
    }
    for (folder, name) in [
        ("..%2f..", "x"),
        ("1", ".."),
        ("%252e%252e", "x"),
        (".uploads", "x"),
    ] {
        let path = format!("/api/2.0/mlflow-artifacts/mpu/create/{folder}");
        let body = json!({"path": name, "num_parts": 1}).to_string();
        let refused = server.ask("POST", &path, &[JSON], &body);
        assert_eq!(refused.status, 400, "{folder} {name}: {refused:?}");
    }
    for path in ["..%2f..%2fx/1", "0/1", "%2e%2e/1"] {
        let path = format!("/api/2.0/mlflow-artifacts/mpu/part/{path}");
        assert_eq!(server.ask("PUT", &path, &[], "x").status, 400, "{path}");
    }
}

#[test]
fn pages_upload_to_runs_and_read_files_of_models() {
    let server = TestServer::start(|access| access);
    let run = server.send("POST", "runs/create", json!({"experiment_id": "0"}));
    let run = run.json()["run"]["info"]["run_id"].clone();
    let run = run.as_str().expect("an identifier");
    let upload = |path: &str, body: &str| {
        let path = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}");
        server.ask("POST", &path, &[("Content-Type", "image/png")], body)
    };
    assert_eq!(upload("notes/a.png", "picture").status, 200);
    let back = server.get(&format!("/get-artifact?run_id={run}&path=notes/a.png"));
    assert_eq!(back.body, "picture");
    assert_eq!(upload("../../a.png", "x").status, 400);
    assert_eq!(upload("large", &"x".repeat((10 << 20) + 1)).status, 400);

    let model = server.send("POST", "logged-models", json!({"experiment_id": "0"}));
    let model = model.json()["model"]["info"]["model_id"].clone();
    let model = model.as_str().expect("an identifier");
    server.ask(
        "PUT",
        &format!("{FILES}/0/models/{model}/artifacts/MLmodel"),
        &[],
        "flavors",
    );
    let files = format!("/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files");
    let asked = |query: &str| server.get(&format!("{files}{query}"));
    assert_eq!(asked("?artifact_file_path=MLmodel").body, "flavors");
    assert_eq!(asked("?artifact_file_path=../MLmodel").status, 400);
    assert_eq!(asked("").code(), "BAD_REQUEST");
}
