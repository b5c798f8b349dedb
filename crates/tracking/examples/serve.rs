//! Serves a store on this machine: `cargo run --example serve -- PORT FOLDER`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use biophony_tracking::server::{Access, Server, Service};
use biophony_tracking::{ArtifactStore, SqliteStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("a port is missing")?.parse()?;
    let folder = PathBuf::from(arguments.next().ok_or("a folder is missing")?);
    std::fs::create_dir_all(&folder)?;
    let store = Arc::new(SqliteStore::open(folder.join("tracking.db"))?);
    let artifacts = ArtifactStore::open(folder.join("artifacts"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Server::start(address, Service::new(store, artifacts, Access::default()))?;
    println!("listening on http://{}", server.address());
    server.wait()?;
    Ok(())
}
