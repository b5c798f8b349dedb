//! How steps are carried out: side by side, again after a failure, within their
//! time, and what is done afterwards.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{fs, thread};

use biophony_pipeline::{
    BoxError, ContentHash, Hook, Json, Level, Output, Pipeline, PipelineError, Reuse, RunId,
    RunObserver, RunState, StepRecord, StepState,
};
use common::{Bench, check_states, constant_step, failure, number_step};

#[test]
fn faults_of_a_pipeline_are_told_before_anything_runs() {
    let bench = Bench::new();
    let check = |build: &dyn Fn(&mut Pipeline), expected: &str| {
        let mut pipeline = Pipeline::new("faulty");
        build(&mut pipeline);
        let error = pipeline
            .run(&bench.store(), &bench.options())
            .err()
            .expect("is refused");
        assert_eq!(error.to_string(), expected);
    };
    check(
        &|p| drop(number_step(p, "b", &Output::of("a"), |n| n)),
        "step `b` reads `a`, which nothing in the pipeline makes",
    );
    check(
        &|p| {
            constant_step(p, "a", 1);
            let step = p.step("b");
            step.run(&Output::<Json<String>>::of("a"), |_, text| {
                Ok::<_, BoxError>(text)
            });
        },
        "step `b` reads `a` as Json<String>, but it is Json<i64>",
    );
    check(
        &|p| {
            number_step(p, "a", &Output::of("b"), |n| n);
            number_step(p, "b", &Output::of("a"), |n| n);
        },
        "these steps wait for each other: a → b → a",
    );
    check(
        &|p| {
            constant_step(p, "a", 1);
            constant_step(p, "a", 2);
        },
        "two steps or sources are named `a`",
    );
    check(
        &|p| {
            drop(
                p.step("a")
                    .outputs(["x", "y"])
                    .run((), |_, ()| Ok::<_, BoxError>(Json(1))),
            )
        },
        "step `a` returns 1 output(s), but names them [\"x\", \"y\"]",
    );
    assert!(
        bench.store().runs().expect("reads").is_empty(),
        "no run was begun"
    );
}

#[test]
fn independent_steps_run_side_by_side() {
    let bench = Bench::new();
    // Each of the two waits for the other: one after the other, they would wait
    // for ever.
    let barrier = Arc::new(Barrier::new(2));
    let mut pipeline = Pipeline::new("parallel");
    let outputs: Vec<Output<Json<i64>>> = ["left", "right"]
        .map(|name| {
            let barrier = barrier.clone();
            pipeline.step(name).run((), move |_, ()| {
                barrier.wait();
                Ok::<_, BoxError>(Json(1))
            })
        })
        .into();
    let sum = pipeline
        .step("sum")
        .run(&outputs, |_, numbers: Vec<Json<i64>>| {
            Ok::<_, BoxError>(Json(numbers.into_iter().map(|Json(n)| n).sum::<i64>()))
        });
    let run = pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    assert_eq!(run.load(&sum).expect("loads").0, 2);
}

#[test]
fn no_more_steps_run_at_once_than_there_are_workers() {
    for workers in [1, 2, 3] {
        let bench = Bench::new();
        let [running, most] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
        let mut pipeline = Pipeline::new("wide");
        let all: Vec<Output<Json<i64>>> = (0..12)
            .map(|number| {
                let (running, most) = (running.clone(), most.clone());
                let step = pipeline.step(&format!("step-{number}"));
                step.run((), move |_, ()| {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, BoxError>(Json(number))
                })
            })
            .collect();
        let step = pipeline.step("sum");
        let sum = step.run(&all, |_, numbers: Vec<Json<i64>>| {
            Ok::<_, BoxError>(Json(numbers.into_iter().map(|Json(n)| n).sum::<i64>()))
        });
        let mut options = bench.options();
        options.workers = workers;
        let run = pipeline.run(&bench.store(), &options).expect("runs");
        assert_eq!(run.load(&sum).expect("loads").0, 66);
        let most = most.load(Ordering::SeqCst) as usize;
        assert!((1..=workers).contains(&most), "{most} of {workers}");
    }
}

#[test]
fn an_observer_that_panics_fails_the_run_and_does_not_stop_it_dead() {
    struct Clumsy;
    impl RunObserver for Clumsy {
        fn step_finished(&self, _: &RunId, step: &StepRecord) {
            assert_ne!(step.step, "b", "as when a terminal has gone away");
        }
    }
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("observed");
    let a = constant_step(&mut pipeline, "a", 1);
    let b = number_step(&mut pipeline, "b", &a, |n| n);
    number_step(&mut pipeline, "c", &b, |n| n);
    let mut options = bench.options();
    options.observer = Arc::new(Clumsy);
    let (run, error) = failure(pipeline.run(&bench.store(), &options));
    assert!(error.contains("as when a terminal"), "{error}");
    let run = run.parse().expect("is a run");
    let resumed = pipeline.resume(&bench.store(), &run, &bench.options());
    let resumed = resumed.expect("resumes");
    check_states(&resumed.record, "a cached, b cached, c ran");
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("hopeless");
    let step = pipeline.step("hopeless").retries(u32::MAX, Duration::MAX);
    step.run((), |context, ()| {
        Err::<(), _>(PipelineError::SourceChanged {
            step: context.step().to_owned(),
            path: "owl.wav".into(),
        })
    });
    let (run, error) = failure(pipeline.run(&bench.store(), &bench.options()));
    assert!(error.ends_with("run again"), "{error}");
    let record = bench.store().run(&run.parse().expect("is a run"));
    assert_eq!(record.expect("reads").steps[0].n_attempts, 1);
}

