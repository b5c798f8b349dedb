//! `GET /`: classify sounds; without a model, how to come by one.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::{Frame, render};
use crate::demo::{DemoState, Phase};
use crate::limits::Taken;
use crate::state::WebState;

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
        let length = match self.limits.max_seconds {
            seconds if seconds < 120.0 => format!("{seconds:.0} seconds"),
            seconds => format!("{:.0} minutes", seconds / 60.0),
        };
        format!("{megabytes:.0} MB and {length}")
    }
}

struct ModelFacts {
    name: String,
    version: Option<u32>,
    run_id: Option<String>,
    labels: Vec<String>,
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
