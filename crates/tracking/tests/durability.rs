//! What was acknowledged survives the death of the process, and processes that
//! write at the same time do not lose each other's writes.
//!
//! The process that dies is this test program itself, started again with
//! [`CHILD`] set to the database that it shall write to.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use biophony_tracking::{
    CreateRun, ExperimentId, Metric, RunId, Search, SqliteStore, TrackingStore, ViewType,
};

const CHILD: &str = "TRACKING_TEST_DATABASE";
const RUN: &str = "TRACKING_TEST_RUN";
const N_KILLS: usize = 20;

/// No test by itself: the child's work. It logs one point after the other and says
/// so after each.
#[test]
fn child_that_logs_until_it_is_killed() {
    let Ok(database) = std::env::var(CHILD) else {
        return;
    };
    let run = RunId::from(std::env::var(RUN).expect("a run"));
    let store = SqliteStore::open(&database).expect("opens");
    let first = n_points(&store, &run);
    for step in first.. {
        let metric = Metric::new("m", 0.5, 1, step);
        store.log_metric(&run, metric).expect("logs");
        let mut out = std::io::stdout();
        writeln!(out, "acknowledged {step}").expect("says so");
        out.flush().expect("says so");
    }
}

fn start_child(database: &Path, run: &RunId) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "child_that_logs_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD, database)
        .env(RUN, run.as_str())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

fn n_points(store: &SqliteStore, run: &RunId) -> i64 {
    let history = store.metric_history(run, "m", None, None);
    history.expect("a history").items.len() as i64
}

fn new_run(store: &SqliteStore) -> RunId {
    let request = CreateRun::new(ExperimentId::default_experiment());
    store.create_run(request).expect("a run").info.run_id
}

#[test]
fn what_was_acknowledged_survives_being_killed_twenty_times() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = folder.path().join("tracking.db");
    let run = new_run(&SqliteStore::open(&database).expect("opens"));
    let mut last_acknowledged = -1;
    for kill in 0..N_KILLS {
        let mut child = start_child(&database, &run);
        let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Another number each time, so that it dies in other places.
        let wanted = 20 + 7 * kill;
        let mut heard = 0;
        while heard < wanted {
            let line = said.next().expect("it goes on").expect("text");
            if line.contains("acknowledged") {
                heard += 1;
            }
            last_acknowledged = step_in(&line).unwrap_or(last_acknowledged);
        }
        child.kill().expect("kills");
        child.wait().expect("is dead");
        for line in said.map_while(Result::ok) {
            last_acknowledged = step_in(&line).unwrap_or(last_acknowledged);
        }
        let store = SqliteStore::open(&database).expect("opens after the kill");
        assert!(
            n_points(&store, &run) > last_acknowledged,
            "step {last_acknowledged} was acknowledged and is lost"
        );
        assert_eq!(
            store.check_integrity().expect("checks"),
            Vec::<String>::new()
        );
    }
}

/// The step of a whole line `acknowledged 12`; the test harness may write before it.
fn step_in(line: &str) -> Option<i64> {
    let (_, step) = line.split_once("acknowledged ")?;
    step.parse().ok()
}

#[test]
fn stores_on_one_file_do_not_lose_each_others_writes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = folder.path().join("tracking.db");
    let run = new_run(&SqliteStore::open(&database).expect("opens"));
    std::thread::scope(|scope| {
        for writer in 0..10 {
            let (database, run) = (&database, &run);
            scope.spawn(move || {
                let store = SqliteStore::open(database).expect("opens");
                for step in 0..30 {
                    // A key of its own, so that the numbers of keys are contended too.
                    let metric = Metric::new(format!("m{writer}"), 1.0, 1, step);
                    store.log_metric(run, metric).expect("logs");
                }
            });
        }
    });
    let store = SqliteStore::open(&database).expect("opens");
    for writer in 0..10 {
        let history = store.metric_history(&run, &format!("m{writer}"), None, None);
        assert_eq!(history.expect("a history").items.len(), 30);
    }
}

#[test]
fn a_new_database_may_be_opened_by_many_at_the_same_instant() {
    let folder = tempfile::tempdir().expect("a folder");
    for attempt in 0..40 {
        let database = folder.path().join(format!("{attempt}.db"));
        let together = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    together.wait();
                    new_run(&SqliteStore::open(&database).expect("opens"));
                });
            }
        });
        let store = SqliteStore::open(&database).expect("opens");
        let experiments = [ExperimentId::default_experiment()];
        let found = store
            .search_runs(&experiments, &Search::default(), ViewType::ActiveOnly)
            .expect("finds");
        assert_eq!(found.items.len(), 16);
    }
}
