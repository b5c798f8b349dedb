//! The recordings that a run reads, as data sets: told by a digest of contents and
//! labels, one for each part that they were divided into.

use biophony_tracking::{Dataset, DatasetInput, Tag};
use serde_json::{Value, json};

use crate::stages::Judged;

/// MLflow keeps digests of up to 36 characters; this many of ours still tell any two
/// data sets apart.
const DIGEST_CHARS: usize = 32;

/// What all data sets of a run share.
pub(super) struct Datasets<'a> {
    judged: &'a Judged,
    /// The folder or table that names the recordings.
    source: &'a str,
}

impl<'a> Datasets<'a> {
    pub(super) fn new(judged: &'a Judged, source: &'a str) -> Self {
        Self { judged, source }
    }

    /// The collection's name.
    pub(super) fn name(&self) -> String {
        let path = std::path::Path::new(self.source);
        let name = path.file_stem().map(|name| name.to_string_lossy());
        name.map_or_else(|| "recordings".to_owned(), |name| name.into_owned())
    }

    /// The digest of what the figures were measured on.
    pub(super) fn tested_on(&self) -> String {
        match self.judged.metrics["folds"].as_array().map(Vec::as_slice) {
            Some([only]) => digest(&only["digests"]["test"]),
            _ => digest(&self.judged.metrics["data_digest"]),
        }
    }

    /// All recordings.
    pub(super) fn whole(&self) -> DatasetInput {
        let n = self.judged.evaluation.n_clips;
        let digest = digest(&self.judged.metrics["data_digest"]);
        self.input("train", digest, n as u64)
    }

    /// The parts that one fold divides them into, as MLflow calls their uses.
    pub(super) fn of_fold(&self, fold: &Value) -> Vec<DatasetInput> {
        [("train", "train"), ("validation", "eval"), ("test", "test")]
            .into_iter()
            .filter_map(|(part, context)| {
                let n = fold[format!("n_{part}")].as_u64().filter(|&n| n > 0)?;
                Some(self.input(context, digest(&fold["digests"][part]), n))
            })
            .collect()
    }

    fn input(&self, context: &str, digest: String, n_recordings: u64) -> DatasetInput {
        let tensor = |dtype: &str, shape: &[i64]| {
            let tensor = json!([
                { "type": "tensor", "tensor-spec": { "dtype": dtype, "shape": shape } }
            ]);
            tensor.to_string()
        };
        let schema = json!({ "mlflow_tensorspec": {
            "features": tensor("float32", &[-1, -1]),
            "targets": tensor("str", &[-1]),
        }});
        let profile = json!({
            "num_rows": n_recordings,
            "num_classes": self.judged.evaluation.classes.len(),
        });
        DatasetInput {
            tags: vec![Tag::new("mlflow.data.context", context)],
            dataset: Dataset {
                name: self.name(),
                digest,
                source_type: "local".to_owned(),
                source: json!({ "uri": self.source }).to_string(),
                schema: Some(schema.to_string()),
                profile: Some(profile.to_string()),
            },
        }
    }
}

fn digest(value: &Value) -> String {
    let digits = value.as_str().unwrap_or_default();
    digits.chars().take(DIGEST_CHARS).collect()
}
