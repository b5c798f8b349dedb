//! A pipeline as plain data, and the checks that it must pass before anything
//! runs.
//!
//! [`crate::Pipeline`] makes one of these from typed steps. It is also what a
//! run keeps of its pipeline, so that old runs can be drawn and resumed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{PipelineError, Result};
use crate::format::Format;

/// Sources and steps, and what each step reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// The pipeline's name: its runs are compared with each other.
    pub pipeline: String,
    /// Files and folders from outside.
    pub sources: Vec<SourceSpec>,
    /// The steps, in any order.
    pub steps: Vec<StepSpec>,
}

/// A file or folder from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Its name in the pipeline.
    pub name: String,
    /// What steps must read it as.
    pub type_name: String,
    /// Where it lies, for people. No part of any cache key.
    pub path: String,
}

/// A step without its code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// The step's name in the pipeline.
    pub name: String,
    /// Raised by its author when its meaning changes.
    pub version: u32,
    /// Its settings.
    pub params: Value,
    /// What it reads, in order.
    pub inputs: Vec<InputSpec>,
    /// What it makes, in order.
    pub outputs: Vec<OutputSpec>,
}

/// One thing that a step reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSpec {
    /// The step or source that makes it.
    pub from: String,
    /// Which of that step's outputs; of a source, always [`OutputSpec::ONLY`].
    pub output: String,
    /// The type it is read as.
    pub type_name: String,
}

/// One thing that a step makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Its name within the step.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// How it is written.
    pub format: Format,
}

impl OutputSpec {
    /// The name of an output that has no sisters and was not named.
    pub const ONLY: &'static str = "output";
}

impl InputSpec {
    /// `step` for the only output of a step, otherwise `step.output`.
    pub fn name(&self) -> String {
        reference(&self.from, &self.output)
    }
}

/// The name under which an output is read.
pub(crate) fn reference(step: &str, output: &str) -> String {
    if output == OutputSpec::ONLY {
        return step.to_owned();
    }
    format!("{step}.{output}")
}

