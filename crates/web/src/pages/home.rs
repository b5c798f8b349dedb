//! `GET /`: classify sounds; without a model, how to come by one.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use biophony_audio::Seconds;

use super::{Frame, render};
use crate::demo::{DemoState, Phase};
use crate::error::length;
use crate::limits::Taken;
use crate::state::WebState;

/// How many sounds of a model are named.
const MOST_NAMED: usize = 12;

pub(super) fn router() -> Router<WebState> {
    Router::new().route("/", get(home))
}

#[derive(Template)]
#[template(path = "classify.html")]
struct ClassifyPage {
    frame: Frame,
    /// `None` where there is no model yet.
    model: Option<ModelFacts>,
    /// Why the model that should be in use is not.
    problem: Option<String>,
    /// The training of the demo model, which stands in for one.
    demo: DemoState,
    /// What is taken, which the page checks before it sends.
    limits: Taken,
}

impl ClassifyPage {
    /// What is taken, in words.
    fn most(&self) -> String {
        let megabytes = self.limits.max_bytes as f64 / 1e6;
        let length = length(Seconds(self.limits.max_seconds));
        format!("{megabytes:.0} MB and {length}")
    }
}

struct ModelFacts {
    name: String,
    version: Option<u32>,
    run_id: Option<String>,
    labels: Vec<String>,
}

impl ModelFacts {
    /// What it knows, where there is no room for hundreds of names. As in
    /// `client/src/classify/answer.ts`.
    fn known_sounds(&self) -> String {
        let n = self.labels.len();
        let names = self.labels[..n.min(MOST_NAMED)].join(", ");
        let names = names.replace('_', " ");
        let what = match n {
            0..=MOST_NAMED => ":",
            _ => ", among them",
        };
        format!("knows {n} sounds{what} {names}.")
    }
}

async fn home(State(state): State<WebState>) -> Response {
    let model = state.models().current().map(|served| ModelFacts {
        name: served.identity.name.clone(),
        version: served.identity.version,
        run_id: served.identity.run_id.clone(),
        labels: served.predictor.labels().names().to_vec(),
    });
    render(&ClassifyPage {
        frame: Frame::new("Classify", "classify"),
        problem: state.models().problem(),
        demo: state.demo().state(state.demo_trainer().is_some()),
        limits: state.limits().told(),
        model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_sounds_some_are_named() {
        let model = |n: usize| ModelFacts {
            name: String::new(),
            version: None,
            run_id: None,
            labels: (1..=n).map(|i| format!("owl_{i}")).collect(),
        };
        let few = "knows 2 sounds: owl 1, owl 2.";
        assert_eq!(model(2).known_sounds(), few);
        let many = model(200).known_sounds();
        assert!(many.starts_with("knows 200 sounds, among them owl 1, owl 2,"));
        assert!(many.ends_with(", owl 12."), "{many}");
    }
}
