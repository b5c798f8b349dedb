//! The pages of runs and their twins: what they show, and what they must not.

use crate::fixture::{HOSTILE, House};
use crate::support::{ask, get};
use axum::body::Body;
use biophony_tracking::RunId;
use biophony_web::WebState;

/// A house with two runs that differ, the second with a hostile name.
fn two_runs() -> (House, [RunId; 2]) {
    let house = House::new();
    let experiment = house.experiment("meadow");
    let first = house.run(&experiment, "quiet morning", 5);
    let second = house.run(&experiment, HOSTILE, 8);
    (house, [first, second])
}

#[track_caller]
fn check_shows(state: &WebState, path: &str, expected: &[&str]) {
    let answer = get(state, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    for text in expected {
        assert!(
            answer.text().contains(text),
            "{path} does not show `{text}`:\n{}",
            answer.text()
        );
    }
}

#[test]
fn without_runs_the_page_says_how_to_come_by_one() {
    let house = House::new();
    check_shows(
        &house.state(),
        "/runs",
        &["No runs yet", "biophony train recordings"],
    );
    check_shows(&house.state(), "/api/v1/runs", &["\"runs\":[]"]);
}

#[test]
fn the_table_shows_what_was_recorded() {
    let (house, [first, _]) = two_runs();
    let state = house.state();
    check_shows(
        &state,
        "/runs",
        &[
            "quiet morning",
            "finished",
            "0.8750",
            "test_accuracy",
            &format!("/runs/{first}"),
        ],
    );
    let json = get(&state, "/api/v1/runs?filter=params.epochs+%3D+%275%27").json();
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["runs"][0]["name"], "quiet morning");
    assert_eq!(json["runs"][0]["metrics"]["test_accuracy"], 0.875);
    assert_eq!(json["runs"][0]["duration_ms"], 84_000.0);
}

#[test]
fn columns_are_those_that_were_chosen() {
    let (house, _) = two_runs();
    let page = get(&house.state(), "/runs?column=params.optimizer_name");
    let heads = page.text().matches("<th scope=\"col\"").count();
    assert!(page.text().contains("adamw"));
    assert_eq!(
        heads, 7,
        "choice, run, state, start, time, experiment, optimizer"
    );
}

#[test]
fn a_filter_that_makes_no_sense_is_explained_beside_its_field() {
    let (house, _) = two_runs();
    let state = house.state();
    let page = get(&state, "/runs?filter=metrics.loss+%7E+1");
    assert_eq!(page.status, 400);
    let json = get(&state, "/api/v1/runs?filter=metrics.loss+%7E+1");
    assert_eq!(json.refusal(), (400, "bad_request".to_owned()));
    let json = json.json();
    let message = json["error"]["message"].as_str().expect("words");
    let problem = page
        .text()
        .split("id=\"filter-problem\"")
        .nth(1)
        .expect("a problem");
    let shown = problem.split(['<', '>']).nth(1).expect("words");
    assert_eq!(unescaped(shown), message, "the store's exact words");
    assert!(
        page.text().contains("metrics.loss ~ 1"),
        "what was typed stays"
    );

    let page = get(&state, "/runs?order_by=nonsense.x");
    assert_eq!(page.status, 400);
    assert!(
        page.text().contains("id=\"order-problem\""),
        "{}",
        page.text()
    );
}

fn unescaped(html: &str) -> String {
    html.replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
}

#[test]
fn runs_come_page_by_page_in_the_order_asked_for() {
    let house = House::new();
    let experiment = house.experiment("many");
    for number in 0..53 {
        let run = house.run(&experiment, &format!("run {number:02}"), 1);
        let metric = biophony_tracking::Metric::new("rank", f64::from(number), 1, 0);
        house.store().log_metric(&run, metric).expect("logs");
    }
    let state = house.state();
    let first = get(&state, "/api/v1/runs?order_by=metrics.rank+ASC").json();
    assert_eq!(first["runs"].as_array().map(Vec::len), Some(50));
    assert_eq!(first["runs"][0]["name"], "run 00");
    let page = get(
        &state,
        "/runs?order_by=metrics.rank+ASC&column=metrics.rank",
    );
    assert!(page.text().contains("aria-sort=\"ascending\""));
    let next = page
        .text()
        .split("href=\"")
        .find(|part| part.contains("rel=\"next\""))
        .expect("a link");
    let next = unescaped(next.split('"').next().expect("an address"));
    let second = get(&state, &next);
    assert!(second.text().contains("run 52") && !second.text().contains("run 49"));
}

