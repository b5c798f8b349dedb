//! A server in a process of its own, which can be killed and which can be told to
//! die at a request.
//!
//! The process is the test program itself, started again with [`FOLDER`] set: each
//! program that uses this has a test named [`CHILD_TEST`] that calls [`serve`].

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use biophony_tracking::server::{Access, Service, app};
use biophony_tracking::{ArtifactStore, RemoteStore, SqliteStore};

pub(crate) const CHILD_TEST: &str = "child_that_serves";
const FOLDER: &str = "TRACKING_TEST_FOLDER";
const DEATH: &str = "TRACKING_TEST_DEATH";
const LISTENING: &str = "listening on ";

/// At which request the server dies, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Death {
    /// Only when it is killed.
    Never,
    /// Before the request is looked at.
    Before(u32),
    /// When what was asked is done, and nobody has heard of it.
    After(u32),
}

/// A server that is running; dropping it kills it.
pub(crate) struct ServerProcess {
    child: Mutex<Child>,
    address: SocketAddr,
}

impl ServerProcess {
    pub(crate) fn start(folder: &Path, death: Death) -> Self {
        let death = match death {
            Death::Never => String::new(),
            Death::Before(n) => format!("before {n}"),
            Death::After(n) => format!("after {n}"),
        };
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", CHILD_TEST, "--nocapture"])
            .env(FOLDER, folder)
            .env(DEATH, death)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let said = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = said
            .map_while(Result::ok)
            .find_map(|line| line.split_once(LISTENING)?.1.parse().ok())
            .expect("it says where it listens");
        Self {
            child: Mutex::new(child),
            address,
        }
    }

    pub(crate) fn store(&self) -> RemoteStore {
        RemoteStore::new(&format!("http://{}", self.address)).expect("a store")
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().expect("nobody panicked with it");
        // It may have died by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The store that a server process had in `folder`.
pub(crate) fn store_in(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder.join("tracking.db")).expect("opens")
}

/// The child's work; nothing in a process that was not started as a child.
pub(crate) fn serve() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let artifacts = ArtifactStore::open(folder.join("artifacts")).expect("a folder");
    let service = Service::new(Arc::new(store_in(folder)), artifacts, Access::default());
    let death = std::env::var(DEATH).unwrap_or_default();
    let (when, at) = death.split_once(' ').unwrap_or_default();
    let (dies_before, at) = (when == "before", at.parse::<u32>().ok());
    let count = Arc::new(AtomicU32::new(0));
    let mortal = app(service).layer(from_fn(move |request: Request, next: Next| {
        let n = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if at == Some(n) && dies_before {
                std::process::abort();
            }
            let answer = next.run(request).await;
            if at == Some(n) {
                std::process::abort();
            }
            answer
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let any_port = (Ipv4Addr::LOCALHOST, 0);
        let listener = tokio::net::TcpListener::bind(any_port)
            .await
            .expect("listens");
        println!("{LISTENING}{}", listener.local_addr().expect("an address"));
        axum::serve(listener, mortal).await.expect("serves");
    });
}
