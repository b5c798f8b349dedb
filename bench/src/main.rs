//! Our side of the benchmarks: one piece of work, done as often as asked for.
//!
//! ```text
//! biophony-bench WORK [ARGUMENT…]
//! ```
//!
//! prepares the work and prints a line of JSON that says what it is. Each line
//! that then comes in is a number of repetitions; each answer is a JSON array of
//! the milliseconds that every one took. `run.py` talks to the peers in the same
//! way and lets the two sides take turns. Threads are set by `RAYON_NUM_THREADS`.
//!
//! Networks live in [`networks`], sounds and features in [`sounds`], a model and a
//! server under load in [`serving`].

mod networks;
mod serving;
mod sounds;

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Something to be timed, with everything that it needs.
type Work = Box<dyn FnMut()>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let work = match words.as_slice() {
        ["train", network, batch] => networks::training_step(network, batch.parse()?)?,
        ["infer", network, batch] => networks::inference(network, batch.parse()?)?,
        ["log-mel", file] => sounds::log_mel(file.as_ref())?,
        ["transforms", file] => sounds::transforms(file.as_ref())?,
        ["load", file] => sounds::load(file.as_ref())?,
        ["classify", file] => sounds::classify(file.as_ref())?,
        ["bare", bundle, file, n] => serving::bare(bundle.as_ref(), file.as_ref(), n.parse()?)?,
        ["requests", address, file, n, at_once] => {
            serving::requests(address, file.as_ref(), n.parse()?, at_once.parse()?)?
        }
        _ => return Err(USAGE.into()),
    };
    serve(work)
}

const USAGE: &str = "usage: biophony-bench WORK, which is one of
  train reference|mobile BATCH   one training step
  infer reference|mobile BATCH   logits of one batch
  log-mel FILE                   a log-mel of the file's sound, as decibels
  transforms FILE                the Fourier transforms of that, and nothing else
  load FILE                      the file read and brought to 22,050 Hz
  classify FILE                  the file read and scored by the mobile net
  bare BUNDLE FILE N             the file decoded and scored N times by all threads
  requests ADDRESS FILE N M      N requests about the file to a server, M at once";

/// Does the work as often as each line of standard input says.
fn serve(mut work: Work) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "instructions": biophony_nn::instruction_set(),
        "threads": rayon::current_num_threads(),
    });
    writeln!(out, "{about}")?;
    for line in std::io::stdin().lock().lines() {
        let repetitions: usize = line?.trim().parse()?;
        let times: Vec<f64> = (0..repetitions).map(|_| milliseconds(&mut work)).collect();
        writeln!(out, "{}", json!(times))?;
    }
    Ok(())
}

fn milliseconds(work: &mut Work) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64() * 1e3
}
