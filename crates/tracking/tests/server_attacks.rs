//! What the server must turn away: each class of attack that MLflow's advisories
//! show, tried on a real socket.

mod http;

use http::{Answer, TestServer};

const EDITOR: &str = "0123456789abcdef-editor";
const VIEWER: &str = "0123456789abcdef-viewer";
const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

fn server_with_tokens() -> TestServer {
    TestServer::start(|access| {
        access
            .with_tokens(&format!("editor {EDITOR}\nviewer {VIEWER}\n"))
            .expect("good tokens")
    })
}

/// Plants a file outside the root of artifacts and checks that no path leads there.
#[test]
fn no_artifact_path_leads_out_of_the_root() {
    let server = TestServer::start(|access| access);
    let secret = server.folder().join("secret");
    std::fs::write(&secret, "the secret").expect("writes");
    let absolute = secret.to_str().expect("UTF-8").to_owned();
    let encoded = absolute.replace('/', "%2f");
    for path in [
        "../secret".to_owned(),
        "..%2fsecret".to_owned(),
        "%2e%2e%2fsecret".to_owned(),
        "..%252fsecret".to_owned(),
        "%252e%252e%252fsecret".to_owned(),
        "%25252e%25252e%25252fsecret".to_owned(),
        "a/..%2f..%2fsecret".to_owned(),
        "..%5csecret".to_owned(),
        "..%c0%afsecret".to_owned(),
        format!("/{absolute}"),
        encoded.clone(),
        format!("%2f{encoded}"),
        "%2f%2fproc%2fself%2froot%2fetc%2fhostname".to_owned(),
        "file:%2f%2f%2fetc%2fpasswd".to_owned(),
        "x%23..%2f..%2fsecret".to_owned(),
        "secret%00".to_owned(),
        ".uploads%2fx".to_owned(),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let body = if method == "PUT" { "overwritten" } else { "" };
            let answer = server.ask(method, &format!("{FILES}/{path}"), &[], body);
            assert!(
                !answer.body.contains("the secret"),
                "{method} {path}: {answer:?}"
            );
            assert!(
                answer.status >= 400 || method == "DELETE",
                "{method} {path}: {answer:?}"
            );
        }
        let listed = server.ask("GET", &format!("{FILES}?path={path}"), &[], "");
        assert!(!listed.body.contains("secret\""), "{path}: {listed:?}");
    }
    assert_eq!(
        std::fs::read_to_string(&secret).expect("still there"),
        "the secret"
    );
}

#[cfg(unix)]
#[test]
fn no_link_among_artifacts_is_followed() {
    let server = TestServer::start(|access| access);
    let outside = server.folder().join("outside");
    std::fs::create_dir(&outside).expect("creates");
    std::fs::write(outside.join("file"), "the secret").expect("writes");
    std::os::unix::fs::symlink(&outside, server.folder().join("artifacts/link")).expect("links");
    let get = server.ask("GET", &format!("{FILES}/link/file"), &[], "");
    assert_eq!(get.status, 404);
    let put = server.ask("PUT", &format!("{FILES}/link/new"), &[], "x");
    assert_eq!(put.status, 400);
    server.ask("DELETE", &format!("{FILES}/link/file"), &[], "");
    assert!(outside.join("file").exists());
    assert!(!outside.join("new").exists());
}

