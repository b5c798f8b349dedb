//! Runs that are copied to a server arrive once, however often the connection breaks.

#[path = "http/breaking.rs"]
mod breaking;
#[path = "http/child.rs"]
mod child;
mod http;

use biophony_tracking::{
    COPY_OF, CreateExperiment, CreateRun, Dataset, DatasetInput, ExperimentId, LogBatch, Metric,
    Param, RemoteStore, Run, RunId, RunStatus, Search, SqliteStore, Tag, TrackingStore, ViewType,
    copied_to, copy_pending, copy_run, pending, value_of,
};
use breaking::breaking_after;
use child::{Death, ServerProcess, store_in};
use http::TestServer;

/// A finished run with 2500 points, 150 parameters, a tag and a data set.
fn finished_run(store: &SqliteStore, experiment: &ExperimentId) -> RunId {
    let request = CreateRun {
        run_name: Some("night".to_owned()),
        start_time: 5,
        ..CreateRun::new(experiment.clone())
    };
    let run = store.create_run(request).expect("a run").info.run_id;
    for first in [0, 1000, 2000] {
        let steps = first..(first + 1000).min(2500);
        let batch = LogBatch {
            metrics: steps
                .map(|step| Metric::new("loss", 1.0, step, step))
                .collect(),
            ..LogBatch::default()
        };
        store.log_batch(&run, &batch).expect("logs");
    }
    for i in 0..150 {
        store
            .log_param(&run, Param::new(format!("p{i}"), "1"))
            .expect("logs");
    }
    store.set_tag(&run, Tag::new("site", "pond")).expect("tags");
    let dataset = Dataset {
        name: "animals".to_owned(),
        digest: "abc".to_owned(),
        source_type: "local".to_owned(),
        source: "{}".to_owned(),
        schema: None,
        profile: None,
    };
    let tags = Vec::new();
    store
        .log_inputs(&run, &[DatasetInput { tags, dataset }], &[])
        .expect("logs");
    store
        .finish_run(&run, RunStatus::Finished, 9)
        .expect("ends");
    run
}

fn new_experiment(store: &SqliteStore) -> ExperimentId {
    let request = CreateExperiment {
        name: "pond".to_owned(),
        ..CreateExperiment::default()
    };
    store.create_experiment(request).expect("new")
}

fn copies(store: &dyn TrackingStore) -> Vec<Run> {
    let experiment = store.get_experiment_by_name("pond").expect("asks");
    let experiments: Vec<_> = experiment.into_iter().map(|e| e.experiment_id).collect();
    let page = store.search_runs(&experiments, &Search::default(), ViewType::All);
    page.expect("searches").items
}

#[track_caller]
fn check_copy(remote: &dyn TrackingStore, original: &RunId) {
    let copies = copies(remote);
    assert_eq!(copies.len(), 1);
    let copy = &copies[0];
    assert_eq!(copy.info.run_name, "night");
    assert_eq!(copy.info.status, RunStatus::Finished);
    assert_eq!((copy.info.start_time, copy.info.end_time), (5, Some(9)));
    assert_eq!(copy.data.params.len(), 150);
    assert_eq!(value_of(&copy.data.tags, "site"), Some("pond"));
    assert_eq!(value_of(&copy.data.tags, COPY_OF), Some(original.as_str()));
    assert_eq!(copy.inputs.dataset_inputs.len(), 1);
    let history = remote.metric_history(&copy.info.run_id, "loss", None, None);
    assert_eq!(history.expect("a history").items.len(), 2500);
}

#[test]
fn a_run_is_copied_once_however_often_it_is_copied() {
    let server = TestServer::start(|access| access);
    let remote = RemoteStore::new(&format!("http://{}", server.address())).expect("a store");
    let local = SqliteStore::in_memory().expect("a store");
    let experiment = new_experiment(&local);
    let run = finished_run(&local, &experiment);
    let first = copy_run(&local, &run, &remote).expect("copies");
    assert_eq!(
        copy_run(&local, &run, &remote).expect("copies again"),
        first
    );
    check_copy(&remote, &run);
    let tags = local.get_run(&run).expect("there").data.tags;
    let tag = copied_to(&remote.identity().expect("says who it is"));
    assert_eq!(value_of(&tags, &tag), Some(first.as_str()));
}

