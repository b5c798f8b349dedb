//! An HTTP POST, as much of it as a webhook needs.
//!
//! By hand, because an HTTP client with TLS would be the largest dependency of
//! the crate by far. Addresses are on this machine or in a trusted network;
//! `https` is refused rather than spoken badly.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use crate::error::PipelineError;

/// An answer's first line is not longer than this.
const MAX_ANSWER_BYTES: u64 = 4096;

/// An `http://` address. Holding one means that it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Host and port as in the address, for the `Host` header.
    authority: String,
    /// What to connect to.
    address: String,
    /// Path and query.
    path: String,
}

impl FromStr for Webhook {
    type Err = PipelineError;

    fn from_str(url: &str) -> Result<Self, PipelineError> {
        let refuse = |reason: &str| PipelineError::BadWebhook {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        if url.starts_with("https://") {
            return Err(refuse(
                "https is not supported; use http to a local address",
            ));
        }
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| refuse("it does not begin with http://"))?;
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
            return Err(refuse("it has characters that must be escaped"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') || rest.contains('#') {
            return Err(refuse("write it as http://host:port/path"));
        }
        let has_port = authority.rfind(':') > authority.rfind(']');
        let port = authority.rsplit(':').next().map(str::parse::<u16>);
        let address = match (has_port, port) {
            (true, Some(Ok(_))) => authority.to_owned(),
            (true, _) => return Err(refuse("its port is not a number up to 65535")),
            (false, _) => format!("{authority}:80"),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            authority: authority.to_owned(),
            address,
            path: format!("{slash}{path}"),
        })
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl Webhook {
    /// Sends JSON, and is content with an answer from 200 to 299. Connecting and
    /// each read and write may take a third of `limit`.
    pub(super) fn post(&self, body: &str, limit: Duration) -> io::Result<()> {
        let part = limit / 3;
        let mut last_error = io::Error::other("the host has no address");
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, part) {
                Ok(stream) => return self.post_over(stream, body, part),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    fn post_over(&self, mut stream: TcpStream, body: &str, limit: Duration) -> io::Result<()> {
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let Self {
            authority, path, ..
        } = self;
        let n_bytes = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
             Content-Length: {n_bytes}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut answer = Vec::new();
        BufReader::new(stream.take(MAX_ANSWER_BYTES)).read_until(b'\n', &mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let mut words = answer.split_whitespace();
        match (words.next(), words.next().map(str::parse::<u16>)) {
            (Some(http), Some(Ok(200..=299))) if http.starts_with("HTTP/") => Ok(()),
            _ => Err(io::Error::other(format!("it answered `{}`", answer.trim()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_plain_http_is_spoken() {
        for (url, reason) in [
            ("https://example.org/", "https is not supported"),
            ("ftp://example.org/", "it does not begin with http://"),
            ("http://", "write it as"),
            ("http://user@host/", "write it as"),
            ("http://host:99999/", "its port is not"),
            ("http://host/a b", "it has characters"),
            ("http://host/\r\nX: y", "it has characters"),
        ] {
            let error = url.parse::<Webhook>().unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn an_address_is_taken_apart() {
        for (url, address, path) in [
            ("http://localhost", "localhost:80", "/"),
            (
                "http://127.0.0.1:8080/hook?x=1",
                "127.0.0.1:8080",
                "/hook?x=1",
            ),
            ("http://[::1]/hook", "[::1]:80", "/hook"),
            ("http://[::1]:81?x", "[::1]:81", "/?x"),
        ] {
            let webhook: Webhook = url.parse().expect(url);
            assert_eq!(
                (&*webhook.address, &*webhook.path),
                (address, path),
                "{url}"
            );
        }
    }

    /// Sends to a server that gives this answer; returns what the server was sent.
    fn post(answer: &'static str) -> (io::Result<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = listener.local_addr().expect("has an address").port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("is called");
            let mut request = Vec::new();
            while !request.ends_with(b"{\"a\":1}") {
                let mut bytes = [0; 1024];
                let n = stream.read(&mut bytes).expect("reads");
                request.extend_from_slice(&bytes[..n]);
            }
            stream.write_all(answer.as_bytes()).expect("answers");
            String::from_utf8(request).expect("is text")
        });
        let webhook: Webhook = format!("http://127.0.0.1:{port}/hook")
            .parse()
            .expect("is fine");
        let sent = webhook.post("{\"a\":1}", Duration::from_secs(30));
        (sent, server.join().expect("the server ends"))
    }

    #[test]
    fn a_body_arrives_and_the_answer_is_understood() {
        let (sent, request) = post("HTTP/1.1 204 No Content\r\n\r\n");
        sent.expect("is content");
        assert!(
            request.starts_with("POST /hook HTTP/1.1\r\nHost: 127.0.0.1:"),
            "{request}"
        );
        assert!(request.contains("\r\nContent-Length: 7\r\n"), "{request}");
        let (sent, _) = post("HTTP/1.1 500 Oh\r\n\r\n");
        assert_eq!(
            sent.unwrap_err().to_string(),
            "it answered `HTTP/1.1 500 Oh`"
        );
        assert!(post("hello\n").0.is_err());
    }
}
