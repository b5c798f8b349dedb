//! A run in ZenML's words: what is sent with each call.
//!
//! | ours | ZenML's |
//! |---|---|
//! | pipeline, run | pipeline, snapshot (the graph), run |
//! | source | artifact that was there before, an external input of its steps |
//! | step that ran, was cached, failed | step `completed`, `cached`, `failed` |
//! | step that was not reached | nothing: its dashboard draws it as not begun |
//! | output | artifact version at `blake3:HASH`, with its metadata |
//! | settings of a step | parameters |
//! | why it ran, memory, attempts, log | metadata of the step |
//!
//! The artifacts themselves stay where they are: ZenML is told of them and
//! cannot load them. Nothing here speaks with the server.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use biophony_pipeline::{
    ContentHash, Format, Level, LogLine, OutputRecord, RunRecord, RunState, SourceSpec, StepRecord,
    StepSpec, StepState,
};
use serde_json::{Map, Value, json};

/// The lines of a step's log that are sent with it: the last.
const MAX_LOG_LINES: usize = 20;

/// The longest text that is sent as metadata; ZenML stores 65,535 bytes.
const MAX_TEXT_CHARS: usize = 4000;

/// What a run belongs to on the server, by the server's names.
pub(super) struct Places {
    pub(super) project: String,
    pub(super) stack: String,
    pub(super) pipeline: String,
    /// The version of the server.
    pub(super) version: String,
}

/// A run that is to be registered.
pub(super) struct Registration<'a> {
    pub(super) record: &'a RunRecord,
    pub(super) logs: &'a [LogLine],
    pub(super) places: &'a Places,
}

