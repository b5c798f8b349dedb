//! Over real sockets: many at once, slow ones, encrypted ones, and the end.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use biophony_web::{Limits, Server, Tls, WebState};

use crate::support::{Place, get, tone, until, wav};

fn serve(state: WebState, tls: Option<Tls>) -> Server {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Server::start(address, tls, state).expect("listens")
}

fn head(server: &Server, length: usize) -> String {
    format!(
        "POST /api/v1/classify HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n",
        server.address()
    )
}

fn read(mut stream: impl Read) -> String {
    let mut answer = Vec::new();
    // A server that hangs up on the rest of an upload may reset the connection.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(server: &Server, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("connects");
    stream
        .write_all(head(server, body.len()).as_bytes())
        .expect("sends");
    stream.write_all(body).expect("sends");
    read(stream)
}

#[test]
fn many_at_once_are_all_answered() {
    let place = Place::with_champion();
    let server = serve(place.state(), None);
    let sound = wav(&tone(700.0, 2.0, 16_000));
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..64)
            .map(|_| scope.spawn(|| post(&server, &sound)))
            .collect();
        for asker in askers {
            let answer = asker.join().expect("asks");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    });
}

#[test]
fn beyond_the_queue_the_server_says_that_it_is_busy() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.limits.queue = 0;
    let server = serve(WebState::new(config).expect("opens"), None);
    let answer = post(&server, &wav(&tone(700.0, 0.6, 8_000)));
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains("retry-after: 2") && answer.contains("\"busy\""),
        "{answer}"
    );
}

#[test]
fn an_upload_that_stalls_is_given_up_and_its_memory_is_free_again() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.limits = Limits {
        upload_idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let state = WebState::new(config).expect("opens");
    let before = free(&state);
    let server = serve(state.clone(), None);
    let mut stream = TcpStream::connect(server.address()).expect("connects");
    stream
        .write_all(head(&server, 5_000_000).as_bytes())
        .expect("sends");
    stream.write_all(&[0; 1_000]).expect("sends");
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"timeout\""), "{answer}");
    // Somebody who hangs up in the middle leaves nothing behind either.
    let mut stream = TcpStream::connect(server.address()).expect("connects");
    stream
        .write_all(head(&server, 5_000_000).as_bytes())
        .expect("sends");
    drop(stream);
    until(|| free(&state) == before);
    let answer = post(&server, &wav(&tone(700.0, 0.6, 8_000)));
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "others are served: {answer}"
    );
}

#[test]
fn uploads_that_announce_much_and_send_little_leave_room_for_others() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.limits = Limits {
        max_bytes: 5_000_000,
        uploads_bytes: 10_000_000,
        patience: Duration::from_millis(200),
        ..Limits::default()
    };
    let state = WebState::new(config).expect("opens");
    let server = serve(state, None);
    let slow: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).expect("connects");
            let head = head(&server, 5_000_000);
            stream.write_all(head.as_bytes()).expect("sends");
            stream.write_all(&[0; 1_000]).expect("sends");
            stream
        })
        .collect();
    let answer = post(&server, &wav(&tone(700.0, 0.6, 8_000)));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(slow);
}

