//! A pipeline over a folder of files: what a run costs when nothing, or one file,
//! has changed.
//!
//! ```text
//! folder HOME FOLDER
//! ```
//!
//! Prints how long the process took from its first line to its last, in
//! milliseconds, and what each step did.

use std::path::Path;
use std::time::Instant;

use biophony_pipeline::{BoxError, Bytes, Json, Pipeline, RunOptions, SourceFolder, Store};

fn main() -> Result<(), BoxError> {
    let begun = Instant::now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [home, folder] = &args[..] else {
        return Err("usage: folder HOME FOLDER".into());
    };
    let mut pipeline = Pipeline::new("folder");
    let files = pipeline.folder("files", folder);
    let ingest = pipeline.step("ingest");
    let features = ingest.run(&files, |context, files: SourceFolder| {
        let entries = &files.entries[..];
        let features = context.memo(
            "features",
            &(),
            entries,
            |entry| entry.content,
            |entry| Ok::<_, std::io::Error>(Bytes(std::fs::read(files.path.join(&entry.path))?)),
        )?;
        let features = features.into_iter().flat_map(|Bytes(bytes)| bytes);
        Ok::<_, BoxError>(Bytes(features.collect()))
    });
    let mut last = pipeline.step("split").run(&features, |_, Bytes(bytes)| {
        Ok::<_, BoxError>(Json(bytes.len()))
    });
    for name in ["train", "evaluate", "deploy"] {
        let step = pipeline.step(name);
        last = step.run(&last, |_, Json(n)| Ok::<_, BoxError>(Json(n + 1)));
    }
    let run = pipeline.run(&Store::open(Path::new(home))?, &RunOptions::new("1"))?;
    println!("{:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    print!("{}", run.record.graph.to_text(Some(&run.record)));
    Ok(())
}