#[test]
fn a_run_shows_figures_curves_confusion_data_and_files() {
    let (house, [first, _]) = two_runs();
    check_shows(
        &house.state(),
        &format!("/runs/{first}"),
        &[
            "0.7500 to 1",
            "<svg class=\"plot\"",
            "loss goes from 1 to 0.2000",
            "1 recording of frog taken for owl",
            "optimizer_name",
            "a1b2c3d4",
            "n_recordings",
            "weights.bin",
            &format!("/runs/{first}/files/report.html"),
            &format!("/runs/{first}/artifacts?path=deep"),
        ],
    );
    let json = get(&house.state(), &format!("/api/v1/runs/{first}")).json();
    assert_eq!(json["confusion"]["counts"][0][1], 1);
    assert_eq!(json["datasets"][0]["context"], "train");
    assert_eq!(json["report"], format!("/runs/{first}/files/report.html"));
}

#[test]
fn curves_are_numbers_and_tell_whether_more_is_to_come() {
    let (house, [first, _]) = two_runs();
    let path = format!("/api/v1/runs/{first}/curves");
    let json = get(&house.state(), &path).json();
    assert_eq!(json["is_live"], false);
    assert_eq!(
        json["charts"].as_array().map(Vec::len),
        Some(1),
        "one chart for both losses"
    );
    let names = json["charts"][0]["series"]
        .as_array()
        .expect("lines")
        .iter();
    let names: Vec<_> = names
        .map(|line| line["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["loss", "val_loss"]);
    assert_eq!(
        json["charts"][0]["series"][0]["points"][1],
        serde_json::json!([1.0, 0.5])
    );
}

#[test]
fn a_run_that_is_under_way_is_looked_at_again() {
    let house = House::new();
    let experiment = house.experiment("now");
    let request = biophony_tracking::CreateRun::new(experiment);
    let run = house
        .store()
        .create_run(request)
        .expect("creates")
        .info
        .run_id;
    let page = get(&house.state(), &format!("/runs/{run}"));
    assert!(page.text().contains("data-live=") && page.text().contains("running"));
    let curves = get(&house.state(), &format!("/api/v1/runs/{run}/curves"));
    assert_eq!(curves.json()["is_live"], true);
}

#[test]
fn runs_are_compared_by_what_differs() {
    let (house, [first, second]) = two_runs();
    let state = house.state();
    let json = get(
        &state,
        &format!("/api/v1/runs/compare?run={first}&run={second}"),
    )
    .json();
    let differing: Vec<_> = json["params"]
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["differs"] == true)
        .map(|row| row["key"].as_str().expect("a key"))
        .collect();
    assert_eq!(differing, ["epochs"]);
    assert_eq!(
        json["charts"][0]["series"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(json["confusions"][1]["classes"][0], "frog");
    check_shows(
        &state,
        &format!("/runs/compare?run={first}&run={second}"),
        &[
            "2 runs compared",
            "Parameters that differ",
            "series-2",
            "class=\"matrix",
        ],
    );
}

#[test]
fn one_run_or_a_missing_one_cannot_be_compared() {
    let (house, [first, _]) = two_runs();
    let state = house.state();
    for (question, status) in [
        (String::new(), 400),
        (format!("?run={first}&run={first}"), 400),
        (format!("?run={first}&run=nothing"), 404),
    ] {
        assert_eq!(
            get(&state, &format!("/api/v1/runs/compare{question}"))
                .refusal()
                .0,
            status
        );
        let page = get(&state, &format!("/runs/compare{question}"));
        assert_eq!(page.status, status);
        assert!(page.text().contains("Back to the runs"));
    }
}

#[test]
fn a_hostile_name_is_text_everywhere() {
    let (house, [first, second]) = two_runs();
    house.file(&second, &format!("{}.txt", HOSTILE.replace('/', "")), b"x");
    let state = house.state();
    for path in [
        "/runs".to_owned(),
        "/runs?column=tags.mlflow.runName&filter=%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        format!("/runs/{second}"),
        format!("/runs/{second}/artifacts"),
        format!("/runs/compare?run={first}&run={second}"),
        "/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E".to_owned(),
    ] {
        let page = get(&state, &path);
        assert!(!page.text().contains("<script>alert"), "{path}");
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("script-src 'self'") && !policy.contains("unsafe"),
            "{path}"
        );
    }
}

#[test]
fn a_page_among_the_artifacts_has_no_rights() {
    let (house, [first, _]) = two_runs();
    let report = get(&house.state(), &format!("/runs/{first}/files/report.html"));
    assert_eq!(report.status, 200);
    assert!(report.text().contains("<h1>Report</h1>"));
    let policy = report.header("content-security-policy");
    assert!(
        policy.starts_with("sandbox; default-src 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("allow-scripts") && !policy.contains("script-src"));
    assert_eq!(report.header("x-content-type-options"), "nosniff");
}

#[test]
fn what_is_not_known_is_downloaded() {
    let (house, [first, _]) = two_runs();
    for path in ["weights.bin", "report.html?download=1"] {
        let file = get(&house.state(), &format!("/runs/{first}/files/{path}"));
        assert_eq!(
            file.header("content-type"),
            "application/octet-stream",
            "{path}"
        );
        assert!(
            file.header("content-disposition")
                .starts_with("attachment;"),
            "{path}"
        );
    }
    let file = get(&house.state(), &format!("/runs/{first}/files/weights.bin"));
    assert_eq!(file.body, [0, 1, 2, 3]);
}

#[test]
fn no_path_leads_out_of_a_runs_artifacts() {
    let (house, [first, second]) = two_runs();
    house.file(&second, "secret.txt", b"of another run");
    std::fs::write(house.place.path().join("secret.txt"), "of the house").expect("writes");
    let state = house.state();
    let other = format!("../../{second}/artifacts/secret.txt");
    for path in [
        other.as_str(),
        "../../../../secret.txt",
        "..%2f..%2f..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.txt",
        "%252e%252e/secret.txt",
        "..%5c..%5csecret.txt",
        "%2fetc/passwd",
        "/etc/passwd",
        "//proc/self/environ",
        "deep/../../secret.txt",
    ] {
        let file = get(&state, &format!("/runs/{first}/files/{path}"));
        assert!(file.status.is_client_error(), "{path}: {}", file.status);
        assert!(!file.text().contains("of the house") && !file.text().contains("of another run"));
        let listed = get(
            &state,
            &format!("/api/v1/runs/{first}/artifacts?path={path}"),
        );
        assert!(listed.status.is_client_error(), "{path}: {}", listed.text());
    }
}

#[cfg(unix)]
#[test]
fn a_link_among_the_artifacts_leads_nowhere() {
    let (house, [first, _]) = two_runs();
    let secret = house.place.path().join("secret.txt");
    std::fs::write(&secret, "of the house").expect("writes");
    let uri = house
        .store()
        .get_run(&first)
        .expect("there")
        .info
        .artifact_uri;
    let folder = house.artifacts().local_path(&uri).expect("ours");
    std::os::unix::fs::symlink(&secret, folder.join("link.txt")).expect("links");
    let state = house.state();
    assert_eq!(
        get(&state, &format!("/runs/{first}/files/link.txt")).status,
        404
    );
    assert!(
        !get(&state, &format!("/runs/{first}"))
            .text()
            .contains("link.txt")
    );
}

#[test]
fn nothing_is_shown_to_strangers() {
    let (house, [first, _]) = two_runs();
    let state = house.state_with_tokens();
    let path = format!("/api/v1/runs/{first}");
    assert_eq!(get(&state, &path).status, 401);
    let viewer = [("authorization", "Bearer viewer-0123456789abcdef")];
    assert_eq!(
        ask(&state, "GET", &path, &viewer, Body::empty()).status,
        200
    );
    let file = get(&state, &format!("/runs/{first}/files/weights.bin"));
    assert!(file.status.is_redirection(), "to the login");
}
