//! A tracking server in the test's own process, and ways to it that break.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use biophony_tracking::server::{Access, Server, Service};
use biophony_tracking::{ArtifactStore, SqliteStore};

/// A server over a folder of its own.
pub(crate) struct Remote {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) artifacts: ArtifactStore,
    server: Server,
}

impl Remote {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::at(folder, 0)
    }

    pub(crate) fn at(folder: &Path, port: u16) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let store = Arc::new(SqliteStore::open(folder.join("tracking.db")).expect("opens"));
        let artifacts = ArtifactStore::open(folder.join("artifacts")).expect("opens");
        let service = Service::new(store.clone(), artifacts.clone(), Access::default());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Server::start(address, service).expect("listens");
        Self {
            store,
            artifacts,
            server,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address())
    }
}

/// A port where nobody listens now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
    listener.local_addr().expect("an address").port()
}

/// The address of a way to a server on which every `n`-th request breaks: by turns
/// it does not arrive, or its answer does not. `at_break` hears of it before.
pub(crate) fn breaking_every(
    n: usize,
    server: SocketAddr,
    at_break: impl Fn() + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
    let address = listener.local_addr().expect("an address");
    let (n_requests, at_break) = (Arc::new(AtomicUsize::new(0)), Arc::new(at_break));
    // It ends with the test's process.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (n_requests, at_break) = (Arc::clone(&n_requests), Arc::clone(&at_break));
            std::thread::spawn(move || {
                let Ok(server) = TcpStream::connect(server) else {
                    return;
                };
                // Either side may hang up at any moment.
                let _ = pass_on(&client, &server, n, &n_requests, &*at_break);
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    format!("http://{address}")
}

fn pass_on(
    mut client: &TcpStream,
    mut server: &TcpStream,
    n: usize,
    n_requests: &AtomicUsize,
    at_break: &dyn Fn(),
) -> std::io::Result<()> {
    let (mut answers, mut asks) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || std::io::copy(&mut answers, &mut asks));
    let mut piece = [0; 16 * 1024];
    loop {
        let length = client.read(&mut piece)?;
        if length == 0 {
            break;
        }
        let piece = &piece[..length];
        // A head comes in one piece.
        let is_head = [&b"GET "[..], b"POST ", b"PUT ", b"PATCH ", b"DELETE "]
            .iter()
            .any(|method| piece.starts_with(method));
        if is_head {
            let number = n_requests.fetch_add(1, Ordering::SeqCst) + 1;
            if number.is_multiple_of(n) {
                at_break();
                if (number / n).is_multiple_of(2) {
                    return Ok(());
                }
                // The request arrives; its answer goes nowhere.
                client.shutdown(Shutdown::Write)?;
            }
        }
        server.write_all(piece)?;
    }
    server.shutdown(Shutdown::Write)?;
    let _ = back.join();
    Ok(())
}