#[test]
fn who_is_refused_while_sending_may_send_on_and_hears_why() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.limits = Limits {
        max_bytes: 1_000_000,
        uploads_bytes: 2_000_000,
        patience: Duration::from_millis(50),
        ..Limits::default()
    };
    let state = WebState::new(config).expect("opens");
    let server = serve(state.clone(), None);
    let all = free(&state);
    // One has this client's part of the memory, and one what is set aside.
    let holders = [1, 2].map(|_| {
        let before = free(&state);
        let mut stream = TcpStream::connect(server.address()).expect("connects");
        let head = head(&server, 1_000_000);
        stream.write_all(head.as_bytes()).expect("sends");
        stream.write_all(&[0; 1_000]).expect("sends");
        until(|| free(&state) != before);
        stream
    });
    let mut stream = TcpStream::connect(server.address()).expect("connects");
    let head_of_many = head(&server, 1_000_000).replace("Connection: close\r\n", "");
    stream.write_all(head_of_many.as_bytes()).expect("sends");
    stream.write_all(&[0; 100_000]).expect("sends");
    let mut answer = String::new();
    while !answer.ends_with("}}") {
        let mut piece = [0; 1_000];
        let n = stream.read(&mut piece).expect("reads");
        assert!(n > 0, "the connection ends: {answer}");
        answer.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(holders);
    until(|| free(&state) == all);
    // The rest of the file, and another one on the same connection.
    stream.write_all(&[0; 900_000]).expect("sends on");
    let sound = wav(&tone(700.0, 0.6, 8_000));
    let head = head(&server, sound.len());
    stream.write_all(head.as_bytes()).expect("sends");
    stream.write_all(&sound).expect("sends");
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_file_that_announces_too_much_is_refused_before_it_is_sent() {
    let place = Place::with_champion();
    let server = serve(place.state(), None);
    let mut stream = TcpStream::connect(server.address()).expect("connects");
    stream
        .write_all(head(&server, 2_000_000_000).as_bytes())
        .expect("sends");
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn what_is_under_way_when_the_server_stops_comes_to_its_end() {
    let place = Place::with_champion();
    let state = place.state();
    let server = serve(state.clone(), None);
    let address = server.address();
    let sound = wav(&tone(700.0, 0.6, 8_000));
    let before = free(&state);
    let mut stream = TcpStream::connect(address).expect("connects");
    let (first, second) = sound.split_at(1_000);
    stream
        .write_all(head(&server, sound.len()).as_bytes())
        .expect("sends");
    stream.write_all(first).expect("sends");
    // It has begun when it has taken its share of memory.
    until(|| free(&state) != before);
    let stopping = std::thread::spawn(move || server.stop());
    until(|| TcpStream::connect(address).is_err());
    assert_eq!(get(&state, "/ready").status, 503);
    stream.write_all(second).expect("sends");
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stopping.join().expect("stops");
}

/// The line of the metrics that says how much memory uploads may take.
fn free(state: &WebState) -> String {
    let metrics = get(state, "/metrics");
    let mut lines = metrics.text().lines();
    let line = lines.find(|line| line.starts_with("biophony_upload_free"));
    line.expect("is told").to_owned()
}

#[test]
fn connections_are_encrypted_with_a_certificate_of_our_own() {
    let place = Place::with_champion();
    let tls = Tls::self_signed(place.path(), &[]).expect("a certificate");
    let mut config = place.config();
    config.encrypted = true;
    let server = serve(WebState::new(config).expect("opens"), Some(tls));
    let certificate = place.path().join("tls/certificate.pem");
    let sound = wav(&tone(700.0, 0.6, 8_000));
    let mut stream = trusting(&certificate, &server);
    stream
        .write_all(head(&server, sound.len()).as_bytes())
        .expect("sends");
    stream.write_all(&sound).expect("sends");
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut stream = trusting(&certificate, &server);
    let body = "token=x&next=/";
    let log_in = format!(
        "POST /login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    stream.write_all(log_in.as_bytes()).expect("sends");
    assert!(
        read(stream).contains("; Secure"),
        "cookies stay on encrypted connections"
    );
}

fn trusting(
    certificate: &std::path::Path,
    server: &Server,
) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).expect("reads");
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().expect("a name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(server.address()).expect("connects");
    rustls::StreamOwned::new(connection, stream)
}

#[test]
fn whoever_forgets_the_s_is_led_to_the_encrypted_address() {
    let place = Place::empty();
    let tls = Tls::self_signed(place.path(), &[]).expect("a certificate");
    let server = serve(place.state(), Some(tls));
    let mut stream = TcpStream::connect(server.address()).expect("connects");
    let request = "GET /runs?a=b HTTP/1.1\r\nHost: 192.168.1.7:8443\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sends");
    let answer = read(stream);
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(
        answer.contains("location: https://192.168.1.7:8443/runs?a=b"),
        "{answer}"
    );
}

#[test]
fn bombs_of_sound_are_refused_and_others_are_served_meanwhile() {
    let place = Place::with_champion();
    let server = serve(place.state(), None);
    // 20 minutes of silence at 8 kHz, and a header that claims 19 hours at 50 Hz.
    let long = wav(&biophony_audio::Clip::new(
        vec![0.0; 20 * 60 * 8_000],
        crate::support::rate(8_000),
    ));
    let slow = wav(&biophony_audio::Clip::new(
        vec![0.0; 3_500_000],
        crate::support::rate(50),
    ));
    std::thread::scope(|scope| {
        let bombs: Vec<_> = [&long, &slow]
            .map(|bomb| scope.spawn(|| post(&server, bomb)))
            .into_iter()
            .collect();
        let answer = post(&server, &wav(&tone(700.0, 0.6, 8_000)));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        for bomb in bombs {
            let answer = bomb.join().expect("asks");
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
            assert!(answer.contains("\"too_long\""), "{answer}");
        }
    });
}

#[test]
fn downloads_that_nobody_reads_hold_nobody_up() {
    let place = Place::with_champion();
    let large = std::fs::File::create(place.bundle(1).join("large.bin")).expect("a file");
    large.set_len(32 << 20).expect("grows");
    let server = serve(place.state(), None);
    let download = || {
        let mut stream = TcpStream::connect(server.address()).expect("connects");
        let request = format!(
            "GET /models/biophony/1/bundle.zip HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            server.address()
        );
        stream.write_all(request.as_bytes()).expect("sends");
        let mut first = [0; 12];
        stream.read_exact(&mut first).expect("is answered");
        assert_eq!(&first, b"HTTP/1.1 200");
        stream
    };
    // More than there are threads that may wait for disks.
    let stalled: Vec<TcpStream> = (0..40).map(|_| download()).collect();
    let mut read_on = download();
    let mut zip = Vec::new();
    read_on.read_to_end(&mut zip).expect("reads");
    assert!(zip.len() > 32 << 20, "{} bytes", zip.len());
    // The end of the list of files, and that of the chunked body.
    let end = &zip[zip.len() - 40..];
    assert!(end.windows(4).any(|four| four == b"PK\x05\x06"), "{end:?}");
    drop(stalled);
}
