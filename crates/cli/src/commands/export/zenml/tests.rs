//! Exports to a server that answers every call and remembers what it was sent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use biophony_pipeline::{BoxError, Json, Pipeline, RunOptions, Store};

use super::*;

/// A call, as `POST /steps`, and its body.
type Call = (String, Value);

/// Answers as ZenML `version` would, at the address returned, until a call that
/// begins with `last`.
fn serve(version: &str, last: &'static str) -> (String, JoinHandle<Vec<Call>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("is bound"));
    let version = version.to_owned();
    let server = std::thread::spawn(move || {
        let mut calls: Vec<Call> = Vec::new();
        while !calls.last().is_some_and(|(call, _)| call.starts_with(last)) {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut reader = BufReader::new(stream.try_clone().expect("can be read"));
            let call = read_call(&mut reader);
            let answer = answer(&call, calls.len(), &version).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            let sent = stream.write_all(format!("{head}{answer}").as_bytes());
            sent.expect("the caller listens");
            calls.push(call);
        }
        calls
    });
    (url, server)
}

fn read_call(reader: &mut impl BufRead) -> Call {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("a body");
    let call = lines[0].replace(" HTTP/1.1", "").replace("/api/v1", "");
    (call, serde_json::from_slice(&body).unwrap_or_default())
}

/// Names what is made after the number of the call.
fn answer((call, body): &Call, number: usize, version: &str) -> Value {
    let made = json!({ "id": format!("id-{number}") });
    match call.as_str() {
        "GET /info" => json!({ "version": version, "auth_scheme": "NO_AUTH" }),
        "POST /login" => json!({ "access_token": "secret" }),
        "POST /runs" => json!([made, true]),
        "POST /artifact_versions/batch" => (0..body.as_array().map_or(0, Vec::len))
            .map(|index| json!({ "id": format!("id-{number}.{index}") }))
            .collect(),
        "GET /stacks?name=default" => json!({ "items": [made] }),
        _ if call.contains('?') => json!({ "items": [] }),
        _ => made,
    }
}

fn arguments(url: &str) -> ExportZenmlArguments {
    ExportZenmlArguments {
        url: url.to_owned(),
        run: "newest".to_owned(),
        token: None,
        any_version: false,
    }
}

/// A run of `read` → `halve` → `join`, which reads from both; its second step
/// fails if it is told to.
fn finished(fails: bool) -> (RunRecord, Vec<LogLine>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("home")).expect("opens");
    let file = folder.path().join("numbers.txt");
    std::fs::write(&file, "8").expect("writable");
    let mut pipeline = Pipeline::new("sums");
    let numbers = pipeline.file("numbers", file);
    let read = pipeline.step("read").run(&numbers, |context, _| {
        context.info("one number");
        Ok::<_, BoxError>(Json(8))
    });
    let halve = pipeline
        .step("halve")
        .params(&json!({ "by": 2 }))
        .run(&read, move |_, Json(n)| match fails {
            true => Err("halves are out".into()),
            false => Ok::<_, BoxError>(Json(n / 2)),
        });
    pipeline.step("join").run((&read, &halve), |_, (a, b)| {
        let (Json(a), Json(b)) = (a, b);
        Ok::<_, BoxError>(Json(a + b))
    });
    let run = pipeline.run(&store, &RunOptions::new("1"));
    assert_eq!(run.is_err(), fails);
    let id = store.runs().expect("can be listed")[0].id.clone();
    let mut record = store.run(&id).expect("is there");
    let logs = store.logs(&id, None).expect("are there");
    settle(&mut record);
    (record, logs)
}

/// Makes two records of equal runs equal.
fn settle(record: &mut RunRecord) {
    record.summary.id = "20260801-093015-4f0c2a".parse().expect("a name");
    record.summary.started_ms = 1_785_576_615_000;
    record.summary.finished_ms = Some(1_785_576_616_500);
    record.summary.host = "workbench".to_owned();
    record.summary.git_commit = None;
    record.graph.sources[0].path = "numbers.txt".to_owned();
    for step in &mut record.steps {
        let ran = step.state != StepState::Skipped;
        step.started_ms = ran.then_some(1_785_576_615_250);
        step.duration_ms = ran.then_some(500.0);
        step.peak_memory_bytes = Some(1_000_000);
        step.key = None;
    }
}