impl<'a> Registration<'a> {
    /// The steps, each after those that it reads from.
    pub(super) fn ordered(&self) -> Result<Vec<&'a StepSpec>> {
        let graph = &self.record.graph;
        let order = graph.check()?;
        Ok(order.into_iter().map(|step| &graph.steps[step]).collect())
    }

    /// The sources that a step has read, by name, as artifact versions.
    pub(super) fn sources(&self) -> Vec<(String, Value)> {
        let sources = self.record.graph.sources.iter();
        let read = sources.filter_map(|source| Some((source, self.content_of(source)?)));
        read.map(|(source, content)| (source.name.clone(), self.source(source, content)))
            .collect()
    }

    fn content_of(&self, source: &SourceSpec) -> Option<ContentHash> {
        let mut inputs = self.record.steps.iter().flat_map(|step| &step.inputs);
        let input = inputs.find(|input| input.name == source.name)?;
        Some(input.content)
    }

    fn source(&self, source: &SourceSpec, content: ContentHash) -> Value {
        json!({
            "project": self.places.project,
            "artifact_name": format!("{}::{}", self.record.graph.pipeline, source.name),
            "has_custom_name": true,
            "type": "DataArtifact",
            "save_type": "preexisting",
            "uri": uri(content),
            "content_hash": content.to_string(),
            "materializer": program_part("source"),
            "data_type": program_part(&source.type_name),
            "metadata": { "path": source.path },
        })
    }

    /// The pipeline as it was: its steps and what flows between them.
    pub(super) fn snapshot(&self, sources: &HashMap<String, String>) -> Result<Value> {
        let mut steps = Map::new();
        for step in self.ordered()? {
            steps.insert(step.name.clone(), step_configuration(step, sources));
        }
        let summary = &self.record.summary;
        Ok(json!({
            "project": self.places.project,
            "stack": self.places.stack,
            "pipeline": self.places.pipeline,
            "run_name_template": summary.id,
            // Steps beside a failed one may have run after it.
            "pipeline_configuration": {
                "name": summary.pipeline,
                "execution_mode": "continue_on_failure",
            },
            "step_configurations": steps,
            "client_environment": { "host": summary.host, "program": summary.program },
            "client_version": self.places.version,
            "server_version": self.places.version,
            "pipeline_version_hash": summary.program,
        }))
    }

    /// The run as it began; ZenML takes none that has ended.
    pub(super) fn run(&self, snapshot: &str) -> Value {
        let summary = &self.record.summary;
        json!({
            "project": self.places.project,
            "name": summary.id,
            "snapshot": snapshot,
            "status": "running",
            "start_time": time(summary.started_ms),
            "end_time": summary.finished_ms.map(time),
            "orchestrator_run_id": summary.id,
        })
    }

    /// What a step made.
    pub(super) fn artifact(&self, step: &str, output: &OutputRecord) -> Value {
        let is_model = output.format == Format::Safetensors || output.name == "model";
        let mut metadata = scalars(&output.metadata);
        metadata.insert("format".to_owned(), json!(output.format));
        metadata.insert("n_bytes".to_owned(), json!(output.n_bytes));
        json!({
            "project": self.places.project,
            "artifact_name": self.artifact_name(step, &output.name),
            "has_custom_name": false,
            "type": if is_model { "ModelArtifact" } else { "DataArtifact" },
            "save_type": "step_output",
            "uri": uri(output.content),
            "content_hash": output.content.to_string(),
            "materializer": program_part(&format_name(output.format)),
            "data_type": program_part(&output.type_name),
            "metadata": metadata,
        })
    }

    /// As ZenML names what has no name of its own.
    pub(super) fn artifact_name(&self, step: &str, output: &str) -> String {
        format!("{}::{step}::{output}", self.record.graph.pipeline)
    }

    /// A step as it ended. `artifacts` has what may be read, by reference.
    pub(super) fn step(
        &self,
        run: &str,
        spec: &StepSpec,
        step: &StepRecord,
        artifacts: &HashMap<String, String>,
        outputs: &[String],
    ) -> Value {
        let started_ms = step.started_ms.unwrap_or(self.record.summary.started_ms);
        let duration_ms = step.duration_ms.unwrap_or(0.0);
        let inputs = spec.inputs.iter().map(|input| input.name());
        let inputs: BTreeMap<_, _> = inputs
            .filter_map(|name| Some((name.clone(), [artifacts.get(&name)?])))
            .collect();
        let names = step.outputs.iter().map(|output| &output.name);
        let outputs: BTreeMap<_, _> = names.zip(outputs.iter().map(|id| [id])).collect();
        let mut body = json!({
            "project": self.places.project,
            "name": step.step,
            "pipeline_run_id": run,
            "status": status(step.state),
            "start_time": time(started_ms),
            "end_time": time(started_ms + duration_ms.round() as i64),
            "cache_key": step.key.map(|key| key.to_string()),
            "inputs": inputs,
            "outputs": outputs,
        });
        if let Some(error) = &step.error {
            body["exception_info"] = json!({ "traceback": error, "message": error });
        }
        body
    }

    /// What ZenML has no field for.
    pub(super) fn step_metadata(&self, step: &StepRecord) -> Map<String, Value> {
        let lines = self.logs.iter().filter(|line| line.step == step.step);
        let lines: Vec<&LogLine> = lines.collect();
        let n_warnings = lines.iter().filter(|line| line.level >= Level::Warn);
        let last = &lines[lines.len().saturating_sub(MAX_LOG_LINES)..];
        let text: Vec<String> = last
            .iter()
            .map(|line| format!("{} {}", line.level, line.text))
            .collect();
        let all = [
            ("state", json!(step.state)),
            ("reason", json!(step.reason)),
            ("duration_ms", json!(step.duration_ms)),
            ("peak_memory_bytes", json!(step.peak_memory_bytes)),
            ("n_attempts", json!(step.n_attempts)),
            ("n_log_lines", json!(lines.len())),
            ("n_warnings", json!(n_warnings.count())),
            ("log", json!(text.join("\n"))),
        ];
        scalars(all.iter().map(|(name, value)| (*name, value)))
    }

    pub(super) fn run_metadata(&self) -> Map<String, Value> {
        let summary = &self.record.summary;
        let duration_ms = summary.finished_ms.map(|end| end - summary.started_ms);
        let all = [
            ("program", json!(summary.program)),
            ("git_commit", json!(summary.git_commit)),
            ("host", json!(summary.host)),
            ("state", json!(summary.state)),
            ("error", json!(summary.error)),
            ("duration_ms", json!(duration_ms)),
            ("settings", json!(summary.config.to_string())),
        ];
        scalars(all.iter().map(|(name, value)| (*name, value)))
    }

    /// Metadata of a run or a step.
    pub(super) fn metadata(&self, kind: &str, id: &str, values: Map<String, Value>) -> Value {
        let types: BTreeMap<_, _> = values
            .iter()
            .map(|(name, value)| (name.clone(), type_name(value)))
            .collect();
        json!({
            "project": self.places.project,
            "resources": [{ "id": id, "type": kind }],
            "publisher_step_id": (kind == "step_run").then_some(id),
            "values": values,
            "types": types,
        })
    }

    /// How the run ended.
    pub(super) fn run_end(&self) -> Value {
        let summary = &self.record.summary;
        let status = match summary.state {
            RunState::Finished => "completed",
            _ => "failed",
        };
        let reason = summary.error.as_deref();
        let reason: Option<String> = reason.map(|error| error.chars().take(250).collect());
        json!({ "status": status, "status_reason": reason })
    }
}

