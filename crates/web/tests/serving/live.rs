//! Listening live, over a real socket.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use biophony_audio::{Clip, Seconds};
use biophony_web::{Server, WebState};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::support::{Place, get, rate, tone, until};

const RATE: u32 = 16_000;

fn serve(state: WebState) -> Server {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Server::start(address, None, state).expect("listens")
}

fn connect(server: &Server) -> WebSocket<TcpStream> {
    let url = format!("ws://{}/api/v1/live?rate={RATE}", server.address());
    let stream = TcpStream::connect(server.address()).expect("connects");
    tungstenite::client(url, stream).expect("upgrades").0
}

fn send(socket: &mut WebSocket<TcpStream>, samples: &[f32]) {
    for piece in samples.chunks(RATE as usize / 4) {
        let bytes: Vec<u8> = piece.iter().flat_map(|x| x.to_le_bytes()).collect();
        socket.send(Message::binary(bytes)).expect("sends");
    }
}

fn stop(socket: &mut WebSocket<TcpStream>) {
    let stop = Message::text(r#"{"type":"stop"}"#);
    socket.send(stop).expect("sends");
}

/// The next message of the server; `None` at the end.
fn next(socket: &mut WebSocket<TcpStream>) -> Option<Value> {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("JSON")),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn rest(mut socket: WebSocket<TcpStream>) -> Vec<Value> {
    std::iter::from_fn(|| next(&mut socket)).collect()
}

fn of_type<'a>(messages: &'a [Value], name: &str) -> Vec<&'a Value> {
    messages
        .iter()
        .filter(|message| message["type"] == name)
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn what_is_heard_is_told_window_by_window_and_drawn_without_a_gap() {
    let place = Place::with_champion();
    let state = place.state();
    let server = serve(state.clone());
    let mut socket = connect(&server);
    let clip = tone(1_200.0, 3.0, RATE);
    send(&mut socket, clip.samples());
    stop(&mut socket);
    let messages = rest(socket);
    assert_eq!(messages[0]["type"], "ready");
    assert_eq!(messages[0]["model"]["version"], 1);
    assert_eq!(number(&messages[0]["window_seconds"]), 0.5);

    let windows = of_type(&messages, "window");
    assert_eq!(windows.len(), 12, "every quarter of a second");
    let served = state.models().current().expect("a model");
    for (index, window) in windows.iter().enumerate() {
        let end = 0.25 * (index + 1) as f64;
        assert_eq!(number(&window["end_seconds"]), end);
        assert_eq!(number(&window["start_seconds"]), (end - 0.5).max(0.0));
        // The same answer as a file of that stretch would get.
        let [from, until] = [&window["start_seconds"], &window["end_seconds"]]
            .map(|seconds| rate(RATE).samples_in(Seconds(number(seconds))));
        let stretch = Clip::new(clip.samples()[from..until].to_vec(), rate(RATE));
        let expected = served.predictor.predict(&stretch).expect("predicts");
        assert_eq!(
            window["predictions"][0]["label"],
            expected.ranked[0].label.as_str()
        );
        let probability = number(&window["predictions"][0]["probability"]) as f32;
        assert_eq!(probability, expected.ranked[0].probability);
    }

    let mut seconds = 0.0;
    for columns in of_type(&messages, "columns") {
        assert!((number(&columns["start_seconds"]) - seconds).abs() < 1e-9);
        let data = columns["data"].as_str().expect("text");
        let n_columns = base64_length(data) / 16;
        seconds += n_columns as f64 * number(&columns["hop_seconds"]);
        assert_eq!(columns["n_mels"], 16);
    }
    assert!((2.9..=3.0).contains(&seconds), "{seconds}");
    assert!(of_type(&messages, "dropped").is_empty());
    assert_eq!(messages.last().expect("more")["type"], "window");
}