/// The bodies that were sent, by call and in order.
fn sent(record: &RunRecord, logs: &[LogLine]) -> BTreeMap<String, Vec<Value>> {
    let (url, server) = serve("0.98.0", "PUT /runs/");
    let connected = connect(&arguments(&url)).expect("is known");
    export(&connected, record, logs).expect("is registered");
    let mut sent: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (call, body) in server.join().expect("has served") {
        sent.entry(call).or_default().push(body);
    }
    sent
}

#[test]
fn a_run_is_registered_with_its_steps_and_what_flows_between_them() {
    let (record, logs) = finished(false);
    let sent = sent(&record, &logs);

    let snapshot = &sent["POST /pipeline_snapshots"][0];
    let spec = |step: &str| snapshot["step_configurations"][step]["spec"].clone();
    assert_eq!(spec("read")["upstream_steps"], json!([]));
    assert_eq!(spec("join")["upstream_steps"], json!(["read", "halve"]));
    assert_eq!(
        spec("join")["inputs"],
        json!({
            "read": { "step_name": "read", "output_name": "output" },
            "halve": { "step_name": "halve", "output_name": "output" },
        })
    );
    let config = |step: &str| snapshot["step_configurations"][step]["config"].clone();
    assert_eq!(config("halve")["parameters"], json!({ "by": 2 }));
    assert_eq!(
        config("read")["external_input_artifacts"],
        json!({ "numbers": { "id": "id-7.0" } })
    );

    let steps = &sent["POST /steps"];
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[0]["inputs"], json!({ "numbers": ["id-7.0"] }));
    assert_eq!(steps[0]["outputs"], json!({ "output": ["id-10.0"] }));
    assert_eq!(
        steps[2]["inputs"],
        json!({ "read": ["id-10.0"], "halve": ["id-13.0"] })
    );
    assert_eq!(steps[2]["status"], "completed");
    assert_eq!(steps[2]["start_time"], "2026-08-01T09:30:15.250");
    assert_eq!(steps[2]["end_time"], "2026-08-01T09:30:15.750");

    let artifacts = &sent["POST /artifact_versions/batch"];
    assert_eq!(artifacts[0][0]["save_type"], "preexisting");
    let read = &artifacts[1][0];
    let content = record.steps[0].outputs[0].content;
    assert_eq!(read["artifact_name"], "sums::read::output");
    assert_eq!(read["uri"], format!("blake3:{content}"));
    assert_eq!(read["metadata"]["n_bytes"], 1);

    let metadata = &sent["POST /run-metadata"];
    assert_eq!(metadata[0]["values"]["log"], "info one number");
    assert_eq!(metadata[0]["types"]["duration_ms"], "float");
    assert_eq!(metadata[3]["values"]["host"], "workbench");
    assert_eq!(sent["PUT /runs/id-9"][0]["status"], "completed");
}

#[test]
fn a_failed_step_says_why_and_what_was_not_reached_is_left_out() {
    let (record, logs) = finished(true);
    let sent = sent(&record, &logs);
    let steps = &sent["POST /steps"];
    let names: Vec<_> = steps.iter().map(|step| step["name"].clone()).collect();
    assert_eq!(names, ["read", "halve"]);
    assert_eq!(steps[1]["status"], "failed");
    let message = steps[1]["exception_info"]["message"].as_str();
    assert!(message.is_some_and(|message| message.contains("halves are out")));
    assert_eq!(sent["PUT /runs/id-9"][0]["status"], "failed");
}

#[test]
fn a_cached_step_is_marked() {
    let (mut record, logs) = finished(false);
    record.steps[1].state = StepState::Cached;
    let sent = sent(&record, &logs);
    assert_eq!(sent["POST /steps"][1]["status"], "cached");
    // It asked whether an earlier export has the artifact.
    let content = record.steps[1].outputs[0].content;
    let asked = format!("uri=equals%3Ablake3%3A{content}");
    assert!(sent.keys().any(|call| call.ends_with(&asked)));
}

#[test]
fn an_untried_version_is_refused_by_name() {
    let (url, server) = serve("0.99.1", "GET /info");
    let error = connect(&arguments(&url)).err().expect("is refused");
    assert!(error.to_string().contains("ZenML 0.99.1"), "{error}");
    assert_eq!(server.join().expect("has served").len(), 1);
}

#[test]
fn a_run_that_has_not_ended_is_refused() {
    let (mut record, logs) = finished(false);
    record.summary.state = RunState::Running;
    let (url, server) = serve("0.98.0", "POST /login");
    let connected = connect(&arguments(&url)).expect("is known");
    let error = export(&connected, &record, &logs)
        .err()
        .expect("is refused");
    assert!(error.to_string().contains("is running"), "{error}");
    server.join().expect("has served");
}
