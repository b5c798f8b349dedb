//! What ends a run and what it leaves: attempts whose time is up, what is done after
//! the last step, and what is said afterwards of the files that changed.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use biophony_pipeline::{
    BoxError, Conclusion, FinishedRun, Hook, Json, Pipeline, PipelineError, Reuse, RunState,
    SourceFolder,
};
use common::{Bench, check_states, constant_step, failure, number_step};

#[test]
fn a_step_is_not_tried_again_beside_an_attempt_that_still_works() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("slow");
    let at_work = Arc::new(AtomicUsize::new(0));
    let closure_at_work = at_work.clone();
    let step = pipeline
        .step("slow")
        .timeout(Duration::from_millis(200))
        .retries(1, Duration::ZERO);
    step.run((), move |context, ()| {
        assert_eq!(closure_at_work.fetch_add(1, Ordering::SeqCst), 0, "alone");
        if context.attempt() == 1 {
            while !context.is_cancelled() {
                thread::yield_now();
            }
            // It has yet to come to a place where it can stop.
            thread::sleep(Duration::from_millis(100));
        }
        closure_at_work.fetch_sub(1, Ordering::SeqCst);
        Ok::<_, BoxError>(Json(1))
    });
    let run = pipeline.run(&bench.store(), &bench.options());
    assert_eq!(run.expect("succeeds").record.steps[0].n_attempts, 2);
    assert_eq!(at_work.load(Ordering::SeqCst), 0);
}

#[test]
fn nobody_waits_to_try_again_when_the_run_is_to_end() {
    let bench = Bench::new();
    let options = bench.options();
    let hurry = options.hurry.clone();
    let mut pipeline = Pipeline::new("patient");
    let step = pipeline.step("a").retries(9, Duration::from_secs(3600));
    step.run((), move |_, ()| {
        let hurry = hurry.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            hurry.store(true, Ordering::Relaxed);
        });
        Err::<Json<i64>, BoxError>("on purpose".into())
    });
    let (run, error) = failure(pipeline.run(&bench.store(), &options));
    assert!(error.ends_with("on purpose"), "{error}");
    let run = bench.store().run(&run.parse().expect("is a run"));
    let state = run.expect("is there").summary.state;
    assert_eq!(state, RunState::Interrupted, "it did not fail by itself");
}

#[test]
fn a_run_has_finished_when_what_follows_its_steps_is_done() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("whole");
    let a = constant_step(&mut pipeline, "a", 7);
    let mut options = bench.options();
    let told = bench.path("told");
    options.on_success = vec![Hook::Command {
        program: "touch".to_owned(),
        args: vec![told.display().to_string()],
    }];
    let refuse = |_: &FinishedRun| Err::<Conclusion<i64>, BoxError>("the disk is full".into());
    let error = pipeline.run_then(&bench.store(), &options, refuse);
    let error = error.map(drop).expect_err("it cannot be concluded");
    let PipelineError::NotConcluded { run, .. } = error else {
        panic!("{error}")
    };
    let store = bench.store();
    assert_eq!(store.run(&run).unwrap().summary.state, RunState::Failed);
    assert!(!told.exists());

    let anew = |_: &FinishedRun| Ok(Conclusion::<i64>::Anew);
    let (_, conclusion) = pipeline
        .resume_then(&store, &run, &options, anew)
        .expect("is left as it is");
    assert_eq!(conclusion, Conclusion::Anew);
    assert_eq!(
        store.run(&run).unwrap().summary.state,
        RunState::Interrupted
    );
    assert!(!told.exists());

    let read = |run: &FinishedRun| {
        assert!(!told.exists(), "hooks are called last");
        Ok(Conclusion::Done(run.load(&a)?.0))
    };
    let (finished, conclusion) = pipeline
        .resume_then(&store, &run, &options, read)
        .expect("is concluded");
    assert_eq!(conclusion, Conclusion::Done(7));
    check_states(&finished.record, "a cached");
    assert_eq!(finished.record.summary.state, RunState::Finished);
    assert!(told.exists());
}

