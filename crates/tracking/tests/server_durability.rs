//! What the server acknowledged survives its death, and clients that write at the
//! same time neither fail nor lose anything.

#[path = "http/child.rs"]
mod child;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use biophony_tracking::{
    CreateRun, ExperimentId, LogBatch, Metric, Param, RunId, SqliteStore, Tag, TrackingStore,
};
use child::{Death, ServerProcess, store_in};

const N_KILLS: usize = 20;
const N_CLIENTS: usize = 10;

/// No test by itself: the server's process.
#[test]
fn child_that_serves() {
    child::serve();
}

fn new_run(folder: &Path) -> RunId {
    let request = CreateRun::new(ExperimentId::default_experiment());
    let run = store_in(folder).create_run(request).expect("a run");
    run.info.run_id
}

fn n_points(store: &SqliteStore, run: &RunId, key: &str) -> i64 {
    let history = store.metric_history(run, key, None, None);
    history.expect("a history").items.len() as i64
}

/// Writes single points and batches in turn until the server is gone; returns how
/// many steps were acknowledged.
fn write_until_it_dies(
    server: &ServerProcess,
    run: &RunId,
    client: usize,
    first: i64,
    acknowledged: &AtomicUsize,
) -> i64 {
    let store = server.store();
    let key = format!("m{client}");
    for step in first.. {
        let metric = Metric::new(key.as_str(), 0.5, 1, step);
        let written = match step % 3 {
            0 => store.log_batch(
                run,
                &LogBatch {
                    metrics: vec![metric],
                    params: vec![Param::new(format!("{key}-{step}"), "1")],
                    tags: vec![Tag::new(&key, step.to_string())],
                },
            ),
            _ => store.log_metric(run, metric),
        };
        if written.is_err() {
            return step;
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    unreachable!("it goes on until it is killed")
}

#[test]
fn a_server_that_is_killed_under_load_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = new_run(folder.path());
    let mut next_steps = [0; N_CLIENTS];
    for kill in 0..N_KILLS {
        let server = ServerProcess::start(folder.path(), Death::Never);
        let acknowledged = AtomicUsize::new(0);
        // Another number each time, so that it dies in other places.
        let wanted = 40 + 13 * kill;
        std::thread::scope(|scope| {
            let clients: Vec<_> = next_steps
                .iter()
                .enumerate()
                .map(|(client, &first)| {
                    let (server, run, acknowledged) = (&server, &run, &acknowledged);
                    scope.spawn(move || {
                        write_until_it_dies(server, run, client, first, acknowledged)
                    })
                })
                .collect();
            while acknowledged.load(Ordering::SeqCst) < wanted {
                assert!(
                    !clients.iter().all(|client| client.is_finished()),
                    "every client was refused before the server was killed"
                );
                std::thread::yield_now();
            }
            server.kill();
            for (client, next_step) in clients.into_iter().zip(&mut next_steps) {
                *next_step = client.join().expect("ends");
            }
        });
        let store = store_in(folder.path());
        assert_eq!(
            store.check_integrity().expect("checks"),
            Vec::<String>::new()
        );
        for (client, &n_acknowledged) in next_steps.iter().enumerate() {
            let found = n_points(&store, &run, &format!("m{client}"));
            // The one that was under way may have come through, too.
            assert!(
                found == n_acknowledged || found == n_acknowledged + 1,
                "client {client}: {n_acknowledged} points acknowledged, {found} found"
            );
        }
        let params = store.get_run(&run).expect("there").data.params;
        for (client, &n_acknowledged) in next_steps.iter().enumerate() {
            let prefix = format!("m{client}-");
            let found = params.iter().filter(|p| p.key.starts_with(&prefix)).count();
            assert!(found as i64 >= (n_acknowledged + 2) / 3, "client {client}");
        }
    }
}

#[test]
fn ten_clients_at_once_neither_fail_nor_lose_anything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = new_run(folder.path());
    let server = ServerProcess::start(folder.path(), Death::Never);
    std::thread::scope(|scope| {
        for client in 0..N_CLIENTS {
            let (server, run) = (&server, &run);
            scope.spawn(move || {
                let store = server.store();
                for step in 0..50 {
                    // Keys of its own and one of all, so that the numbers of keys are
                    // contended, too.
                    let keys = [format!("m{client}-{}", step % 5), "shared".to_owned()];
                    let value = (client * 100) as f64 + step as f64;
                    let metrics = keys.map(|key| Metric::new(key, value, 1, step));
                    let batch = LogBatch {
                        metrics: metrics.to_vec(),
                        ..LogBatch::default()
                    };
                    store.log_batch(run, &batch).expect("no error");
                    store
                        .set_tag(run, Tag::new(format!("t{client}"), step.to_string()))
                        .expect("no error");
                }
            });
        }
    });
    drop(server);
    let store = store_in(folder.path());
    assert_eq!(n_points(&store, &run, "shared"), 50 * N_CLIENTS as i64);
    for client in 0..N_CLIENTS {
        for k in 0..5 {
            assert_eq!(n_points(&store, &run, &format!("m{client}-{k}")), 10);
        }
    }
}
