//! Writes a store for MLflow: `cargo run --example export_mlflow -- STORE FILE`.

use std::path::Path;

use biophony_tracking::SqliteStore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let store = arguments.next().ok_or("a store is missing")?;
    let file = arguments.next().ok_or("a file is missing")?;
    SqliteStore::open(store)?.export_mlflow(Path::new(&file))?;
    Ok(())
}