#[test]
fn a_run_without_the_cache_stays_one_when_it_is_resumed() {
    let bench = Bench::new();
    let fails = Arc::new(AtomicBool::new(false));
    let mut pipeline = Pipeline::new("fresh");
    let a = constant_step(&mut pipeline, "a", 1);
    let b_fails = fails.clone();
    let b = pipeline.step("b").run(&a, move |_, Json(n): Json<i64>| {
        match b_fails.load(Ordering::SeqCst) {
            true => Err::<_, BoxError>("on purpose".into()),
            false => Ok(Json(n + 1)),
        }
    });
    number_step(&mut pipeline, "c", &b, |n| n);
    let mut options = bench.options();
    pipeline.run(&bench.store(), &options).expect("succeeds");

    options.reuse = Reuse::Nothing;
    fails.store(true, Ordering::SeqCst);
    let (id, _) = failure(pipeline.run(&bench.store(), &options));
    fails.store(false, Ordering::SeqCst);
    let id = id.parse().unwrap();
    let resumed = pipeline.resume(&bench.store(), &id, &options);
    check_states(&resumed.expect("succeeds").record, "a cached, b ran, c ran");
}

#[test]
fn a_parameter_can_be_found_when_the_inputs_are_there() {
    let bench = Bench::new();
    let run = |world: i64| {
        let mut pipeline = Pipeline::new("late");
        let a = constant_step(&mut pipeline, "a", 1);
        let step = pipeline
            .step("b")
            .params(&serde_json::json!({ "gate": 3 }))
            .late_param("world", move |inputs| {
                assert_eq!(inputs[0].0, "a");
                Ok(world.into())
            });
        let b = step.run(&a, |context, Json(n): Json<i64>| {
            let params = context.params();
            let number = |name: &str| params[name].as_i64().expect("a number");
            Ok::<_, BoxError>(Json(n + number("gate") + number("world")))
        });
        let run = pipeline.run(&bench.store(), &bench.options());
        let run = run.expect("succeeds");
        (run.load(&b).expect("is there").0, run.record)
    };
    assert_eq!(run(10).0, 14);
    let (value, record) = run(10);
    check_states(&record, "a cached, b cached");
    assert_eq!(value, 14);
    let (value, record) = run(20);
    check_states(&record, "a cached, b ran");
    assert_eq!(value, 24);
    assert_eq!(
        record.steps[1].reason,
        "parameter `world` changed from 10 to 20"
    );
}

#[test]
fn changed_files_of_a_folder_are_named() {
    let bench = Bench::new();
    let run = || {
        let mut pipeline = Pipeline::new("clips");
        let clips = pipeline.folder("clips", bench.path("clips"));
        let step = pipeline.step("count");
        step.run(&clips, |_, clips: SourceFolder| {
            Ok::<_, BoxError>(Json(clips.entries.len()))
        });
        pipeline
            .run(&bench.store(), &bench.options())
            .expect("runs")
    };
    for name in ["owl/1.wav", "owl/2.wav", "frog/1.wav"] {
        bench.write(&format!("clips/{name}"), name);
    }
    run();
    bench.write("clips/owl/1.wav", "another owl");
    bench.write("clips/owl/3.wav", "a third owl");
    std::fs::remove_file(bench.path("clips/frog/1.wav")).expect("removes");
    let second = run();
    let files = "`clips`: 1 file added (owl/3.wav), 1 file changed (owl/1.wav), 1 file removed (frog/1.wav)";
    let reason = &second.record.steps[0].reason;
    assert!(reason.ends_with(files), "{reason}");
    let explained = bench
        .store()
        .explain(second.id(), "count")
        .expect("explains");
    assert_eq!(explained.files[0].to_string(), files);
}

#[test]
fn what_a_file_held_is_remembered_when_it_has_changed() {
    let bench = Bench::new();
    bench.write("clips/owl.wav", "an owl");
    let path = bench.path("clips/owl.wav");
    let store = bench.store();
    let content = store.content_of(&path).expect("reads");
    assert_eq!(store.last_content_of(&path).expect("looks"), None);
    let mut pipeline = Pipeline::new("clips");
    let clips = pipeline.folder("clips", bench.path("clips"));
    let step = pipeline.step("count");
    step.run(&clips, |_, _: SourceFolder| Ok::<_, BoxError>(Json(1)));
    pipeline.run(&store, &bench.options()).expect("runs");

    bench.write("clips/owl.wav", "another owl");
    let now = store.content_of(&path).expect("reads");
    assert!(!store.knows(now).expect("looks"));
    assert_eq!(store.last_content_of(&path).expect("looks"), Some(content));
    assert!(store.knows(content).expect("looks"));
}
