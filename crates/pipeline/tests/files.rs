//! Files and folders as artifacts: what is kept of them, and what is refused.

mod common;

use std::fs;

use biophony_pipeline::{
    BoxError, CsvFile, Folder, Format, Json, NpyFile, OutputSpec, ParquetFile, Pipeline,
    SafetensorsFile, SavedFile,
};
use common::{Bench, check_states};

#[test]
fn files_and_folders_are_artifacts_with_metadata() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("files");
    let made = pipeline
        .step("make")
        .outputs(["table", "pages"])
        .run((), |context, ()| {
            let scratch = context.scratch()?;
            fs::write(scratch.join("table.csv"), "a,b\n")?;
            fs::create_dir_all(scratch.join("pages/deep"))?;
            fs::write(scratch.join("pages/deep/1.html"), "<p>")?;
            context.attach("table", "n_rows", 1);
            let table = SavedFile {
                path: scratch.join("table.csv"),
            };
            Ok::<_, BoxError>((
                table,
                Folder {
                    path: scratch.join("pages"),
                },
            ))
        });
    let (table, pages) = made;
    let read = pipeline.step("read").run(
        (&table, &pages),
        |_, (table, pages): (SavedFile, Folder)| {
            let page = fs::read_to_string(pages.path.join("deep/1.html"))?;
            std::io::Result::Ok(Json(fs::read_to_string(table.path)? + &page))
        },
    );
    let run = pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    assert_eq!(run.load(&read).expect("loads").0, "a,b\n<p>");
    assert_eq!(run.output(&table).expect("is there").metadata["n_rows"], 1);
    assert_eq!(run.output(&pages).expect("is there").n_bytes, 3);
    let staging = fs::read_dir(bench.path("home/staging")).expect("lists");
    assert_eq!(staging.count(), 0, "nothing is left behind");

    let page = run.load(&pages).expect("loads").path.join("deep/1.html");
    fs::remove_file(page).expect("removes");
    let again = pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    check_states(&again.record, "make ran, read cached");
    assert_eq!(again.record.steps[0].outputs[0].name, "table");
    assert_eq!(again.record.steps[1].outputs[0].name, OutputSpec::ONLY);
}

#[test]
fn files_of_known_formats_are_checked_and_described() {
    let bench = Bench::new();
    let tensors = r#"{"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
    let array = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    let mut pipeline = Pipeline::new("formats");
    let names = ["table", "columns", "tensors", "array"];
    let step = pipeline.step("write").outputs(names);
    let made = step.run((), move |context, ()| {
        let scratch = context.scratch()?;
        let write = |name: &str, parts: &[&[u8]]| {
            let path = scratch.join(name);
            fs::write(&path, parts.concat()).map(|()| path)
        };
        let length = (tensors.len() as u64).to_le_bytes();
        let header = [b"\x93NUMPY\x01\x00", &[array.len() as u8, 0][..]].concat();
        Ok::<_, BoxError>((
            CsvFile {
                path: write("table.csv", &[b"path,label\na.wav,owl\n"])?,
            },
            ParquetFile {
                path: write("table.parquet", &[b"PAR1 columns PAR1"])?,
            },
            SafetensorsFile {
                path: write("w", &[&length, tensors.as_bytes(), &[0; 8]])?,
            },
            NpyFile {
                path: write("array.npy", &[&header, array.as_bytes(), &[0; 8]])?,
            },
        ))
    });
    let read = pipeline.step("read");
    let read = read.run(&made.3, |_, array: NpyFile| {
        std::io::Result::Ok(Json(fs::read(array.path)?.len()))
    });
    let run = pipeline
        .run(&bench.store(), &bench.options())
        .expect("runs");
    assert_eq!(run.load(&read).expect("loads").0, 10 + array.len() + 8);
    let outputs = &run.record.steps[0].outputs;
    let formats: Vec<Format> = outputs.iter().map(|output| output.format).collect();
    use Format::{Csv, Npy, Parquet, Safetensors};
    assert_eq!(formats, [Csv, Parquet, Safetensors, Npy]);
    assert_eq!(outputs[0].metadata["rows"], 1);
    assert_eq!(outputs[2].metadata["values"], 2);
    assert_eq!(outputs[3].metadata["shape"], serde_json::json!([2]));
}

#[test]
fn a_file_that_is_not_what_it_is_returned_as_is_refused() {
    let bench = Bench::new();
    let mut pipeline = Pipeline::new("pretended");
    pipeline.step("write").run((), |context, ()| {
        let path = context.scratch()?.join("table.npy");
        fs::write(&path, "path,label\n")?;
        Ok::<_, BoxError>(NpyFile { path })
    });
    let outcome = pipeline.run(&bench.store(), &bench.options());
    let summary = &bench.store().runs().expect("reads")[0];
    assert!(outcome.is_err());
    let error = summary.error.as_deref().expect("says why");
    assert!(error.ends_with(": it is no npy file"), "{error}");
}
