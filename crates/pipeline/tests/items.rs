//! Items of a step: one changed clip is one computed item.

mod common;

use std::collections::BTreeMap;
use std::fs;

use biophony_pipeline::{
    BoxError, FinishedRun, Json, Output, Pipeline, RunOptions, SourceFolder, StepState,
};
use common::Bench;

type Lengths = Json<BTreeMap<String, usize>>;

/// Measures every clip of a folder, each on its own.
fn measuring(bench: &Bench, factor: usize) -> (Pipeline, Output<Lengths>) {
    let mut pipeline = Pipeline::new("measuring");
    let clips = pipeline.folder("clips", bench.path("clips"));
    let step = pipeline.step("measure").params(&factor);
    let lengths = step.run(&clips, move |context, clips: SourceFolder| {
        let entries = &clips.entries[..];
        let lengths = context.memo(
            "lengths",
            &factor,
            entries,
            |e| e.content,
            |entry| {
                let bytes = fs::read(clips.path.join(&entry.path))?;
                Ok::<_, std::io::Error>(Json(bytes.len() * factor))
            },
        )?;
        let names = entries.iter().map(|entry| entry.path.display().to_string());
        let lengths = names.zip(lengths.into_iter().map(|Json(length)| length));
        Ok::<_, BoxError>(Json(lengths.collect()))
    });
    (pipeline, lengths)
}

fn run(bench: &Bench, factor: usize, options: &RunOptions) -> (FinishedRun, Lengths) {
    let (pipeline, lengths) = measuring(bench, factor);
    let run = pipeline.run(&bench.store(), options).expect("runs");
    let lengths = run.load(&lengths).expect("loads");
    (run, lengths)
}

#[track_caller]
fn check_log(bench: &Bench, run: &FinishedRun, expected: &str) {
    let lines = bench
        .store()
        .logs(run.id(), Some("measure"))
        .expect("reads");
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, [expected]);
}

fn bench(n_clips: usize) -> Bench {
    let bench = Bench::new();
    for clip in 0..n_clips {
        bench.write(&format!("clips/{clip:04}.wav"), &"x".repeat(clip + 1));
    }
    bench
}

#[test]
fn one_added_clip_is_one_computed_item() {
    let bench = bench(600);
    let (first, _) = run(&bench, 2, &bench.options());
    check_log(&bench, &first, "lengths: 600 computed, 0 from the cache");
    bench.write("clips/new.wav", "abc!".repeat(1000).as_str());
    let (second, lengths) = run(&bench, 2, &bench.options());
    check_log(&bench, &second, "lengths: 1 computed, 600 from the cache");
    assert_eq!(lengths.0.len(), 601);
    assert_eq!((lengths.0["0041.wav"], lengths.0["new.wav"]), (84, 8000));
    let (third, again) = run(&bench, 2, &bench.options());
    assert_eq!(third.record.steps[0].state, StepState::Cached);
    assert_eq!(again, lengths);
}

#[test]
fn items_depend_on_their_parameters_and_the_program() {
    let bench = bench(3);
    run(&bench, 2, &bench.options());
    let (other, lengths) = run(&bench, 3, &bench.options());
    check_log(&bench, &other, "lengths: 3 computed, 0 from the cache");
    assert_eq!(lengths.0["0002.wav"], 9);
    let mut options = bench.options();
    options.program = "2".to_owned();
    let (newer, _) = run(&bench, 3, &options);
    check_log(&bench, &newer, "lengths: 3 computed, 0 from the cache");
}

#[test]
fn a_damaged_item_is_computed_again() {
    let bench = bench(3);
    run(&bench, 2, &bench.options());
    let item = biophony_pipeline::ContentHash::of(b"4");
    let path = bench
        .store()
        .artifact_path(item)
        .expect("the second clip's length");
    fs::write(path, "5").expect("writes");
    bench.write("clips/new.wav", "abc!");
    let (second, lengths) = run(&bench, 2, &bench.options());
    check_log(&bench, &second, "lengths: 2 computed, 2 from the cache");
    assert_eq!(lengths.0["0001.wav"], 4);
}