impl Graph {
    /// Checks names, inputs, types and cycles, and returns the numbers of the
    /// steps in an order in which each comes after what it reads.
    ///
    /// # Errors
    ///
    /// The first fault found, naming the step.
    pub fn check(&self) -> Result<Vec<usize>> {
        check_name(&self.pipeline)?;
        self.check_names()?;
        self.check_inputs()?;
        self.order()
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&StepSpec> {
        self.steps.iter().find(|step| step.name == name)
    }

    fn check_names(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        let sources = self.sources.iter().map(|source| &source.name);
        for name in sources.chain(self.steps.iter().map(|step| &step.name)) {
            check_name(name)?;
            if !seen.insert(name) {
                return Err(PipelineError::DuplicateName { name: name.clone() });
            }
        }
        for step in &self.steps {
            let names: BTreeSet<_> = step.outputs.iter().map(|output| &output.name).collect();
            if names.len() != step.outputs.len() {
                return Err(PipelineError::OutputNames {
                    step: step.name.clone(),
                    n_outputs: step.outputs.len(),
                    names: step.outputs.iter().map(|o| o.name.clone()).collect(),
                });
            }
            names.into_iter().try_for_each(|name| check_name(name))?;
        }
        Ok(())
    }

    fn check_inputs(&self) -> Result<()> {
        let mut made = BTreeMap::new();
        for source in &self.sources {
            made.insert((source.name.as_str(), OutputSpec::ONLY), &source.type_name);
        }
        for step in &self.steps {
            for output in &step.outputs {
                made.insert((&step.name, &output.name), &output.type_name);
            }
        }
        for step in &self.steps {
            for input in &step.inputs {
                let Some(found) = made.get(&(input.from.as_str(), input.output.as_str())) else {
                    return Err(PipelineError::UnknownInput {
                        step: step.name.clone(),
                        input: input.name(),
                    });
                };
                if **found != input.type_name {
                    return Err(PipelineError::TypeMismatch {
                        step: step.name.clone(),
                        input: input.name(),
                        expected: input.type_name.clone(),
                        found: (*found).clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// For each step the steps that it reads from, by number, each once.
    pub(crate) fn needs(&self) -> Vec<BTreeSet<usize>> {
        let numbers: HashMap<&str, usize> = self.numbers();
        let of_step = |step: &StepSpec| {
            let froms = step.inputs.iter();
            froms
                .filter_map(|i| numbers.get(i.from.as_str()).copied())
                .collect()
        };
        self.steps.iter().map(of_step).collect()
    }

    /// Kahn's algorithm, keeping the order of declaration where there is a choice.
    fn order(&self) -> Result<Vec<usize>> {
        let needs = self.needs();
        let mut order = Vec::with_capacity(needs.len());
        let mut done = vec![false; needs.len()];
        loop {
            let ready = |&step: &usize| !done[step] && needs[step].iter().all(|&need| done[need]);
            let Some(next) = (0..needs.len()).find(ready) else {
                break;
            };
            done[next] = true;
            order.push(next);
        }
        match done.iter().position(|done| !done) {
            None => Ok(order),
            Some(stuck) => Err(self.cycle_from(stuck, &needs, &done)),
        }
    }

    /// Walks from one waiting step to another that it waits for, until one is met
    /// again.
    fn cycle_from(&self, stuck: usize, needs: &[BTreeSet<usize>], done: &[bool]) -> PipelineError {
        let mut walked = vec![stuck];
        loop {
            let here = *walked.last().expect("the walk begins somewhere");
            let next = *needs[here]
                .iter()
                .find(|&&need| !done[need])
                .expect("a stuck step waits for another");
            if let Some(start) = walked.iter().position(|&step| step == next) {
                walked.drain(..start);
                walked.push(next);
                let name = |step: usize| self.steps[step].name.clone();
                let steps = walked.into_iter().map(name).collect();
                return PipelineError::Cycle { steps };
            }
            walked.push(next);
        }
    }

    fn numbers(&self) -> HashMap<&str, usize> {
        let steps = self.steps.iter().enumerate();
        steps
            .map(|(number, step)| (step.name.as_str(), number))
            .collect()
    }
}

/// Names appear in references (`step.output`), in file names and in commands.
fn check_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.starts_with('-') {
        "it begins with a dash"
    } else if name.contains(|c: char| c == '.' || c == '/' || c.is_whitespace() || c.is_control()) {
        "it has a dot, a slash or a space"
    } else {
        return Ok(());
    };
    let name = name.to_owned();
    Err(PipelineError::BadName { name, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps with the steps they read from; every output is a number.
    fn graph(steps: &[(&str, &[&str])]) -> Graph {
        let step = |&(name, froms): &(&str, &[&str])| StepSpec {
            name: name.to_owned(),
            version: 1,
            params: Value::Null,
            inputs: froms
                .iter()
                .map(|from| InputSpec {
                    from: (*from).to_owned(),
                    output: OutputSpec::ONLY.to_owned(),
                    type_name: "number".to_owned(),
                })
                .collect(),
            outputs: vec![OutputSpec {
                name: OutputSpec::ONLY.to_owned(),
                type_name: "number".to_owned(),
                format: Format::Json,
            }],
        };
        Graph {
            pipeline: "p".to_owned(),
            sources: Vec::new(),
            steps: steps.iter().map(step).collect(),
        }
    }

    #[track_caller]
    fn check_fault(graph: &Graph, expected: &str) {
        assert_eq!(graph.check().unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_step_comes_after_the_steps_it_reads_from() {
        let graph = graph(&[("c", &["b", "a"]), ("b", &["a"]), ("a", &[])]);
        assert_eq!(graph.check().expect("is sound"), [2, 1, 0]);
    }

    #[test]
    fn steps_that_wait_for_each_other_are_named() {
        let graph = graph(&[("a", &[]), ("b", &["d", "a"]), ("c", &["b"]), ("d", &["c"])]);
        check_fault(&graph, "these steps wait for each other: b → d → c → b");
    }

    #[test]
    fn an_unknown_input_is_named_with_its_step() {
        check_fault(
            &graph(&[("a", &["b"])]),
            "step `a` reads `b`, which nothing in the pipeline makes",
        );
    }

    #[test]
    fn a_type_mismatch_is_named_with_both_types() {
        let mut graph = graph(&[("a", &[]), ("b", &["a"])]);
        graph.steps[0].outputs[0].type_name = "word".to_owned();
        check_fault(&graph, "step `b` reads `a` as number, but it is word");
    }

    #[test]
    fn names_are_given_once_and_can_be_referred_to() {
        check_fault(
            &graph(&[("a", &[]), ("a", &[])]),
            "two steps or sources are named `a`",
        );
        for name in ["", "a.b", "a b", "-a", "../a"] {
            let error = graph(&[(name, &[])]).check().unwrap_err();
            assert!(matches!(error, PipelineError::BadName { .. }), "{name}");
        }
    }
}