#[test]
fn foreign_hosts_are_turned_away_everywhere_but_at_the_health_check() {
    let server = TestServer::start(|access| access);
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.example:80",
        "8.8.8.8.evil.example",
    ] {
        let get = |path: &str| server.ask("GET", path, &[("Host", host)], "");
        assert_eq!(
            get("/api/2.0/mlflow/experiments/get?experiment_id=0").status,
            403,
            "{host}"
        );
        assert_eq!(get(&format!("{FILES}?path=")).status, 403, "{host}");
        assert_eq!(get("/health").status, 200, "{host}");
    }
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let server = TestServer::start(|access| access);
    let create = |origin| {
        server.ask(
            "POST",
            "/api/2.0/mlflow/experiments/create",
            &[("Origin", origin), ("Content-Type", "application/json")],
            r#"{"name":"csrf"}"#,
        )
    };
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost.evil.example",
        "",
    ] {
        let answer = create(origin);
        assert_eq!(answer.status, 403, "{origin:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // A form can send plain text without asking first.
    let plain = server.ask(
        "POST",
        "/api/2.0/mlflow/experiments/create",
        &[("Content-Type", "text/plain")],
        r#"{"name":"csrf"}"#,
    );
    assert_eq!(plain.status, 400);
    assert_eq!(create("http://localhost:3000").status, 200);
}

#[test]
fn without_a_token_nothing_is_told_and_a_viewer_changes_nothing() {
    let server = server_with_tokens();
    let get = "/api/2.0/mlflow/experiments/get?experiment_id=0";
    let with = |method, path: &str, authorization: &str, body| {
        let headers = [
            ("Authorization", authorization),
            ("Content-Type", "application/json"),
        ];
        server.ask(method, path, &headers, body)
    };
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(server.ask("GET", get, &[], "").status, 401);
    for wrong in [
        "Bearer ",
        "Bearer 0123456789abcdef",
        "Basic !!",
        "Digest x",
        "Bearer x y z",
    ] {
        assert_eq!(with("GET", get, wrong, "").status, 401, "{wrong}");
    }
    assert_eq!(with("GET", get, &bearer(VIEWER), "").status, 200);
    let search = "/api/2.0/mlflow/runs/search";
    assert_eq!(with("POST", search, &bearer(VIEWER), "{}").status, 200);
    let create = "/api/2.0/mlflow/experiments/create";
    let body = r#"{"name":"x"}"#;
    let refused = with("POST", create, &bearer(VIEWER), body);
    assert_eq!(
        (refused.status, refused.code()),
        (403, "PERMISSION_DENIED".to_owned())
    );
    assert_eq!(
        with("PUT", &format!("{FILES}/a"), &bearer(VIEWER), "x").status,
        403
    );
    assert_eq!(
        with("DELETE", &format!("{FILES}/a"), &bearer(VIEWER), "").status,
        403
    );
    // A path that ends like a search is none.
    let fake = format!("{FILES}/runs/search");
    assert_eq!(with("PUT", &fake, &bearer(VIEWER), "x").status, 403);
    assert_eq!(with("POST", create, &bearer(EDITOR), body).status, 200);
    // Name and password, as MLFLOW_TRACKING_USERNAME and _PASSWORD send them.
    let basic = "Basic dTowMTIzNDU2Nzg5YWJjZGVmLXZpZXdlcg==";
    assert_eq!(with("GET", get, basic, "").status, 200);
}

#[test]
fn sources_of_models_name_no_files_and_no_hosts() {
    let server = TestServer::start(|access| access);
    let post = |path: &str, body: String| {
        let path = format!("/api/2.0/mlflow/{path}");
        server.ask(
            "POST",
            &path,
            &[("Content-Type", "application/json")],
            &body,
        )
    };
    post("registered-models/create", r#"{"name":"m"}"#.to_owned());
    for source in [
        "/etc/passwd",
        "file:///etc",
        "file://host/etc",
        "//proc/self/root",
        "http://169.254.169.254/latest/meta-data",
        "https://evil.example/x#../../",
        "ftp://evil.example/x",
        "hdfs://evil.example/x",
        "viewfs://evil.example/x",
        "abfss://c@evil.example/x",
        "mlflow-artifacts://evil.example/x",
        "mlflow-artifacts:/../../etc",
        "mlflow-artifacts:/%2e%2e/etc",
        "mlflow-artifacts:/1/x",
        "s3://bucket/../x",
        "s3://bucket/x#y",
        "models://evil.example/m/1",
        "runs:/x/model",
        "relative/path",
    ] {
        let answer = post(
            "model-versions/create",
            serde_json::json!({"name": "m", "source": source}).to_string(),
        );
        assert_eq!(
            (answer.status, answer.code()),
            (400, "INVALID_PARAMETER_VALUE".to_owned()),
            "{source}: {answer:?}"
        );
    }
    for location in [
        "s3://a#b",
        "file:///a?b",
        "mlflow-artifacts:/../x",
        "x/../../y",
        "runs:/a",
    ] {
        let answer = post(
            "experiments/create",
            serde_json::json!({"name": "e", "artifact_location": location}).to_string(),
        );
        assert_eq!(answer.status, 400, "{location}: {answer:?}");
    }
}

#[test]
fn artifacts_of_experiments_that_lie_elsewhere_are_not_read() {
    let server = TestServer::start(|access| access);
    let post = |path: &str, body: &str| -> Answer {
        let path = format!("/api/2.0/mlflow/{path}");
        server.ask("POST", &path, &[("Content-Type", "application/json")], body)
    };
    let created = post(
        "experiments/create",
        r#"{"name":"e","artifact_location":"file:///etc"}"#,
    );
    assert_eq!(created.status, 200);
    let run = post("runs/create", r#"{"experiment_id":"1"}"#).json();
    let id = run["run"]["info"]["run_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for path in [
        format!("/api/2.0/mlflow/artifacts/list?run_id={id}"),
        format!("/get-artifact?run_id={id}&path=passwd"),
    ] {
        let answer = server.ask("GET", &path, &[], "");
        assert_eq!(answer.status, 501, "{answer:?}");
    }
}

#[test]
fn bodies_have_a_limit_and_artifacts_have_none() {
    let server = TestServer::start(|access| access);
    let large = "x".repeat(21 << 20);
    let refused = server.ask(
        "POST",
        "/api/2.0/mlflow/runs/search",
        &[("Content-Type", "application/json")],
        &large,
    );
    assert_eq!(refused.status, 413);
    let taken = server.ask("PUT", &format!("{FILES}/1/large"), &[], &large);
    assert_eq!((taken.status, taken.body.as_str()), (200, ""));
    let back = server.ask("GET", &format!("{FILES}/1/large"), &[], "");
    assert_eq!(back.body.len(), large.len());
}

#[test]
fn heads_have_a_limit() {
    let server = TestServer::start(|access| access);
    let names: Vec<String> = (0..200).map(|i| format!("X-Flood-{i}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(server.ask("GET", "/health", &many, "").status, 431);
    let long = "x".repeat(1 << 20);
    let large = server.ask("GET", "/health", &[("X-Flood", &long)], "");
    assert!(matches!(large.status, 0 | 431), "{large:?}");
    let path = format!("/health?{long}");
    let large = server.ask("GET", &path, &[], "");
    assert!(matches!(large.status, 0 | 414 | 431), "{large:?}");
    assert_eq!(server.get("/health").status, 200);
}

/// MLflow refuses batches by what is in them, before it looks at each thing.
#[test]
fn batches_have_a_limit() {
    let server = TestServer::start(|access| access);
    let metrics: Vec<_> = (0..1001)
        .map(|step| serde_json::json!({"key": "m", "value": 1, "timestamp": 1, "step": step}))
        .collect();
    let run = server.send(
        "POST",
        "runs/create",
        serde_json::json!({"experiment_id": "0"}),
    );
    let run = run.json()["run"]["info"]["run_id"].clone();
    let batch = serde_json::json!({"run_id": run, "metrics": metrics});
    assert_eq!(server.send("POST", "runs/log-batch", batch).status, 400);
    // Deep nesting exhausts no stack.
    let deep = format!("{{\"run_id\": {}", "[".repeat(200_000));
    let headers = [("Content-Type", "application/json")];
    let path = "/api/2.0/mlflow/runs/log-batch";
    assert_eq!(server.ask("POST", path, &headers, &deep).status, 400);
}

#[test]
fn every_answer_says_that_browsers_must_not_guess_or_run_anything() {
    let server = TestServer::start(|access| access);
    server.ask(
        "PUT",
        &format!("{FILES}/1/page.html"),
        &[],
        "<script>alert(1)</script>",
    );
    for path in [
        "/health",
        "/nothing",
        &format!("{FILES}/1/page.html"),
        "/api/2.0/mlflow/x",
    ] {
        let answer = server.ask("GET", path, &[], "");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            answer.header("x-frame-options"),
            Some("SAMEORIGIN"),
            "{path}"
        );
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("sandbox"), "{path}");
    }
    let page = server.ask("GET", &format!("{FILES}/1/page.html"), &[], "");
    assert_eq!(page.header("content-disposition"), Some("attachment"));
    assert_eq!(
        page.header("content-type"),
        Some("application/octet-stream")
    );
}

#[test]
fn filters_are_data_and_never_sql() {
    let server = TestServer::start(|access| access);
    for filter in [
        "name = ''' OR 1=1 --'",
        "tags.`x' OR '1'='1` = 'a'",
        "name LIKE '%'' UNION SELECT 1,2,3,4,5,6 --'",
        "name = 'a'); DROP TABLE experiments; --",
        "name IN ('a'') OR (1=1')",
    ] {
        let body = serde_json::json!({"max_results": 10, "filter": filter}).to_string();
        let headers = [("Content-Type", "application/json")];
        let answer = server.ask(
            "POST",
            "/api/2.0/mlflow/experiments/search",
            &headers,
            &body,
        );
        assert!(
            answer.status == 400 || answer.body == "{}",
            "{filter}: {answer:?}"
        );
    }
    let left = server.ask(
        "GET",
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        &[],
        "",
    );
    assert_eq!(left.status, 200);
}
