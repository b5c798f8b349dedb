//! The contract of `POST /api/v1/classify`: answers, errors, limits.

mod support;

use axum::body::Body;
use biophony_audio::Seconds;
use biophony_model::Predictor;
use biophony_web::{Limits, WebState};
use serde_json::Value;
use support::{Place, ask, form, get, tone, wav};

fn classify(state: &WebState, body: impl Into<Body>) -> support::Answer {
    ask(state, "POST", "/api/v1/classify?filename=x.wav", &[], body)
}

#[test]
fn a_file_is_answered_as_the_predictor_answers() {
    let place = Place::with_champion();
    let clip = tone(1_000.0, 1.3, 16_000);
    let answer = classify(&place.state(), wav(&clip));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let predictor = Predictor::open(&place.bundle(1)).expect("opens");
    let decoded = biophony_audio::decode_bytes(wav(&clip), "x".as_ref(), &Default::default());
    let expected = predictor
        .predict(&decoded.expect("decodes").clip)
        .expect("predicts");
    for (said, ranked) in list(&answer["predictions"]).iter().zip(&expected.ranked) {
        assert_eq!(said["label"], ranked.label.as_str());
        assert_eq!(
            said["probability"].as_f64(),
            Some(f64::from(ranked.probability))
        );
    }
    assert_eq!(answer["accepted"], true);
    let windows = list(&answer["windows"]);
    assert_eq!(windows.len(), expected.windows.len());
    assert_eq!(windows[0]["start_seconds"], 0.0);
    assert_eq!(list(&windows[0]["predictions"]).len(), 3);
    let model = &answer["model"];
    assert_eq!(
        (&model["name"], &model["version"], &model["alias"]),
        (
            &Value::from("biophony"),
            &Value::from(1),
            &Value::from("champion")
        )
    );
    assert_eq!(model["labels"], serde_json::json!(["frog", "owl", "wren"]));
    assert_eq!(model["sample_rate_hz"], 8_000);
    let clip = &answer["clip"];
    assert_eq!(clip["filename"], "x.wav");
    assert_eq!(clip["sample_rate_hz"], 16_000);
    assert!((clip["duration_seconds"].as_f64().expect("a number") - 1.3).abs() < 1e-3);
    assert!(answer["latency_ms"]["total"].as_f64() > Some(0.0));
    assert_eq!(answer.get("view"), None);
}

#[test]
fn an_answer_about_silence_says_what_it_is_worth_and_is_not_accepted() {
    let place = Place::with_champion();
    let answer = |amplitude: f32| {
        let clip = tone(1_000.0, 1.0, 16_000);
        let samples = clip.samples().iter().map(|sample| amplitude * sample);
        let clip = biophony_audio::Clip::new(samples.collect(), clip.rate());
        classify(&place.state(), wav(&clip)).json()
    };
    let loud = answer(1.0);
    assert!(list(&loud["clip"]["warnings"]).is_empty());
    assert_eq!(loud["accepted"], true);
    let silent = answer(0.0);
    let warnings = list(&silent["clip"]["warnings"]);
    assert!(
        warnings[0].as_str().expect("text").contains("silent"),
        "{warnings:?}"
    );
    assert_eq!(silent["accepted"], false);
}

#[test]
fn what_a_page_draws_is_sent_when_asked_for() {
    let place = Place::with_champion();
    let url = "/api/v1/classify?detail=full";
    let answer = ask(
        &place.state(),
        "POST",
        url,
        &[],
        wav(&tone(500.0, 1.0, 8_000)),
    );
    let view = &answer.json()["view"];
    let picture = &view["spectrogram"];
    assert_eq!(
        (&picture["n_mels"], &picture["n_frames"]),
        (&16.into(), &63.into())
    );
    assert!(list(&view["peaks"]).len() > 100);
    let wrong = ask(
        &place.state(),
        "POST",
        "/api/v1/classify?detail=half",
        &[],
        "",
    );
    assert_eq!(wrong.refusal(), (400, "bad_request".to_owned()));
}

