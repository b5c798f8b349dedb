//! Processes that are killed, that run at once, and disks that are full.
//!
//! The processes are this test binary, started again with [`CHILD`] set.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use biophony_pipeline::{
    BoxError, Bytes, ContentHash, FinishedRun, Folder, Json, Pipeline, PipelineError, RunOptions,
    RunState, SavedFile, SourceFolder, Store,
};
use common::Bench;

/// Set in a child process: the folder to work in.
const CHILD: &str = "BIOPHONY_PIPELINE_TEST_CHILD";

const N_INSTANTS: u64 = 50;
const N_CLIPS: usize = 24;
const CLIP_BYTES: usize = 1 << 16;

/// Bytes that look random and are the same every time.
fn noise(seed: &[u8], n_bytes: usize) -> Vec<u8> {
    let seed = ContentHash::of(seed);
    let blocks = (0..n_bytes.div_ceil(32) as u64).flat_map(|block| {
        *ContentHash::of(&[seed.as_bytes().as_slice(), &block.to_le_bytes()].concat()).as_bytes()
    });
    blocks.take(n_bytes).collect()
}

/// A pipeline that writes some megabytes of every kind: items, bytes, a file, a
/// folder, JSON. Every execution leaves a line in `executed`.
fn megabytes(folder: &Path) -> Pipeline {
    let executed = {
        let path = folder.join("executed");
        move |step: &str| {
            let file = fs::File::options().create(true).append(true).open(&path);
            file.and_then(|mut file| writeln!(file, "{step}"))
        }
    };
    let [on_ingest, on_left, on_right, on_join] = [(); 4].map(|()| executed.clone());
    let mut pipeline = Pipeline::new("megabytes");
    let clips = pipeline.folder("clips", folder.join("clips"));
    let all = pipeline
        .step("ingest")
        .run(&clips, move |context, clips: SourceFolder| {
            on_ingest("ingest")?;
            let entries = &clips.entries[..];
            let features = context.memo(
                "features",
                &(),
                entries,
                |e| e.content,
                |entry| {
                    let bytes = fs::read(clips.path.join(&entry.path))?;
                    std::io::Result::Ok(Bytes(noise(&bytes, CLIP_BYTES)))
                },
            )?;
            Ok::<_, BoxError>(Bytes(
                features
                    .into_iter()
                    .flat_map(|Bytes(bytes)| bytes)
                    .collect(),
            ))
        });
    let left = pipeline.step("left").run(&all, move |context, Bytes(all)| {
        on_left("left")?;
        let path = context.scratch()?.join("left.bin");
        fs::write(&path, noise(&all, 2 << 20))?;
        Ok::<_, BoxError>(SavedFile { path })
    });
    let right = pipeline
        .step("right")
        .run(&all, move |context, Bytes(all)| {
            on_right("right")?;
            let path = context.scratch()?.join("right");
            for number in 0..4u8 {
                fs::create_dir_all(path.join("deep"))?;
                let bytes = noise(&[&all[..], &[number]].concat(), 1 << 19);
                fs::write(path.join(format!("deep/{number}.bin")), bytes)?;
            }
            Ok::<_, BoxError>(Folder { path })
        });
    pipeline.step("join").run(
        (&left, &right),
        move |_, (left, right): (SavedFile, Folder)| {
            on_join("join")?;
            let mut sums = BTreeMap::new();
            sums.insert("left".to_owned(), ContentHash::of(&fs::read(left.path)?));
            for number in 0..4 {
                let bytes = fs::read(right.path.join(format!("deep/{number}.bin")))?;
                sums.insert(number.to_string(), ContentHash::of(&bytes));
            }
            Ok::<_, BoxError>(Json(sums))
        },
    );
    pipeline
}

fn bench() -> Bench {
    let bench = Bench::new();
    for clip in 0..N_CLIPS {
        bench.write(&format!("clips/{clip}.wav"), &format!("clip {clip}"));
    }
    bench
}

/// Not a test by itself: what the child processes do.
#[test]
fn child_process() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let store = Store::open(&folder.join("home")).expect("opens");
    megabytes(&folder).run(&store, &options()).expect("runs");
}

fn options() -> RunOptions {
    let mut options = RunOptions::new("1");
    options.workers = 2;
    options
}

