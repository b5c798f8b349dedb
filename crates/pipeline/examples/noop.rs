//! Five steps that do nothing, in a process of their own: what a pipeline costs
//! beside its work.
//!
//! ```text
//! noop HOME [STEPS]
//! ```
//!
//! Prints how long the process took from its first line to its last, in
//! milliseconds, and how many steps ran.

use std::path::Path;
use std::time::Instant;

use biophony_pipeline::{BoxError, Json, Pipeline, RunOptions, StepState, Store};

fn main() -> Result<(), BoxError> {
    let begun = Instant::now();
    let mut args = std::env::args().skip(1);
    let home = args.next().ok_or("usage: noop HOME [STEPS]")?;
    let n_steps: usize = args.next().map_or(Ok(5), |n| n.parse())?;

    let mut pipeline = Pipeline::new("noop");
    let mut last = pipeline
        .step("step-1")
        .run((), |_, ()| Ok::<_, BoxError>(Json(0)));
    for number in 2..=n_steps {
        let step = pipeline.step(&format!("step-{number}"));
        last = step.run(&last, |_, Json(n)| Ok::<_, BoxError>(Json(n + 1)));
    }
    let run = pipeline.run(&Store::open(Path::new(&home))?, &RunOptions::new("1"))?;
    let ran = run
        .record
        .steps
        .iter()
        .filter(|step| step.state == StepState::Ran);
    println!(
        "{:.2} ms, {} steps ran",
        begun.elapsed().as_secs_f64() * 1e3,
        ran.count()
    );
    Ok(())
}