#[test]
fn a_step_is_tried_again_as_often_as_it_was_allowed() {
    let bench = Bench::new();
    for (n_retries, succeeds) in [(1, false), (2, true)] {
        let n_calls = Arc::new(AtomicU32::new(0));
        let calls = n_calls.clone();
        let mut pipeline = Pipeline::new("flaky");
        let step = pipeline
            .step("flaky")
            .params(&n_retries)
            .retries(n_retries, Duration::ZERO);
        step.run((), move |context, ()| {
            assert_eq!(context.attempt(), calls.fetch_add(1, Ordering::Relaxed) + 1);
            match context.attempt() {
                3 => Ok(Json(3)),
                _ => Err("not yet"),
            }
        });
        let run = pipeline.run(&bench.store(), &bench.options());
        assert_eq!(run.is_ok(), succeeds);
        assert_eq!(n_calls.load(Ordering::Relaxed), n_retries + 1);
        let latest = &bench.store().runs().expect("reads")[0];
        let record = bench.store().run(&latest.id).expect("reads");
        assert_eq!(record.steps[0].n_attempts, n_retries + 1);
        let lines = bench
            .store()
            .logs(&latest.id, Some("flaky"))
            .expect("reads");
        assert_eq!(lines[0].level, Level::Warn);
        assert_eq!(
            lines[0].text,
            "attempt 1 failed: not yet; trying again in 0 s"
        );
    }
}

#[test]
fn a_step_that_takes_too_long_fails_and_leaves_nothing() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("slow");
    let ended = Arc::new(Barrier::new(2));
    let closure_ended = ended.clone();
    let step = pipeline.step("slow").timeout(Duration::from_millis(50));
    step.run((), move |context, ()| {
        while !context.is_cancelled() {
            thread::yield_now();
        }
        assert!(context.check().is_err());
        context.info("too late");
        let kept = context.memo(
            "item",
            &(),
            &[1],
            |_| OUTSIDE,
            |_| Ok::<_, BoxError>(Json(1)),
        );
        assert!(kept.is_err(), "nothing is kept after the time is up");
        closure_ended.wait();
        Ok::<_, BoxError>(Json(1))
    });
    let (run, error) = failure(pipeline.run(&bench.store(), &bench.options()));
    assert!(
        error.ends_with("the step took longer than its limit of 0.05 s"),
        "{error}"
    );
    ended.wait();
    let lines = bench
        .store()
        .logs(&run.parse().expect("is a run"), None)
        .expect("reads");
    assert!(
        lines.iter().all(|line| line.text != "too late"),
        "{lines:?}"
    );
    for ends_with_an_error in [true, false] {
        let late = ends_when_its_time_is_up(ends_with_an_error);
        let (_, error) = failure(late.run(&bench.store(), &bench.options()));
        assert!(error.contains("took longer"), "{error}");
    }
    let (_, error) = failure(Pipeline::run(
        &never_ending(),
        &bench.store(),
        &bench.options(),
    ));
    assert!(error.contains("took longer"), "{error}");
}

const OUTSIDE: ContentHash = ContentHash::from_bytes([0; 32]);

/// A step that notices, and may do so before the runner does.
fn ends_when_its_time_is_up(with_an_error: bool) -> Pipeline {
    let mut pipeline = Pipeline::new("late");
    let step = pipeline.step("late").timeout(Duration::from_micros(1));
    step.run((), move |context, ()| {
        while !context.is_cancelled() {
            thread::yield_now();
        }
        if with_an_error {
            context.check()?;
        }
        Ok::<_, BoxError>(Json(1))
    });
    pipeline
}

/// A step that never asks whether its time is up.
fn never_ending() -> Pipeline {
    let mut pipeline = Pipeline::new("endless");
    let step = pipeline.step("endless").timeout(Duration::from_millis(10));
    step.run((), |_, ()| {
        thread::sleep(Duration::from_secs(3600));
        Ok::<_, BoxError>(Json(1))
    });
    pipeline
}

