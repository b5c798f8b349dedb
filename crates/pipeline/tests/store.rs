//! What the store tells afterwards: runs, reasons, differences, lineage; and what
//! it throws away.

mod common;

use std::collections::BTreeSet;
use std::fs;

use biophony_pipeline::{
    BoxError, ContentHash, FinishedRun, Json, Output, Pipeline, PipelineError, SourceFolder,
    StepState,
};
use common::{Bench, check_states, constant_step, number_step};

/// Scores clips one by one and makes a "model" of the sum and a setting.
fn modelling(bench: &Bench, epochs: i64) -> (Pipeline, Output<Json<i64>>) {
    let mut pipeline = Pipeline::new("modelling");
    let clips = pipeline.folder("clips", bench.path("clips"));
    let scores = pipeline.step("score").outputs(["scores", "count"]).run(
        &clips,
        |context, clips: SourceFolder| {
            let scores = context.memo(
                "scores",
                &(),
                &clips.entries,
                |e| e.content,
                |entry| Ok::<_, BoxError>(Json(entry.n_bytes.cast_signed())),
            )?;
            let scores: Vec<i64> = scores.into_iter().map(|Json(score)| score).collect();
            context.attach("scores", "n_clips", scores.len());
            let count = Json(scores.len());
            Ok::<_, BoxError>((Json(scores), count))
        },
    );
    let step = pipeline
        .step("train")
        .params(&serde_json::json!({ "epochs": epochs }));
    let model = step.run(&scores.0, move |_, Json(scores)| {
        Ok::<_, BoxError>(Json(scores.into_iter().sum::<i64>() * epochs))
    });
    (pipeline, model)
}

fn run(bench: &Bench, epochs: i64) -> (FinishedRun, ContentHash) {
    let (pipeline, model) = modelling(bench, epochs);
    let run = pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    let content = run.output(&model).expect("is there").content;
    (run, content)
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("clips/owl/1.wav", "hoo");
    bench.write("clips/wren/1.wav", "tschilp");
    bench
}

#[test]
fn the_ingredient_that_changed_is_named() {
    let bench = bench();
    run(&bench, 2);
    let (second, _) = run(&bench, 3);
    let explained = bench
        .store()
        .explain(second.id(), "train")
        .expect("explains");
    assert_eq!(explained.state, StepState::Ran);
    assert_eq!(explained.reason, "parameter `epochs` changed from 2 to 3");
    let changes: Vec<_> = explained.changes.iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["parameter `epochs` changed from 2 to 3"]);
    let explained = bench
        .store()
        .explain(second.id(), "score")
        .expect("explains");
    assert_eq!(explained.state, StepState::Cached);
    assert!(explained.changes.is_empty());
    let missing = bench.store().explain(second.id(), "nothing");
    assert!(matches!(missing, Err(PipelineError::StepNotFound { .. })));
}

#[test]
fn two_runs_are_compared_step_by_step() {
    let bench = bench();
    let (first, _) = run(&bench, 2);
    bench.write("clips/wren/2.wav", "tschilp tschilp");
    let (second, _) = run(&bench, 3);
    let compared = bench
        .store()
        .compare(first.id(), second.id())
        .expect("compares");
    let differences: BTreeSet<(&str, &str)> = compared
        .differences
        .iter()
        .filter(|difference| difference.what != "duration_ms")
        .map(|difference| (difference.step.as_str(), difference.what.as_str()))
        .collect();
    let expected = [
        ("score", "input `clips`"),
        ("score", "n_clips of output `scores`"),
        ("score", "output `count`"),
        ("score", "output `scores`"),
        ("train", "input `score.scores`"),
        ("train", "output `output`"),
        ("train", "parameter `epochs`"),
    ];
    assert_eq!(differences, expected.into());
    let n_clips = compared
        .differences
        .iter()
        .find(|d| d.what.starts_with("n_clips"));
    let n_clips = n_clips.expect("was found");
    assert_eq!(
        (n_clips.left.as_deref(), n_clips.right.as_deref()),
        (Some("2"), Some("3"))
    );
}

