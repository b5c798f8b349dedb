//! One guard before everything, and headers on every answer.

use axum::body::Body;
use biophony_tracking::server::Access;
use biophony_web::WebState;

use crate::support::{Answer, Place, ask, form, get, tone, wav};

const EDITOR: &str = "0123456789abcdef-editor";
const VIEWER: &str = "0123456789abcdef-viewer";

fn guarded(place: &Place) -> WebState {
    let mut config = place.config();
    config.access = Access::default()
        .with_tokens(&format!("editor {EDITOR}\nviewer {VIEWER}\n"))
        .expect("good tokens");
    WebState::new(config).expect("opens")
}

fn with_token(state: &WebState, method: &str, path: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    ask(
        state,
        method,
        path,
        &[("authorization", &bearer)],
        Body::empty(),
    )
}

#[test]
fn every_answer_carries_headers_that_bind_the_browser() {
    let place = Place::with_champion();
    let state = place.state();
    for path in ["/", "/models", "/nowhere"] {
        let page = get(&state, path);
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"));
        assert!(!page.text().contains("<script>"), "no inline script");
        assert!(!page.text().contains("style="), "no inline style");
        assert!(!page.text().contains("//cdn"), "no other host");
    }
    for path in [
        "/",
        "/api/v1/model",
        "/api/2.0/mlflow/experiments/search?max_results=1",
        "/health",
    ] {
        let answer = get(&state, path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(
            !answer.header("content-security-policy").is_empty(),
            "{path}"
        );
    }
    assert!(
        get(&state, "/api/v1/model")
            .header("content-security-policy")
            .contains("sandbox")
    );
}

#[test]
fn assets_are_kept_for_ever_under_a_name_that_changes_with_them() {
    let place = Place::empty();
    let state = place.state();
    let page = get(&state, "/");
    let url = page
        .text()
        .split('"')
        .find(|part| part.starts_with("/assets/") && part.ends_with("app.css"))
        .expect("the page has a style")
        .to_owned();
    let style = get(&state, &url);
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(style.header("cache-control").contains("immutable"));
    let packed = ask(
        &state,
        "GET",
        &url,
        &[("accept-encoding", "br, gzip")],
        Body::empty(),
    );
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < style.body.len());
    let old = get(&state, "/assets/000000000000/app.css");
    assert_eq!(
        (old.status.as_u16(), old.header("cache-control")),
        (200, "no-cache")
    );
    for outside in [
        "/assets/x/../Cargo.toml",
        "/assets/x/..%2fsrc%2flib.rs",
        "/assets/x/%2fetc%2fpasswd",
    ] {
        assert_eq!(get(&state, outside).status, 404, "{outside}");
    }
}

#[test]
fn foreign_hosts_and_pages_are_turned_away() {
    let place = Place::with_champion();
    let state = place.state();
    for path in [
        "/",
        "/api/v1/model",
        "/metrics",
        "/api/2.0/mlflow/experiments/search",
    ] {
        let answer = ask(
            &state,
            "GET",
            path,
            &[("host", "evil.example")],
            Body::empty(),
        );
        assert_eq!(answer.status, 403, "{path}");
    }
    let sound = wav(&tone(400.0, 0.6, 8_000));
    let from = |origin: &str| {
        let headers = [("origin", origin)];
        ask(&state, "POST", "/api/v1/classify", &headers, sound.clone()).status
    };
    assert_eq!(from("http://evil.example"), 403);
    assert_eq!(from("null"), 403);
    assert_eq!(from("http://127.0.0.1:8080"), 200);
    let phone = [
        ("host", "192.168.1.7:8443"),
        ("origin", "https://192.168.1.7:8443"),
    ];
    let answer = ask(&state, "POST", "/api/v1/classify", &phone, sound.clone());
    assert_eq!(answer.status, 200, "a page opened under the LAN address");
    for open in ["/health", "/ready"] {
        let answer = ask(
            &state,
            "GET",
            open,
            &[("host", "evil.example")],
            Body::empty(),
        );
        assert_eq!(answer.status, 200, "{open}");
    }
}

#[test]
fn without_a_token_pages_lead_to_the_login_and_apis_say_no() {
    let place = Place::with_champion();
    let state = guarded(&place);
    let page = get(&state, "/runs?filter=a");
    assert_eq!(page.status, 303);
    assert_eq!(page.header("location"), "/login?next=%2Fruns%3Ffilter%3Da");
    assert_eq!(get(&state, "/login").status, 200);
    assert_eq!(
        get(&state, "/api/v1/model").refusal(),
        (401, "unauthenticated".to_owned())
    );
    assert_eq!(get(&state, "/metrics").status, 401);
    let mlflow = get(&state, "/api/2.0/mlflow/experiments/get?experiment_id=0");
    assert_eq!(mlflow.status, 401);
    assert_eq!(mlflow.json()["error_code"], "UNAUTHENTICATED");
    for token in [EDITOR, VIEWER] {
        assert_eq!(
            with_token(&state, "GET", "/api/v1/model", token).status,
            200
        );
        assert_eq!(with_token(&state, "GET", "/metrics", token).status, 200);
    }
    assert_eq!(
        with_token(&state, "GET", "/api/v1/model", "0123456789abcdef").status,
        401
    );
}

