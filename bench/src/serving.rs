//! Many files at once: by the predictor itself, and asked of a server.
//!
//! Both sides read the same bytes, decode and score them; what the server adds is
//! its sockets, its queue and its JSON.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use biophony_audio::{DecodeLimits, decode_bytes};
use biophony_model::Predictor;
use rayon::prelude::*;

use crate::{Result, Work};

/// `n` times the file, decoded and scored by all threads.
pub(crate) fn bare(bundle: &Path, file: &Path, n: usize) -> Result<Work> {
    let predictor = Predictor::open(bundle)?;
    let bytes = std::fs::read(file)?;
    let name = file.to_owned();
    Ok(Box::new(move || {
        (0..n).into_par_iter().for_each(|_| {
            let decoded = decode_bytes(bytes.clone(), &name, &DecodeLimits::default());
            let clip = decoded.expect("the file is readable").clip;
            let prediction = predictor.predict(&clip).expect("the clip can be scored");
            assert!(!prediction.ranked.is_empty());
        });
    }))
}

/// `n` requests about the file, as many at once as there are connections, each of
/// which must be answered with 200.
pub(crate) fn requests(address: &str, file: &Path, n: usize, n_connections: usize) -> Result<Work> {
    let address: SocketAddr = address.parse()?;
    let body = std::fs::read(file)?;
    let mut request = format!(
        "POST /api/v1/classify HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    Ok(Box::new(move || {
        let left = AtomicUsize::new(n);
        let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        std::thread::scope(|scope| {
            for _ in 0..n_connections {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(address).expect("the server listens");
                    while take().is_ok() {
                        ask(&mut stream, &request).expect("every request is answered");
                    }
                });
            }
        });
    }))
}

/// Sends a request and reads its answer to the end.
fn ask(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    let (head, length) = loop {
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Err("the server hung up".into());
        }
        answer.extend_from_slice(&piece[..n]);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&answer[..end]).into_owned();
            break (head, length_in(&answer[..end])? + end + 4);
        }
    };
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.into());
    }
    let rest = length.saturating_sub(answer.len());
    std::io::copy(&mut stream.take(rest as u64), &mut std::io::sink())?;
    Ok(())
}

fn length_in(head: &[u8]) -> Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    Ok(length
        .ok_or("an answer without its length")?
        .trim()
        .parse()?)
}