#[test]
fn a_copy_of_the_folder_is_no_origin_of_models_from_before() {
    let bench = bench();
    let (_, model) = run(&bench, 2);
    bench.write("copy/owl/1.wav", "hoo");
    bench.write("copy/wren/1.wav", "tschilp");
    let mut pipeline = Pipeline::new("copying");
    let copy = pipeline.folder("clips", bench.path("copy"));
    let step = pipeline.step("count");
    step.run(&copy, |_, clips: SourceFolder| {
        Ok::<_, BoxError>(Json(clips.entries.len()))
    });
    pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    let upstream = bench.store().upstream(model).expect("is known");
    let paths: Vec<_> = upstream.sources.into_iter().map(|one| one.path).collect();
    let read = ["clips/owl/1.wav", "clips/wren/1.wav"].map(|path| bench.path(path));
    assert_eq!(paths, read);
}

#[test]
fn an_edited_clip_is_no_origin_of_models_from_before() {
    let bench = bench();
    let clip = bench.path("clips/wren/1.wav");
    let (first, model) = run(&bench, 2);
    let original = bench.store().content_of(&clip).expect("reads");
    // As long as before, so that all scores are the same.
    bench.write("clips/wren/1.wav", "TSCHILP");
    let (second, later_model) = run(&bench, 3);
    check_states(&second.record, "score ran, train ran");
    let edited = bench.store().content_of(&clip).expect("reads");

    let held_by_the_clip = |model: ContentHash| -> Vec<ContentHash> {
        let upstream = bench.store().upstream(model).expect("is known");
        let sources = upstream.sources.into_iter();
        let sources = sources.filter(|source| source.path == clip);
        sources.map(|source| source.content).collect()
    };
    let models = |clip: ContentHash| -> BTreeSet<ContentHash> {
        let downstream = bench.store().downstream(clip).expect("is known");
        let steps = downstream.steps.into_iter();
        let train = steps.filter(|step| step.ingredients.step == "train");
        train
            .flat_map(|step| step.outputs)
            .map(|output| output.content)
            .collect()
    };
    assert_eq!(held_by_the_clip(model), [original]);
    assert_eq!(held_by_the_clip(later_model), [edited]);
    assert_eq!(models(original), [model].into());
    assert_eq!(models(edited), [later_model].into());

    // A run that finds the same model in the cache has it of the edited clip.
    let (third, same_model) = run(&bench, 2);
    check_states(&third.record, "score cached, train cached");
    assert_eq!(same_model, model);
    assert_eq!(held_by_the_clip(model), [original]);
    assert_eq!(models(edited), [model, later_model].into());

    // Without the runs the order of the executions tells.
    for run in [first, second, third] {
        bench.store().pin(model, "test").expect("pins");
        bench.store().pin(later_model, "test").expect("pins");
        bench.store().remove_run(run.id()).expect("removes");
    }
    assert_eq!(held_by_the_clip(model), [original]);
    assert_eq!(held_by_the_clip(later_model), [edited]);
    assert_eq!(models(edited), [later_model].into());
}

#[test]
fn a_model_leads_to_its_clips_and_a_clip_to_its_models() {
    let bench = bench();
    let (first, model) = run(&bench, 2);
    bench.write("clips/wren/2.wav", "tschilp tschilp");
    let (second, later_model) = run(&bench, 2);

    let upstream = bench.store().upstream(model).expect("is known");
    let steps: Vec<_> = upstream
        .steps
        .iter()
        .map(|step| &*step.ingredients.step)
        .collect();
    assert_eq!(steps, ["train", "score"]);
    assert_eq!(upstream.steps[0].ingredients.params["epochs"], 2);
    assert_eq!(upstream.steps[0].run, first.id().as_str());
    let paths: Vec<_> = upstream
        .sources
        .iter()
        .map(|source| source.path.clone())
        .collect();
    assert_eq!(
        paths,
        ["clips/owl/1.wav", "clips/wren/1.wav"].map(|path| bench.path(path))
    );

    let models = |file: &str| -> BTreeSet<ContentHash> {
        let content = bench.store().content_of(&bench.path(file)).expect("reads");
        let downstream = bench.store().downstream(content).expect("is known");
        let train = downstream
            .steps
            .iter()
            .filter(|step| step.ingredients.step == "train");
        train
            .flat_map(|step| &step.outputs)
            .map(|output| output.content)
            .collect()
    };
    assert_eq!(models("clips/owl/1.wav"), [model, later_model].into());
    assert_eq!(models("clips/wren/2.wav"), [later_model].into());
    let downstream = bench
        .store()
        .downstream(upstream.sources[0].content)
        .expect("is known");
    let runs: BTreeSet<_> = downstream
        .steps
        .iter()
        .flat_map(|step| step.runs.clone())
        .collect();
    assert_eq!(
        runs,
        [&first, &second].map(|run| run.id().to_string()).into()
    );

    let found = bench
        .store()
        .find_content(&model.to_string()[..10])
        .expect("is known");
    assert_eq!(found, model);
    let unknown = bench.store().upstream(ContentHash::of(b"never seen"));
    assert!(matches!(
        unknown,
        Err(PipelineError::ContentNotFound { .. })
    ));
}

