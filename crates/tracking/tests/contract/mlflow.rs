//! MLflow's own server as a store, where one is named.
//!
//! `scripts/check_mlflow_client.sh` starts one and sets [`URI`] and [`DATABASE`].
//! Between two facts its tables are emptied behind its back, because starting a
//! server for each fact would take minutes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use biophony_tracking::RemoteStore;
use rusqlite::Connection;

const URI: &str = "TRACKING_TEST_MLFLOW_URI";
const DATABASE: &str = "TRACKING_TEST_MLFLOW_DATABASE";

/// Facts take turns: they share one server.
static TURN: Mutex<()> = Mutex::new(());

/// The tables that facts write to, the experiments apart.
const TABLES: [&str; 18] = [
    "experiment_tags",
    "metrics",
    "latest_metrics",
    "params",
    "tags",
    "input_tags",
    "inputs",
    "datasets",
    "logged_model_tags",
    "logged_model_params",
    "logged_model_metrics",
    "logged_models",
    "runs",
    "registered_model_tags",
    "registered_model_aliases",
    "model_version_tags",
    "model_versions",
    "registered_models",
];

/// MLflow's server with nothing in it, for as long as the guard is held; nothing if
/// none is named.
pub(crate) fn empty_server() -> Option<(RemoteStore, MutexGuard<'static, ()>)> {
    let uri = std::env::var(URI).ok()?;
    // A fact that failed has had its turn.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let database = std::env::var(DATABASE).expect("the server's database is named, too");
    let db = Connection::open(database).expect("opens");
    db.busy_timeout(Duration::from_secs(60)).expect("waits");
    let mut script = String::from("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE;");
    for table in TABLES {
        script.push_str(&format!("DELETE FROM {table};"));
    }
    script.push_str("DELETE FROM experiments WHERE experiment_id <> 0; COMMIT;");
    db.execute_batch(&script).expect("empties the tables");
    Some((RemoteStore::new(&uri).expect("a store"), turn))
}