/// The way to the server breaks sooner and later, until a copy gets through.
#[test]
fn a_copy_that_breaks_off_anywhere_is_completed() {
    let server = TestServer::start(|access| access);
    let local = SqliteStore::in_memory().expect("a store");
    let experiment = new_experiment(&local);
    let run = finished_run(&local, &experiment);
    let mut n_breaks = 0;
    loop {
        let way = breaking_after(n_breaks * 150, server.address());
        let remote = RemoteStore::new(&format!("http://{way}")).expect("a store");
        match copy_pending(&local, std::slice::from_ref(&experiment), &remote) {
            Ok(copies) => {
                assert_eq!(copies.len(), 1);
                break;
            }
            Err(_) => n_breaks += 1,
        }
        assert!(n_breaks < 1000, "it never gets through");
    }
    assert!(n_breaks > 10, "it broke {n_breaks} times only");
    let remote = RemoteStore::new(&format!("http://{}", server.address())).expect("a store");
    check_copy(&remote, &run);
    let left = pending(&local, &[experiment], &remote).expect("asks");
    assert_eq!(left, Vec::<RunId>::new());
}

/// No test by itself: the server's process.
#[test]
fn child_that_serves() {
    child::serve();
}

/// The server dies at the first request, is started again and dies at the second,
/// and so on, once before it does what was asked and once after.
#[test]
fn a_run_arrives_once_although_the_server_dies_at_every_request() {
    for death in [Death::Before as fn(u32) -> Death, Death::After] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let local = SqliteStore::in_memory().expect("a store");
        let experiment = new_experiment(&local);
        let run = finished_run(&local, &experiment);
        let mut n_deaths = 0;
        let copies = loop {
            let server = ServerProcess::start(folder.path(), death(n_deaths + 1));
            let experiments = std::slice::from_ref(&experiment);
            match copy_pending(&local, experiments, &server.store()) {
                Ok(copies) => break copies,
                Err(_) => n_deaths += 1,
            }
            assert!(n_deaths < 100, "it never gets through");
        };
        assert!(n_deaths > 4, "it died {n_deaths} times only");
        assert_eq!(copies.len(), 1);
        let remote = store_in(folder.path());
        check_copy(&remote, &run);
        assert_eq!(
            remote.check_integrity().expect("checks"),
            Vec::<String>::new()
        );
        let left = pending(&local, &[experiment], &remote).expect("asks");
        assert_eq!(left, Vec::<RunId>::new());
    }
}

#[test]
fn runs_that_go_on_are_not_pending() {
    let local = SqliteStore::in_memory().expect("a store");
    let experiment = new_experiment(&local);
    local
        .create_run(CreateRun::new(experiment.clone()))
        .expect("a run");
    let done = finished_run(&local, &experiment);
    let to = SqliteStore::in_memory().expect("a store");
    assert_eq!(pending(&local, &[experiment], &to).expect("asks"), [done]);
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let mut server = TestServer::start(|access| access);
    let remote = RemoteStore::new(&format!("http://{}", server.address())).expect("a store");
    server.stop();
    let failed = remote
        .get_run(&RunId::from("x"))
        .expect_err("nobody answers");
    assert_eq!(failed.code().as_str(), "TEMPORARILY_UNAVAILABLE");
}

#[test]
fn a_token_is_shown() {
    let token = "0123456789abcdef";
    let server = TestServer::start(|access| {
        access
            .with_tokens(&format!("editor {token}"))
            .expect("a token")
    });
    let uri = format!("http://{}", server.address());
    let refused = RemoteStore::new(&uri)
        .expect("a store")
        .get_experiment_by_name("x");
    assert_eq!(
        refused.expect_err("no token").code().as_str(),
        "UNAUTHENTICATED"
    );
    for store in [
        RemoteStore::new(&uri).expect("a store").with_token(token),
        RemoteStore::new(&uri)
            .expect("a store")
            .with_password("ada", token),
    ] {
        assert_eq!(store.get_experiment_by_name("x").expect("let in"), None);
    }
}