#[test]
fn a_failed_step_ends_the_run_which_can_be_resumed() {
    let bench = Bench::new();
    let pipeline = |fails: bool| {
        let mut pipeline = Pipeline::new("shaky");
        let a = constant_step(&mut pipeline, "a", 1);
        let b = pipeline
            .step("b")
            .run(&a, move |context, Json(n): Json<i64>| {
                context.info("about to decide");
                match fails {
                    true => panic!("on purpose"),
                    false => Ok::<_, BoxError>(Json(n + 1)),
                }
            });
        number_step(&mut pipeline, "c", &b, |n| n);
        pipeline
    };
    let (id, error) = failure(pipeline(true).run(&bench.store(), &bench.options()));
    assert!(
        error.ends_with("the step's code panicked: on purpose"),
        "{error}"
    );
    let id = id.parse().expect("is a run");
    let record = bench.store().run(&id).expect("reads");
    check_states(&record, "a ran, b failed, c skipped");
    assert_eq!(record.summary.state, RunState::Failed);
    assert!(
        record
            .summary
            .error
            .expect("says why")
            .contains("on purpose")
    );

    let resumed = pipeline(false)
        .resume(&bench.store(), &id, &bench.options())
        .expect("resumes");
    check_states(&resumed.record, "a cached, b ran, c ran");
    assert_eq!(
        resumed.record.steps[0].reason,
        "it had finished before the run was interrupted"
    );
    assert_eq!(bench.store().runs().expect("reads").len(), 1);
    let lines = bench.store().logs(&id, Some("b")).expect("reads");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.text == "about to decide")
            .count(),
        2
    );

    let again = pipeline(false).resume(&bench.store(), &id, &bench.options());
    assert!(matches!(again, Err(PipelineError::CannotResume { .. })));
    let other = Pipeline::new("other").resume(&bench.store(), &id, &bench.options());
    assert!(matches!(other, Err(PipelineError::CannotResume { .. })));
    // A run that begins anew says what kept the step from being there already.
    let (again, _) = failure(two_steps("reason", true).run(&bench.store(), &bench.options()));
    let reason = |id: &str| {
        let record = bench.store().run(&id.parse().expect("is a run"));
        record.expect("reads").steps[1].reason.clone()
    };
    assert_eq!(reason(&again), "it has not run before");
    let id: RunId = again.parse().expect("is a run");
    let resumed = two_steps("reason", true).resume(&bench.store(), &id, &bench.options());
    assert_eq!(
        reason(&failure(resumed).0),
        "it had not come to its end before"
    );
    let (third, _) = failure(two_steps("reason", true).run(&bench.store(), &bench.options()));
    assert_eq!(
        reason(&third),
        format!("it did not come to its end in run {again}")
    );
    let unknown = "nothing".parse().expect("could be a run");
    let missing = pipeline(false).resume(&bench.store(), &unknown, &bench.options());
    assert!(matches!(missing, Err(PipelineError::RunNotFound { .. })));
}

/// A step, and one after it that may fail.
fn two_steps(name: &str, fails: bool) -> Pipeline {
    let mut pipeline = Pipeline::new(name);
    let a = constant_step(&mut pipeline, "a", 1);
    let step = pipeline.step("fallible");
    step.run(&a, move |_, number: Json<i64>| match fails {
        true => Err("on purpose"),
        false => Ok(number),
    });
    pipeline
}

#[test]
fn a_source_that_changes_while_it_is_read_fails_the_step() {
    let bench = Bench::new();
    bench.write("number.txt", "1");
    let path = bench.path("number.txt");
    let mut pipeline = Pipeline::new("moving");
    let file = pipeline.file("number", &path);
    pipeline
        .step("read")
        .run(&file, move |_, _: biophony_pipeline::SourceFile| {
            fs::write(&path, "2")?;
            std::io::Result::Ok(Json(1))
        });
    let (_, error) = failure(pipeline.run(&bench.store(), &bench.options()));
    assert!(
        error.contains("changed while step `read` was reading it"),
        "{error}"
    );
}

#[test]
fn hooks_are_told_how_the_run_ended_and_cannot_fail_it() {
    let bench = Bench::new();
    let told = bench.path("told.json");
    let script = format!(
        "cat > '{}'; test $PIPELINE_STATE = finished",
        told.display()
    );
    let command = |script: &str| Hook::Command {
        program: "sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
    };
    let mut options = bench.options();
    options.on_success = vec![command(&script), command("exit 7")];
    options.on_failure = vec![command("false")];
    let mut pipeline = Pipeline::new("hooked");
    constant_step(&mut pipeline, "a", 1);
    let run = pipeline.run(&bench.store(), &options).expect("runs");
    let told = fs::read_to_string(told).expect("was written");
    let told: serde_json::Value = serde_json::from_str(&told).expect("is JSON");
    assert_eq!(told["id"], run.id().as_str());
    assert_eq!(told["steps"][0]["state"], "ran");
    let lines = bench.store().logs(run.id(), Some("")).expect("reads");
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["hook `sh` failed: it ended with exit status: 7"]);
}

#[test]
fn a_run_can_be_told_not_to_use_the_cache() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("fresh");
    constant_step(&mut pipeline, "a", 1);
    let step = pipeline.step("acts").uncached();
    step.run((), |_, ()| Ok::<_, BoxError>(()));
    pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    let second = pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    check_states(&second.record, "a cached, acts ran");
    let mut options = bench.options();
    options.reuse = Reuse::Nothing;
    let third = pipeline.run(&bench.store(), &options).expect("runs");
    assert!(
        third
            .record
            .steps
            .iter()
            .all(|step| step.state == StepState::Ran)
    );
}
