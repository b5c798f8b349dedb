//! The socket: accepting, serving connections, and stopping in good order.
//!
//! Connections are served here rather than by `axum::serve`, because a server that
//! strangers can reach needs what that leaves out: a time limit for request headers,
//! a limit on connections, and a grace period that ends.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::client::{Client, Tally};
use crate::error::WebError;
use crate::router::app;
use crate::state::WebState;
use crate::tls::Tls;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest head: it has the longest queries, with a hundred runs in them.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The first byte of an encrypted connection.
const TLS_HANDSHAKE: u8 = 22;

/// The wait after the system had no file descriptor left for a connection.
const BREATHER: Duration = Duration::from_millis(100);

/// A running server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address`, port 0 for any free one, and serves from threads of its
    /// own. When this returns, connections are accepted.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or the system has no threads left.
    pub fn start(address: SocketAddr, tls: Option<Tls>, state: WebState) -> Result<Self, WebError> {
        let system = |doing| move |source| WebError::System { doing, source };
        let runtime = runtime().map_err(system("start threads"))?;
        let listen = |source| WebError::Listen { address, source };
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("web-server".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, tls, state, stopped));
                // What still runs has had its time.
                runtime.shutdown_background();
            })
            .map_err(system("start a thread"))?;
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

    /// Serves until the process is asked to end, by Ctrl-C or SIGTERM, and lets what
    /// is under way come to its end. A second Ctrl-C ends it at once.
    ///
    /// # Errors
    ///
    /// When the system's signals cannot be listened to.
    pub fn wait(self, mut signals: EndSignals) -> Result<(), WebError> {
        signals.next()?;
        std::thread::spawn(move || {
            if signals.next().is_ok() {
                std::process::exit(130);
            }
        });
        self.stop();
        Ok(())
    }

    /// Lets what is under way come to its end, for some seconds, and stops.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself; then nobody listens.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// The signals that ask the process to end: Ctrl-C and SIGTERM. From when this is made
/// on, they no longer end it by themselves.
pub struct EndSignals {
    runtime: Runtime,
    #[cfg(unix)]
    kinds: [tokio::signal::unix::Signal; 2],
}

impl EndSignals {
    /// Listens for them; to be called before anybody is told that there is a server.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn listen() -> Result<Self, WebError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(no_signals)?;
        #[cfg(unix)]
        let kinds = {
            use tokio::signal::unix::{SignalKind, signal};
            let _within = runtime.enter();
            [
                signal(SignalKind::interrupt()).map_err(no_signals)?,
                signal(SignalKind::terminate()).map_err(no_signals)?,
            ]
        };
        Ok(Self {
            runtime,
            #[cfg(unix)]
            kinds,
        })
    }

    /// Waits for the next of them, which may have come before.
    fn next(&mut self) -> Result<(), WebError> {
        #[cfg(unix)]
        {
            let [interrupt, terminate] = &mut self.kinds;
            self.runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            Ok(())
        }
        #[cfg(not(unix))]
        self.runtime
            .block_on(tokio::signal::ctrl_c())
            .map_err(no_signals)
    }
}

fn no_signals(source: io::Error) -> WebError {
    WebError::System {
        doing: "listen for signals",
        source,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sockets need little; the work is done elsewhere.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Requests to the stores wait for one writer anyway; each thread costs memory.
        .max_blocking_threads(16)
        .thread_keep_alive(Duration::from_secs(5))
        .thread_name("web")
        .enable_io()
        .enable_time()
        .build()
}

async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    state: WebState,
    stopped: oneshot::Receiver<()>,
) {
    let grace = state.limits().grace;
    let connections = Arc::new(Semaphore::new(state.limits().connections));
    let app = app(state.clone());
    let tally = Tally::default();
    // Every connection holds a sender: when all are gone, so are the connections.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let mut stopped = pin!(stopped);
    loop {
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            // A dropped sender is a wish to stop, too.
            _ = &mut stopped => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let client = Client::at(peer.ip());
                // One client leaves connections for others.
                let most = state.limits().connections.div_ceil(2) as u64;
                let most = if client.is_local() { u64::MAX } else { most };
                let Some(held) = tally.hold(client, 1, most) else {
                    continue;
                };
                let connection =
                    connection(stream, client, tls.clone(), app.clone(), state.clone());
                let alive = alive.clone();
                tokio::spawn(async move {
                    connection.await;
                    drop((permit, alive, held));
                });
            }
            Err(_) => tokio::time::sleep(BREATHER).await,
        }
    }
    drop(listener);
    state.stop();
    drop(alive);
    // `recv` ends when the last sender is gone.
    let _ = timeout(grace, ended.recv()).await;
}

/// Serves one connection until it ends, or the server does.
async fn connection(
    stream: TcpStream,
    client: Client,
    tls: Option<Tls>,
    app: Router,
    state: WebState,
) {
    // Small answers go at once; without it they may wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return talk(stream, client, app, &state).await;
    };
    let mut first = [0];
    match timeout(HEAD_TIMEOUT, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first[0] == TLS_HANDSHAKE => {
            let accepted = timeout(HEAD_TIMEOUT, tls.acceptor.accept(stream)).await;
            // A handshake that fails is a stranger's, or a browser's that does not
            // trust the certificate yet.
            if let Ok(Ok(stream)) = accepted {
                talk(stream, client, app, &state).await;
            }
        }
        // Somebody typed the address without `https`.
        Ok(Ok(1)) => talk(stream, client, Router::new().fallback(to_https), &state).await,
        _ => {}
    }
}

/// Answers the requests of one connection.
async fn talk<S>(stream: S, client: Client, app: Router, state: &WebState)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let app = TowerToHyperService::new(app);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |mut request| {
                request.extensions_mut().insert(client);
                app.call(request)
            }),
        )
        .with_upgrades();
    let mut served = pin!(served);
    tokio::select! {
        // Clients come and go; how a connection ended concerns nobody.
        _ = served.as_mut() => {}
        () = state.stopped() => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

/// The same address, encrypted.
async fn to_https(request: Request) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    match host {
        Some(host) => Redirect::permanent(&format!("https://{host}{path}")).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}