fn start_child(bench: &Bench) -> Child {
    Command::new(std::env::current_exe().expect("is a file"))
        .args(["--exact", "child_process"])
        .env(CHILD, bench.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// Content of every output of a run, each read and verified.
fn outputs(store: &Store, run: &FinishedRun) -> BTreeMap<String, ContentHash> {
    let outputs = run.record.steps.iter().flat_map(|step| {
        step.outputs.iter().map(|output| {
            store.artifact_path(output.content).expect("is whole");
            (format!("{}.{}", step.step, output.name), output.content)
        })
    });
    outputs.collect()
}

/// Every file of the artifacts holds what its name says.
fn check_all_artifacts_whole(bench: &Bench, store: &Store) {
    for shelf in fs::read_dir(bench.path("home/artifacts")).expect("lists") {
        for entry in fs::read_dir(shelf.expect("lists").path()).expect("lists") {
            let name = entry
                .expect("lists")
                .file_name()
                .into_string()
                .expect("is text");
            store
                .artifact_path(name.parse().expect("is a hash"))
                .expect("is whole");
        }
    }
}

#[test]
fn a_killed_run_is_resumed_to_the_very_same_artifacts() {
    let undisturbed = bench();
    let begun = Instant::now();
    assert!(start_child(&undisturbed).wait().expect("ends").success());
    let mut duration = begun.elapsed();
    let store = undisturbed.store();
    let run = megabytes(&undisturbed.path(""))
        .run(&store, &options())
        .expect("is cached");
    let expected = outputs(&store, &run);
    assert_eq!(expected.len(), 4);

    let mut n_interrupted = 0;
    for instant in 0..4 * N_INSTANTS {
        let draw = noise(&instant.to_le_bytes(), 8).try_into();
        let draw = u64::from_le_bytes(draw.expect("8 bytes")) as f64 / u64::MAX as f64;
        let after = duration.mul_f64(draw);
        // How long a run takes changes with what else the machine does.
        match check_killed(after, &expected) {
            Met::NotBegun => duration = duration.mul_f64(1.1),
            Met::AtWork => n_interrupted += 1,
            Met::Ended => duration = duration.mul_f64(0.9),
        }
        if n_interrupted == N_INSTANTS {
            return;
        }
    }
    panic!("only {n_interrupted} children were killed while they ran");
}

/// How far the run was when it was killed.
enum Met {
    NotBegun,
    AtWork,
    Ended,
}

/// Kills a run after some time, has it resumed, and compares what comes out.
fn check_killed(after: Duration, expected: &BTreeMap<String, ContentHash>) -> Met {
    let bench = bench();
    let mut child = start_child(&bench);
    thread::sleep(after);
    child.kill().expect("is killed");
    child.wait().expect("ends");

    let (store, pipeline) = (bench.store(), megabytes(&bench.path("")));
    check_all_artifacts_whole(&bench, &store);
    let before = store.runs().expect("reads").pop();
    let (met, finished) = match before {
        None => (Met::NotBegun, pipeline.run(&store, &options())),
        Some(run) if run.state == RunState::Interrupted => {
            (Met::AtWork, pipeline.resume(&store, &run.id, &options()))
        }
        Some(_) => (Met::Ended, pipeline.run(&store, &options())),
    };
    let finished = finished.expect("finishes");
    assert_eq!(
        &outputs(&store, &finished),
        expected,
        "killed after {after:?}"
    );
    store.collect_garbage().expect("collects");
    assert_eq!(
        &outputs(&store, &finished),
        expected,
        "collected, {after:?}"
    );
    let staging = fs::read_dir(bench.path("home/staging")).expect("lists");
    assert_eq!(staging.count(), 0, "nothing half written is left");
    met
}

#[test]
fn processes_at_once_make_everything_once() {
    let bench = bench();
    let children: Vec<Child> = (0..4).map(|_| start_child(&bench)).collect();
    for child in children {
        let ended = child.wait_with_output().expect("ends");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{said}");
    }
    let executed = fs::read_to_string(bench.path("executed")).expect("reads");
    let mut executed: Vec<&str> = executed.lines().collect();
    executed.sort_unstable();
    assert_eq!(executed, ["ingest", "join", "left", "right"]);
    let store = bench.store();
    check_all_artifacts_whole(&bench, &store);
    let runs = store.runs().expect("reads");
    assert_eq!(runs.len(), 4);
    assert!(runs.iter().all(|run| run.state == RunState::Finished));
    // Four outputs and an item for each clip, and no second copies.
    store.collect_garbage().expect("collects");
    let shelves = fs::read_dir(bench.path("home/artifacts")).expect("lists");
    let n_artifacts: usize = shelves
        .map(|shelf| {
            fs::read_dir(shelf.expect("lists").path())
                .expect("lists")
                .count()
        })
        .sum();
    assert_eq!(n_artifacts, 4 + N_CLIPS);
}

/// A file system of a few megabytes, unmounted when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with the reason printed, where mounting is not allowed.
    fn mount(n_bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={n_bytes}"), "none"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("skipped: cannot call mount: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

/// A small output, then one of so many bytes.
fn growing(n_bytes: usize) -> Pipeline {
    let mut pipeline = Pipeline::new("growing");
    let small = pipeline
        .step("small")
        .run((), |_, ()| Ok::<_, BoxError>(Bytes(vec![1; 1000])));
    let step = pipeline.step("large").params(&n_bytes);
    step.run(&small, move |_, Bytes(small)| {
        Ok::<_, BoxError>(Bytes(noise(&small, n_bytes)))
    });
    pipeline
}

#[test]
fn a_full_disk_is_an_error_that_names_the_path() {
    let Some(disk) = SmallDisk::mount(6 << 20) else {
        return;
    };
    let store = Store::open(disk.folder.path()).expect("opens");
    let error = growing(16 << 20)
        .run(&store, &options())
        .err()
        .expect("does not fit");
    let PipelineError::StepFailed { run, step, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(step, "large");
    let record = store.run(run).expect("reads");
    let text = record.steps[1].error.as_deref().expect("failed");
    assert!(
        text.contains(&*disk.folder.path().to_string_lossy()),
        "{text}"
    );
    assert!(text.contains("No space left on device"), "{text}");
    store
        .artifact_path(record.steps[0].outputs[0].content)
        .expect("the small one is whole");
    let resumed = growing(1 << 20)
        .resume(&store, run, &options())
        .expect("fits");
    common::check_states(&resumed.record, "small cached, large ran");
}

#[test]
fn a_disk_that_is_full_to_the_last_byte_is_survived() {
    let Some(disk) = SmallDisk::mount(6 << 20) else {
        return;
    };
    let store = Store::open(disk.folder.path()).expect("opens");
    let filler = disk.folder.path().join("filler");
    let mut file = fs::File::create(&filler).expect("makes");
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let error = growing(1000)
        .run(&store, &options())
        .err()
        .expect("nothing fits");
    let text = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ");
    assert!(
        text.contains(&*disk.folder.path().to_string_lossy()),
        "{text}"
    );
    fs::remove_file(filler).expect("removes");
    let run = growing(1000).run(&store, &options()).expect("fits");
    common::check_states(&run.record, "small ran, large ran");
}