fn step_configuration(step: &StepSpec, sources: &HashMap<String, String>) -> Value {
    let (mut upstream, mut inputs, mut external) = (Vec::new(), Map::new(), Map::new());
    for input in &step.inputs {
        if let Some(source) = sources.get(&input.from) {
            external.insert(input.name(), json!({ "id": source }));
            continue;
        }
        inputs.insert(
            input.name(),
            json!({ "step_name": input.from, "output_name": input.output }),
        );
        if !upstream.contains(&input.from) {
            upstream.push(input.from.clone());
        }
    }
    let outputs: BTreeMap<_, _> = step
        .outputs
        .iter()
        .map(|output| {
            let format = program_part(&format_name(output.format));
            (&output.name, json!({ "materializer_source": [format] }))
        })
        .collect();
    let config = json!({
        "name": step.name,
        "parameters": parameters(&step.params),
        "external_input_artifacts": external,
        "outputs": outputs,
    });
    json!({
        "spec": {
            "source": program_part(&step.name),
            "upstream_steps": upstream,
            "inputs": inputs,
            "invocation_id": step.name,
        },
        "config": config,
        "step_config_overrides": config,
    })
}

/// ZenML's parameters have names.
fn parameters(params: &Value) -> Value {
    match params {
        Value::Null => json!({}),
        Value::Object(_) => params.clone(),
        other => json!({ "params": other }),
    }
}

/// Something of ours where ZenML wants a class of Python's.
fn program_part(name: &str) -> Value {
    json!({ "module": "biophony", "attribute": name, "type": "unknown" })
}

fn format_name(format: Format) -> String {
    let name = json!(format);
    name.as_str().unwrap_or_default().to_owned()
}

/// An artifact by its content: where it lies is of no use elsewhere.
pub(super) fn uri(content: ContentHash) -> String {
    format!("blake3:{content}")
}

fn status(state: StepState) -> &'static str {
    match state {
        StepState::Ran => "completed",
        StepState::Cached => "cached",
        StepState::Failed => "failed",
        // Of a step that was not reached nothing is sent; one that was running
        // when its process died stopped there.
        StepState::Running | StepState::Skipped => "stopped",
    }
}

/// Numbers, words and truths, with names that ZenML takes; long texts are cut.
fn scalars<'v, N: AsRef<str>>(
    values: impl IntoIterator<Item = (N, &'v Value)>,
) -> Map<String, Value> {
    let taken = values.into_iter().filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) => json!(text.chars().take(MAX_TEXT_CHARS).collect::<String>()),
            Value::Number(_) | Value::Bool(_) => value.clone(),
            _ => return None,
        };
        Some((name.as_ref().replace(':', "_"), value))
    });
    taken.collect()
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        _ => "str",
    }
}

/// A moment as ZenML writes it: UTC, which it does not name.
fn time(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let text = humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string();
    text.trim_end_matches('Z').to_owned()
}