#[test]
fn a_form_of_one_file_answers_as_the_file_does_and_of_several_one_by_one() {
    let place = Place::with_champion();
    let state = place.state();
    let (low, high) = (
        wav(&tone(300.0, 0.7, 8_000)),
        wav(&tone(3_000.0, 0.7, 8_000)),
    );
    let send = |parts: &[(&str, Option<&str>, &[u8])]| {
        let (kind, body) = form(parts);
        ask(
            &state,
            "POST",
            "/api/v1/classify",
            &[("content-type", &kind)],
            body,
        )
    };
    let one = send(&[("note", None, b"hello"), ("file", Some("low.wav"), &low)]).json();
    assert_eq!(one["clip"]["filename"], "low.wav");
    assert_eq!(
        one["predictions"],
        classify(&state, low.clone()).json()["predictions"]
    );
    let three = send(&[
        ("file", Some("low.wav"), &low),
        ("file", Some("notes.txt"), b"no sound"),
        ("file", Some("high.wav"), &high),
    ]);
    let three = three.json();
    let results = list(&three["results"]);
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["predictions"], one["predictions"]);
    assert_eq!(results[1]["filename"], "notes.txt");
    assert_eq!(results[1]["error"]["code"], "unreadable_audio");
    assert_eq!(results[2]["clip"]["filename"], "high.wav");
    assert_eq!(
        send(&[("sound", None, b"x")]).refusal(),
        (400, "bad_request".to_owned())
    );
}

#[test]
fn without_a_model_that_is_what_it_says() {
    let place = Place::empty();
    let state = place.state();
    let answer = classify(&state, wav(&tone(300.0, 0.7, 8_000)));
    assert_eq!(answer.refusal(), (409, "no_model".to_owned()));
    let page = get(&state, "/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("biophony train"));
    assert_eq!(get(&state, "/api/v1/model").json()["model"], Value::Null);
}

#[test]
fn what_is_no_sound_is_refused_in_plain_words() {
    let place = Place::with_champion();
    let state = place.state();
    let damaged = &wav(&tone(300.0, 0.7, 8_000))[..20];
    for body in [&b""[..], b"Field notes of May", &[0; 5_000], damaged] {
        let answer = classify(&state, body.to_vec());
        assert_eq!(answer.refusal(), (422, "unreadable_audio".to_owned()));
    }
}

#[test]
fn limits_of_bytes_time_and_samples_are_kept() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.limits = Limits {
        max_bytes: 100_000,
        max_duration: Seconds(2.0),
        max_samples: 24_000,
        ..Limits::default()
    };
    let state = WebState::new(config).expect("opens");
    let refusal = |clip| classify(&state, wav(&clip)).refusal();
    assert_eq!(
        refusal(tone(300.0, 8.0, 8_000)),
        (413, "too_large".to_owned())
    );
    assert_eq!(
        refusal(tone(300.0, 3.0, 8_000)),
        (413, "too_long".to_owned())
    );
    // Shorter than two seconds, and yet more than 24,000 samples.
    assert_eq!(
        refusal(tone(300.0, 1.0, 48_000)),
        (413, "too_long".to_owned())
    );
    assert_eq!(classify(&state, wav(&tone(300.0, 1.9, 8_000))).status, 200);
}

#[test]
fn what_takes_longer_than_a_moment_is_answered_too() {
    let place = Place::with_champion();
    let state = place.state();
    let minute = classify(&state, wav(&tone(300.0, 60.0, 8_000)));
    assert_eq!(minute.status, 200, "{}", minute.text());
    let minute = minute.json();
    assert_eq!(minute["clip"]["duration_seconds"], 60.0);
    assert!(list(&minute["windows"]).len() > 100);
    // Twelve kilobytes that claim two minutes.
    let slow = classify(&state, wav(&tone(0.1, 120.0, 50)));
    assert_eq!(slow.json()["clip"]["duration_seconds"], 120.0);
    // Four channels: more to decode than the length says.
    let mut wide = wav(&tone(300.0, 4.0, 8_000));
    wide[22] = 4;
    let wide = classify(&state, wide).json();
    assert_eq!(wide["clip"]["channels"], 4);
    assert_eq!(wide["clip"]["duration_seconds"], 1.0);
}

#[test]
fn clients_are_told_what_is_taken() {
    let place = Place::with_champion();
    let mut config = place.config();
    config.limits.max_bytes = 5_000_000;
    config.limits.max_duration = Seconds(180.0);
    let state = WebState::new(config).expect("opens");
    let limits = &get(&state, "/api/v1/model").json()["limits"];
    assert_eq!(limits["max_bytes"], 5_000_000);
    assert_eq!(limits["max_seconds"], 180.0);
    let page = get(&state, "/");
    assert!(page.text().contains("up to 5 MB and 3 minutes each"));
    assert!(page.text().contains("data-max-bytes=\"5000000\""));
}

#[track_caller]
fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}
