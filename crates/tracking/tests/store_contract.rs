//! One suite of facts for every store: the embedded one in a file and in memory, and
//! a remote one, which here is our own server on this machine and, where one is named,
//! MLflow's.

#[path = "contract/deployment.rs"]
mod deployment;
#[path = "contract/logging.rs"]
mod logging;
#[path = "contract/mlflow.rs"]
mod mlflow;
#[path = "contract/refusals.rs"]
mod refusals;
#[path = "contract/registry.rs"]
mod registry;
#[path = "contract/runs.rs"]
mod runs;
#[path = "contract/searching.rs"]
mod searching;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use biophony_tracking::server::{Access, Server, Service};
use biophony_tracking::{
    ArtifactStore, CreateExperiment, CreateRun, ExperimentId, RemoteStore, RunId, SqliteStore,
    TrackingStore,
};

/// Runs a fact against a fresh store of each kind.
fn with_each_store(fact: impl Fn(&dyn TrackingStore)) {
    fact(&SqliteStore::in_memory().expect("a store in memory"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(folder.path().join("tracking.db")).expect("a store in a file");
    fact(&store);
    assert_eq!(
        store.check_integrity().expect("the check runs"),
        Vec::<String>::new()
    );
    let artifacts = ArtifactStore::open(folder.path().join("artifacts")).expect("a folder");
    let behind = Arc::new(SqliteStore::in_memory().expect("a store in memory"));
    let server = Server::start(
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        Service::new(behind, artifacts, Access::default()),
    )
    .expect("a server");
    let uri = format!("http://{}", server.address());
    fact(&RemoteStore::new(&uri).expect("a remote store"));
    if let Some((mlflow, _turn)) = mlflow::empty_server() {
        fact(&mlflow);
    }
}

fn experiment(store: &dyn TrackingStore, name: &str) -> ExperimentId {
    store
        .create_experiment(CreateExperiment {
            name: name.to_owned(),
            ..CreateExperiment::default()
        })
        .expect("a new experiment")
}

/// A run in the default experiment that starts at `start_time`.
fn run_at(store: &dyn TrackingStore, start_time: i64) -> RunId {
    let request = CreateRun {
        start_time,
        ..CreateRun::new(ExperimentId::default_experiment())
    };
    store.create_run(request).expect("a new run").info.run_id
}

/// The message of an error.
#[track_caller]
fn message<T: std::fmt::Debug>(result: biophony_tracking::Result<T>) -> String {
    result.expect_err("refused").to_string()
}