#[test]
fn what_is_not_understood_is_named_when_the_sound_before_it_was_heard() {
    let place = Place::with_champion();
    let server = serve(place.state());
    for (message, named) in [
        (Message::text("hello"), "`hello`"),
        (Message::text(r#"{"type":"zzz"}"#), "`{\"type\":\"zzz\"}`"),
        (Message::binary(vec![1, 2, 3]), "3 bytes"),
    ] {
        let mut socket = connect(&server);
        send(&mut socket, tone(1_200.0, 1.0, RATE).samples());
        socket.send(message).expect("sends");
        let messages = rest(socket);
        assert_eq!(of_type(&messages, "window").len(), 4);
        let last = messages.last().expect("an error");
        assert_eq!(last["type"], "error");
        assert_eq!(last["error"]["code"], "bad_request");
        let said = last["error"]["message"].as_str().expect("words");
        assert!(said.contains(named), "{said}");
    }
}

fn base64_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    text.len() / 4 * 3 - padding
}

#[test]
fn sound_that_comes_too_fast_is_dropped_and_every_second_is_accounted_for() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.limits.live_backlog = Seconds(0.5);
    let server = serve(WebState::new(config).expect("opens"));
    let mut socket = connect(&server);
    let total = 600;
    let second = tone(900.0, 1.0, RATE);
    let speaker = {
        let stream = socket.get_ref().try_clone().expect("clones");
        std::thread::spawn(move || {
            rest(WebSocket::from_raw_socket(
                stream,
                tungstenite::protocol::Role::Client,
                None,
            ))
        })
    };
    for _ in 0..total {
        send(&mut socket, second.samples());
    }
    stop(&mut socket);
    let messages = speaker.join().expect("reads");
    let dropped = of_type(&messages, "dropped");
    let seconds: f64 = dropped.iter().map(|gap| number(&gap["seconds"])).sum();
    let windows = of_type(&messages, "window");
    let mut end = 0.0;
    for window in &windows {
        assert!(number(&window["start_seconds"]) >= 0.0);
        assert!(number(&window["end_seconds"]) > end);
        end = number(&window["end_seconds"]);
        // No window reaches over what was dropped.
        for gap in &dropped {
            let (from, until) = (
                number(&gap["start_seconds"]),
                number(&gap["start_seconds"]) + number(&gap["seconds"]),
            );
            let apart = number(&window["start_seconds"]) >= until - 1e-6 || end <= from + 1e-6;
            assert!(apart, "{window} {gap}");
        }
    }
    assert!(end > f64::from(total) - 1.0, "the end is heard: {end}");
    let heard = 0.25 * windows.len() as f64;
    // Between two windows lie 0.25 s; around each gap up to that much is heard and in
    // no window.
    let loose = 0.25 * (dropped.len() + 1) as f64 + 1.0;
    let missing = f64::from(total) - seconds - heard;
    assert!(
        (-0.01..loose).contains(&missing),
        "{seconds} dropped, {heard} heard"
    );
}

#[test]
fn a_new_model_takes_over_in_the_middle() {
    let place = Place::with_champion();
    let state = place.state();
    let server = serve(state.clone());
    let mut socket = connect(&server);
    let clip = tone(900.0, 1.0, RATE);
    send(&mut socket, clip.samples());
    while next(&mut socket).expect("goes on")["type"] != "window" {}
    place.deploy(&["bat", "cricket", "owl", "toad"], 2);
    until(|| get(&state, "/api/v1/model").json()["model"]["version"] == 2);
    send(&mut socket, clip.samples());
    stop(&mut socket);
    let messages = rest(socket);
    let changed = messages
        .iter()
        .position(|message| message["type"] == "model");
    let changed = changed.expect("it is told");
    assert_eq!(messages[changed]["model"]["version"], 2);
    let windows = of_type(&messages[changed..], "window");
    assert!(!windows.is_empty());
    for window in windows {
        assert_eq!(window["predictions"].as_array().map(Vec::len), Some(4));
    }
}

#[test]
fn without_a_model_or_a_place_the_socket_says_why() {
    let place = Place::empty();
    let server = serve(place.state());
    let messages = rest(connect(&server));
    assert_eq!(messages[0]["error"]["code"], "no_model");
    assert_eq!(messages.len(), 1);

    let place = Place::with_champion();
    let mut config = place.config();
    config.limits.live_sessions = 1;
    let server = serve(WebState::new(config).expect("opens"));
    let mut first = connect(&server);
    assert_eq!(next(&mut first).expect("is greeted")["type"], "ready");
    assert_eq!(rest(connect(&server))[0]["error"]["code"], "busy");
    stop(&mut first);
    rest(first);
    until(|| rest_of_greeting(&server) == "ready");
}

fn rest_of_greeting(server: &Server) -> Value {
    let mut socket = connect(server);
    let greeting = next(&mut socket).expect("says something")["type"].clone();
    stop(&mut socket);
    greeting
}

#[test]
fn strangers_and_nonsense_are_refused_at_the_door() {
    let place = Place::with_champion();
    let state = place.state();
    let server = serve(state.clone());
    let attempt = |path: &str, origin: &str| {
        let url = format!("ws://{}{path}", server.address());
        let mut request = url.into_client_request().expect("a request");
        request
            .headers_mut()
            .insert("origin", origin.parse().expect("a header"));
        let stream = TcpStream::connect(server.address()).expect("connects");
        match tungstenite::client(request, stream) {
            Ok(_) => 101,
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                answer.status().as_u16()
            }
            Err(error) => panic!("{error}"),
        }
    };
    let own = format!("http://{}", server.address());
    assert_eq!(
        attempt("/api/v1/live?rate=48000", "http://evil.example"),
        403
    );
    for path in [
        "/api/v1/live",
        "/api/v1/live?rate=0",
        "/api/v1/live?rate=9999999",
    ] {
        assert_eq!(attempt(path, &own), 400, "{path}");
    }
    assert_eq!(attempt("/api/v1/live?rate=48000", &own), 101);
    let plain = get(&state, "/api/v1/live?rate=48000");
    assert_eq!(plain.refusal(), (400, "bad_request".to_owned()));
}

#[test]
fn a_listener_does_not_keep_the_server_from_stopping() {
    let place = Place::with_champion();
    let server = serve(place.state());
    let mut socket = connect(&server);
    send(&mut socket, &[0.0; 100]);
    assert_eq!(next(&mut socket).expect("is greeted")["type"], "ready");
    server.stop();
    assert!(rest(socket).is_empty());
}
