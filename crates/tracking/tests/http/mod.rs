//! A server on a free port of this machine, and a client that sends exactly what it
//! is told to.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use biophony_tracking::server::{Access, Server, Service};
use biophony_tracking::{ArtifactStore, SqliteStore};

pub(crate) struct TestServer {
    server: Option<Server>,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl TestServer {
    pub(crate) fn start(access: impl FnOnce(Access) -> Access) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(folder.path().join("tracking.db")).expect("a store");
        let artifacts = ArtifactStore::open(folder.path().join("artifacts")).expect("artifacts");
        let service = Service::new(Arc::new(store), artifacts, access(Access::default()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start(address, service).expect("a server");
        Self {
            server: Some(server),
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("running").address()
    }

    pub(crate) fn stop(&mut self) {
        let server = self.server.take().expect("running");
        server.stop().expect("stops");
    }

    /// Sends a request as it is, without cleaning the path, and reads the answer.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let address = self.address();
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str(&format!("Host: {address}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!(
            "Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        ));
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.write_all(request.as_bytes()).expect("sends");
        // The server may hang up before it has read a body that is too large.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&String::from_utf8_lossy(&answer))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Sends JSON to a route below `/api/2.0/mlflow/`.
    pub(crate) fn send(&self, method: &str, route: &str, body: serde_json::Value) -> Answer {
        let path = format!("/api/2.0/mlflow/{route}");
        let headers = [("Content-Type", "application/json")];
        self.ask(method, &path, &headers, &body.to_string())
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// MLflow's error code.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.json()["error_code"]
            .as_str()
            .expect("an error")
            .to_owned()
    }
}
