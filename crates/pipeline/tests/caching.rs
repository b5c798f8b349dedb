//! When a step runs, when it does not, and what is said of it: among others the
//! three faults of other orchestrators that must not exist here.

mod common;

use std::fs;

use biophony_pipeline::{ContentHash, Json, Output, Pipeline, PipelineError, SourceFile};
use common::{Bench, check_states};

/// Reads a file, doubles the number in it, adds one.
fn doubling(bench: &Bench) -> Pipeline {
    let mut pipeline = Pipeline::new("doubling");
    let file = pipeline.file("number", bench.path("number.txt"));
    let read = pipeline.step("read").run(&file, |_, file: SourceFile| {
        let text = fs::read_to_string(file.path).map_err(|e| e.to_string())?;
        let number: i64 = text.trim().parse().map_err(|_| "not a number".to_owned())?;
        Ok::<_, String>(Json(number))
    });
    let double = common::number_step(&mut pipeline, "double", &read, |n| n * 2);
    common::number_step(&mut pipeline, "add", &double, |n| n + 1);
    pipeline
}

#[test]
fn a_second_run_runs_nothing() {
    let bench = Bench::new();
    bench.write("number.txt", "20");
    let first = doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    check_states(&first.record, "read ran, double ran, add ran");
    let second = doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    check_states(&second.record, "read cached, double cached, add cached");
    let add = Output::<Json<i64>>::of("add");
    assert_eq!(second.load(&add).expect("loads").0, 41);
    assert_eq!(
        second.record.steps[0].reason,
        format!("nothing changed since run {}", first.id())
    );
}

#[test]
fn a_changed_file_at_the_same_path_is_read_again() {
    let bench = Bench::new();
    bench.write("number.txt", "20");
    doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    bench.write("number.txt", "30");
    let run = doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    check_states(&run.record, "read ran, double ran, add ran");
    let reason = &run.record.steps[0].reason;
    assert!(
        reason.starts_with("input `number` changed from "),
        "{reason}"
    );
}

#[test]
fn a_step_whose_inputs_came_out_the_same_is_not_run() {
    let bench = Bench::new();
    bench.write("number.txt", "20");
    doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    bench.write("number.txt", "20\n");
    let run = doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    check_states(&run.record, "read ran, double cached, add cached");
}

#[test]
fn what_is_good_for_one_run_only_is_not_given_to_the_next() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("stopped_early");
    let half = pipeline.step("half").run((), |context, ()| {
        context.do_not_cache();
        Ok::<_, PipelineError>(Json(21))
    });
    common::number_step(&mut pipeline, "double", &half, |n| n * 2);
    let keys: Vec<_> = (0..2)
        .map(|n| {
            let run = pipeline
                .run(&bench.store(), &bench.options())
                .expect("runs");
            let expected = ["half ran, double ran", "half ran, double cached"];
            check_states(&run.record, expected[n]);
            run.record.steps[0].key
        })
        .collect();
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn another_version_of_the_program_runs_everything() {
    let bench = Bench::new();
    bench.write("number.txt", "20");
    doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    let mut options = bench.options();
    options.program = "2".to_owned();
    let run = doubling(&bench)
        .run(&bench.store(), &options)
        .expect("runs");
    check_states(&run.record, "read ran, double ran, add ran");
    assert_eq!(run.record.steps[1].reason, "program changed from 1 to 2");
}

#[test]
fn a_cached_step_whose_artifact_is_gone_runs_again_and_says_so() {
    let bench = Bench::new();
    bench.write("number.txt", "20");
    let first = doubling(&bench)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    for damage in [
        (|path| fs::remove_file(path).expect("removes")) as fn(&std::path::Path),
        |path| fs::write(path, "41").expect("writes"),
    ] {
        let content = first.record.steps[1].outputs[0].content;
        damage(&bench.store().artifact_path(content).expect("is there"));
        assert!(bench.store().artifact_path(content).is_err());
        let run = doubling(&bench)
            .run(&bench.store(), &bench.options())
            .expect("runs");
        check_states(&run.record, "read cached, double ran, add cached");
        let reason = &run.record.steps[1].reason;
        assert!(
            reason.starts_with("it had been cached, but artifact "),
            "{reason}"
        );
        bench
            .store()
            .artifact_path(content)
            .expect("is there again");
    }
}

#[test]
fn an_artifact_that_is_damaged_after_its_step_was_cached_is_made_again() {
    let bench = Bench::new();
    bench.write("number.txt", "20");
    // `spoil` damages what `read` made, after `read` was taken from the cache.
    let pipeline = |spoil: bool| {
        let mut pipeline = Pipeline::new("spoiled");
        let one = common::constant_step(&mut pipeline, "one", 1);
        let store = bench.store();
        let guard =
            pipeline
                .step("guard")
                .params(&spoil)
                .run(&one, move |_, Json(one): Json<i64>| {
                    if spoil {
                        let content = ContentHash::of(one.to_string().as_bytes());
                        let path = store.artifact_path(content)?;
                        fs::write(path, "2").expect("writes");
                    }
                    Ok::<_, PipelineError>(Json(0))
                });
        pipeline
            .step("sum")
            .params(&spoil)
            .run((&one, &guard), |_, (one, zero): (Json<i64>, Json<i64>)| {
                Ok::<_, PipelineError>(Json(one.0 + zero.0))
            });
        pipeline
    };
    pipeline(false)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    let run = pipeline(true)
        .run(&bench.store(), &bench.options())
        .expect("runs");
    check_states(&run.record, "one ran, guard ran, sum ran");
    let reason = &run.record.steps[0].reason;
    assert!(
        reason.starts_with("step `sum` needs its output, but artifact "),
        "{reason}"
    );
    let sum = Output::<Json<i64>>::of("sum");
    assert_eq!(run.load(&sum).expect("loads").0, 1);
}

#[test]
fn a_whole_chain_of_lost_artifacts_is_made_again() {
    let bench = Bench::new();
    let pipeline = |addend: i64| {
        let mut pipeline = Pipeline::new("chain");
        let one = common::constant_step(&mut pipeline, "one", 1);
        let two = common::number_step(&mut pipeline, "two", &one, |n| n + 1);
        let store = bench.store();
        let lose = pipeline
            .step("lose")
            .params(&addend)
            .run(&two, move |_, Json(_)| {
                for number in [1i64, 2].into_iter().filter(|_| addend > 0) {
                    let content = ContentHash::of(number.to_string().as_bytes());
                    fs::remove_file(store.artifact_path(content)?).expect("removes");
                }
                Ok::<_, PipelineError>(Json(0))
            });
        let last = pipeline.step("last").params(&addend);
        let last = last.run((&two, &lose), move |_, (Json(two), Json(zero))| {
            Ok::<_, PipelineError>(Json(two + zero + addend))
        });
        (pipeline, last)
    };
    let (first, _) = pipeline(0);
    first.run(&bench.store(), &bench.options()).expect("runs");
    let (second, last) = pipeline(10);
    let run = second.run(&bench.store(), &bench.options()).expect("runs");
    check_states(&run.record, "one ran, two ran, lose ran, last ran");
    assert_eq!(run.load(&last).expect("loads").0, 12);
    assert!(
        run.record.steps[0]
            .reason
            .starts_with("step `two` needs its output")
    );
}
