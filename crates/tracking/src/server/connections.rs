//! Connections: accepting them, and what each of them may cost.
//!
//! A client that sends slowly or never ends what it began holds a connection and
//! nothing else, and not for ever: heads have a size and a deadline, bodies have a
//! deadline ([`BODY_WITHIN`], [`PIECE_WITHIN`]), and there is room for
//! [`MAX_CONNECTIONS`] at a time; more wait until one ends.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time: well below the number of files that a process may open.
const MAX_CONNECTIONS: usize = 400;

/// How long the head of a request may take, and how long a connection may idle
/// between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(60);

/// The largest head: it has the longest queries, with a hundred runs in them.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How long the body of a request may take that is not an artifact.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(60);

/// How long a piece of an artifact may take.
pub(super) const PIECE_WITHIN: Duration = Duration::from_secs(60);

/// How long requests that are under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// How long to wait when the system has no room for another connection.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves until `stop` is ready, and then lets requests that are under way end.
pub(super) async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let under_way = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut stop => break,
        };
        let connection = under_way.watch(connection(stream, app.clone()));
        tokio::spawn(async move {
            // Whoever it was has hung up or said what is no HTTP: nobody to tell.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    // What has not ended by then is broken off with the runtime.
    let _ = tokio::time::timeout(GRACE, under_way.shutdown()).await;
}

/// Waits for room and for somebody to take it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // It fails only when it is closed, which nobody does.
    let place = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it an answer may wait for the client's acknowledgement.
                let _ = stream.set_nodelay(true);
                return (stream, place);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(AFTER_FAILURE).await,
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Answers the requests of one connection.
fn connection<S>(
    stream: S,
    app: Router,
) -> http1::Connection<TokioIo<S>, TowerToHyperService<Router>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
}

#[cfg(test)]
mod tests {
    use super::super::received::Received;
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What comes back when `sent` is all that is ever sent, on a clock that jumps
    /// ahead whenever everybody waits.
    fn answer_to(sent: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let parsed = async |Received(params): Received| match params {
                Ok(_) => "read".to_owned(),
                Err(error) => error.to_string(),
            };
            let app = Router::new().route("/", get(async || "well").post(parsed));
            let serving = tokio::spawn(connection(server, app));
            client.write_all(sent.as_bytes()).await.expect("sends");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("reads");
            let _ = serving.await;
            answer
        })
    }

    #[test]
    fn a_head_that_never_ends_is_not_waited_for() {
        for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nSlow: "] {
            let answer = answer_to(sent);
            assert!(!answer.contains("200"), "{sent:?}: {answer}");
        }
    }

    #[test]
    fn a_body_that_never_ends_is_not_waited_for() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
        let sent = format!("{head}Content-Length: 2\r\n\r\n{{}}");
        assert!(answer_to(&sent).ends_with("read"), "one that ends is read");
        for unfinished in [
            "Content-Length: 9\r\n\r\n{",
            "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        ] {
            let answer = answer_to(&format!("{head}{unfinished}"));
            assert!(answer.ends_with("ended early"), "{unfinished:?}: {answer}");
        }
    }

    #[test]
    fn a_connection_that_idles_is_closed() {
        let answer = answer_to("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("well"), "{answer}");
    }
}