#[test]
fn a_viewer_asks_and_an_editor_changes() {
    let place = Place::with_champion();
    let state = guarded(&place);
    let sound = wav(&tone(400.0, 0.6, 8_000));
    let (kind, body) = form(&[
        ("file", Some("a.wav"), &sound),
        ("label", None, b"owl"),
        ("correct", None, b"true"),
    ]);
    let send = |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", kind.as_str()),
        ];
        ask(&state, "POST", path, &headers, body.clone())
    };
    let classify = form(&[("file", Some("a.wav"), &sound)]);
    let bearer = format!("Bearer {VIEWER}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", classify.0.as_str()),
    ];
    let answer = ask(&state, "POST", "/api/v1/classify", &headers, classify.1);
    assert_eq!(answer.status, 200);
    assert_eq!(
        send("/api/v1/feedback", VIEWER).refusal(),
        (403, "forbidden".to_owned())
    );
    assert_eq!(send("/api/v1/feedback", EDITOR).status, 201);
    assert_eq!(
        with_token(&state, "POST", "/api/v1/demo", VIEWER).status,
        403
    );
}

#[test]
fn a_viewer_is_not_offered_what_only_editors_may_do() {
    let place = Place::with_champion();
    let state = guarded(&place);
    let page = |token: &str| with_token(&state, "GET", "/", token).text().to_owned();
    assert!(page(EDITOR).contains(" data-can-edit"));
    assert!(!page(VIEWER).contains(" data-can-edit"));
    let open = get(&place.state(), "/");
    assert!(open.text().contains(" data-can-edit"), "nobody is asked");
}

#[test]
fn commands_name_the_home_of_this_server() {
    let place = Place::empty();
    let mut config = place.config();
    config.program = "biophony --home /srv/animals".to_owned();
    let state = WebState::new(config).expect("opens");
    for path in ["/", "/runs", "/models", "/pipelines", "/data"] {
        let page = get(&state, path).text().to_owned();
        let command = "<pre>biophony --home /srv/animals train recordings</pre>";
        assert!(page.contains(command), "{path}: {page}");
    }
}

#[test]
fn a_browser_logs_in_once_and_out_again() {
    let place = Place::with_champion();
    let state = guarded(&place);
    let log_in = |body: String| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        ask(&state, "POST", "/login", &[kind], body)
    };
    let wrong = log_in("token=guess&next=/".to_owned());
    assert_eq!(wrong.status, 401);
    assert!(wrong.header("set-cookie").is_empty());
    let right = log_in(format!("token={VIEWER}&next=%2Fruns"));
    assert_eq!(
        (right.status.as_u16(), right.header("location")),
        (303, "/runs")
    );
    let known = with_token(&state, "GET", "/login", VIEWER);
    assert!(known.text().contains("You are logged in as a viewer"));
    assert!(known.text().contains("<h1>Logged in</h1>"));
    // Every page says who one is, and lets one out; also a refusal.
    for path in ["/", "/runs", "/nowhere"] {
        let page = with_token(&state, "GET", path, VIEWER).text().to_owned();
        assert!(page.contains(">Viewer</a>"), "{path}");
        assert!(page.contains("action=\"/logout\""), "{path}");
    }
    let refused = with_token(&state, "POST", "/models/biophony/1/promote", VIEWER);
    assert!(refused.text().contains("action=\"/logout\""));
    let nobody = get(&Place::with_champion().state(), "/");
    assert!(!nobody.text().contains("/logout"), "nobody is asked");
    // Where nobody is asked, there is nothing to log in to.
    let open = get(&Place::with_champion().state(), "/login?next=/runs");
    assert_eq!(
        (open.status.as_u16(), open.header("location")),
        (303, "/runs")
    );
    let cookie = right.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let away = log_in(format!("token={VIEWER}&next=//evil.example"));
    assert_eq!(away.header("location"), "/");
    let pair = cookie.split(';').next().expect("a cookie").to_owned();
    let with_cookie = |origin: Option<&str>| {
        let mut headers = vec![("cookie", pair.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        ask(&state, "GET", "/api/v1/model", &headers, Body::empty()).status
    };
    assert_eq!(with_cookie(None), 200);
    assert_eq!(with_cookie(Some("http://127.0.0.1:8080")), 200);
    assert_eq!(
        with_cookie(Some("http://127.0.0.1:9999")),
        401,
        "another program's page"
    );
    let out = ask(
        &state,
        "POST",
        "/logout",
        &[("cookie", &pair)],
        Body::empty(),
    );
    assert!(out.header("set-cookie").contains("Max-Age=0"));
}

#[test]
fn what_is_not_there_is_said_in_the_words_of_who_asks() {
    let place = Place::empty();
    let state = place.state();
    assert!(get(&state, "/nowhere").text().contains("<!doctype html>"));
    assert_eq!(
        get(&state, "/api/v1/nowhere").refusal(),
        (404, "not_found".to_owned())
    );
    assert_eq!(
        get(&state, "/api/v1/classify").refusal(),
        (405, "wrong_method".to_owned())
    );
    let mlflow = get(&state, "/api/3.0/mlflow/traces/search");
    assert_eq!(mlflow.json()["error_code"], "NOT_IMPLEMENTED", "{mlflow:?}");
    assert_eq!(get(&state, "/health").text(), "OK");
}
