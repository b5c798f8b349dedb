//! The HTTP server: MLflow's classic tracking and registry API over any store.
//!
//! [`Server::start`] owns the socket and a small runtime; [`app`] builds the routes
//! without one. The domain stays synchronous: each request runs on a thread of its
//! own choosing and only bodies of artifacts are streamed asynchronously.
//!
//! `routes.rs` is the table of routes, `guard.rs` decides who may ask at all,
//! `received.rs` and `params.rs` read requests and `reply.rs` writes answers and errors;
//! `connections.rs` keeps clients from taking more than their share.

mod artifact_routes;
mod connections;
mod guard;
mod params;
mod part_routes;
mod received;
mod reply;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use tokio::sync::oneshot;

use crate::artifacts::ArtifactStore;
use crate::store::TrackingStore;

pub use guard::{Access, Refusal, Role, TOKEN_COOKIE, is_public, is_search, refuse};
pub use reply::unknown_route;

/// The release of MLflow whose API this is.
pub const MLFLOW_VERSION: &str = "3.17.2";

/// The largest body of a request that is not an artifact.
const MAX_BODY_BYTES: usize = 20 << 20;

/// What the server serves, and to whom.
#[derive(Clone)]
pub struct Service {
    pub(crate) store: Arc<dyn TrackingStore>,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) access: Arc<Access>,
}

impl Service {
    /// A service over a store and a folder of artifacts.
    pub fn new(store: Arc<dyn TrackingStore>, artifacts: ArtifactStore, access: Access) -> Self {
        Self {
            store,
            artifacts,
            access: Arc::new(access),
        }
    }
}

/// The routes, with everything that stands before them.
pub fn app(service: Service) -> Router {
    open_routes()
        .fallback(unknown_route)
        .layer(middleware::from_fn_with_state(
            service.clone(),
            guard::guard,
        ))
        .with_state(service)
}

/// The routes alone, for a server that has others beside them. It must ask
/// [`Access::admit`] about every request, and answers what is no route with
/// [`unknown_route`].
pub fn routes(service: Service) -> Router {
    open_routes().with_state(service)
}

fn open_routes() -> Router<Service> {
    routes::router()
        .merge(artifact_routes::router())
        .merge(part_routes::router())
        .method_not_allowed_fallback(reply::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address`, port 0 for any free one, and serves from a thread of
    /// its own. When this returns, connections are accepted.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or the system has no threads left.
    pub fn start(address: SocketAddr, service: Service) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            // Requests wait for the one writer anyway, and each thread costs memory.
            .max_blocking_threads(8)
            .thread_name("tracking")
            .enable_io()
            .enable_time()
            .build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("tracking-server".to_owned())
            .spawn(move || {
                let stopped = async {
                    // A dropped sender is a wish to stop, too.
                    let _ = stopped.await;
                };
                runtime.block_on(connections::serve(listener, app(service), stopped));
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets requests that are under way end, for some seconds, and stops.
    ///
    /// # Errors
    ///
    /// When serving had ended by a fault in it.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    /// Serves until the process is ended.
    ///
    /// # Errors
    ///
    /// When serving ends by a fault in it.
    pub fn wait(mut self) -> io::Result<()> {
        self.join()
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself; then nobody listens.
            let _ = stop.send(());
        }
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(())) | None => Ok(()),
            Some(Err(_)) => Err(io::Error::other("the server's thread panicked")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to hear of an error.
        let _ = self.end();
    }
}