#[test]
fn garbage_is_what_no_run_and_no_pin_refers_to() {
    let bench = bench();
    let store = bench.store();
    let (first, model) = run(&bench, 2);
    let (second, later_model) = run(&bench, 3);
    assert_eq!(store.collect_garbage().expect("collects").n_artifacts, 0);

    store.remove_run(first.id()).expect("removes");
    assert!(store.run(first.id()).is_err());
    assert_eq!(store.collect_garbage().expect("collects").n_artifacts, 1);
    assert!(store.artifact_path(model).is_err());
    store
        .artifact_path(later_model)
        .expect("belongs to a run that is kept");

    store
        .pin(later_model, "model owls version 1")
        .expect("pins");
    store.remove_run(second.id()).expect("removes");
    // Scores, their count and the two clips' items; not the model.
    assert_eq!(store.collect_garbage().expect("collects").n_artifacts, 4);
    store.artifact_path(later_model).expect("is pinned");
    let upstream = store.upstream(later_model).expect("is known");
    assert_eq!(
        upstream.sources.len(),
        2,
        "a pinned artifact keeps its lineage"
    );

    // What was collected is not taken for cached.
    let (again, _) = run(&bench, 3);
    check_states(&again.record, "score ran, train ran");

    assert_eq!(store.unpin("model owls version 1").expect("unpins"), 1);
    assert!(
        store.pin(model, "nobody").is_err(),
        "what is gone cannot be pinned"
    );
}

#[test]
fn garbage_is_collected_beside_a_running_pipeline() {
    let bench = bench();
    let store = bench.store();
    let mut pipeline = Pipeline::new("collected");
    let one = constant_step(&mut pipeline, "one", 1);
    let collector = store.clone();
    let two = pipeline
        .step("two")
        .run(&one, move |context, Json(one): Json<i64>| {
            let items = [1, 2, 3];
            let content = |item: &i64| ContentHash::of(&item.to_le_bytes());
            let compute = |item: &i64| Ok::<_, BoxError>(Json(item * 1000));
            context.memo("items", &(), &items, content, compute)?;
            fs::write(context.scratch()?.join("kept"), "scratch")?;
            let collected = collector.collect_garbage()?;
            assert_eq!(collected.n_artifacts, 0, "all of it belongs to this run");
            assert!(context.scratch()?.join("kept").exists());
            Ok::<_, BoxError>(Json(one + 1))
        });
    number_step(&mut pipeline, "three", &two, |n| n + 1);
    let run = pipeline.run(&store, &bench.options()).expect("runs");
    check_states(&run.record, "one ran, two ran, three ran");
}

#[test]
fn a_pipeline_is_drawn_as_text_and_as_svg() {
    let bench = bench();
    let (run, _) = run(&bench, 2);
    let text = run.record.graph.to_text(None);
    let path = bench.path("clips");
    let expected = format!(
        "clips  source            {}\nscore  step              ← clips\n\
         train  step              ← score.scores\n",
        path.display()
    );
    assert_eq!(text, expected);
    let svg = run.record.graph.to_svg(Some(&run.record));
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<rect").count(), 3);
    assert_eq!(svg.matches("class=\"tip\"").count(), 2);
    assert!(svg.contains(">train</text>") && svg.contains(">ran · "));
    let link = |step: &str| (step == "train").then(|| "/steps?a&b".to_owned());
    let svg = run.record.graph.to_page_svg(None, link);
    assert_eq!(
        svg.matches("<a href=\"/steps?a&amp;b\"><g class=\"step\">")
            .count(),
        1
    );
    assert!(
        !svg.contains("style"),
        "a page may forbid styles that are not its own"
    );
}

#[test]
fn a_damaged_record_is_an_error_and_no_panic() {
    let bench = bench();
    let (run, model) = run(&bench, 2);
    let db = rusqlite::Connection::open(bench.path("home/pipeline.db")).expect("opens");
    db.execute_batch("UPDATE executions SET ingredients = '{'; UPDATE runs SET graph = 'x'")
        .expect("damages");
    let store = bench.store();
    assert!(store.run(run.id()).is_err());
    assert!(store.explain(run.id(), "train").is_err());
    assert!(store.upstream(model).is_err());
}
