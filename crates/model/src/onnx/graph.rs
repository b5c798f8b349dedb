//! A graph under construction: nodes are applied to values and give values.
//!
//! Names are made here, from a running number and a scope, so that a viewer
//! such as Netron shows which part of the program a node belongs to. Constants
//! that occur twice are stored once.
//!
//! What the nodes compute is decided in [`super::waveform`], [`super::fourier`], [`super::windows`]
//! and [`super::network`].

use std::collections::HashMap;

use super::proto::{self, Attribute, DOUBLE, FLOAT, INT64, Node, Tensor};

/// The name of something a node reads or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value(String);

impl Value {
    /// An input of the graph.
    pub(crate) fn input(name: &str) -> Self {
        Self(name.into())
    }
}

/// Nodes and constants gathered so far.
#[derive(Debug, Default)]
pub(crate) struct GraphBuilder {
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
    constants: HashMap<(i32, Vec<i64>, Vec<u8>), Value>,
    scope: String,
}

impl GraphBuilder {
    /// Names the part of the program that the next nodes belong to.
    pub(crate) fn enter(&mut self, scope: &str) {
        self.scope = scope.into();
    }

    /// Applies an operator and returns its one result.
    pub(crate) fn apply(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: Vec<Attribute>,
    ) -> Value {
        let name = format!("{}/{operator}_{}", self.scope, self.nodes.len());
        self.nodes.push(Node {
            inputs: inputs.iter().map(|input| input.0.clone()).collect(),
            outputs: vec![name.clone()],
            name: name.clone(),
            op_type: operator.into(),
            attributes,
        });
        Value(name)
    }

    /// Applies an operator without settings.
    pub(crate) fn op(&mut self, operator: &str, inputs: &[&Value]) -> Value {
        self.apply(operator, inputs, Vec::new())
    }

    /// Constant `f32` values. An empty shape is a scalar.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        debug_assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "shape of `{name}`"
        );
        let raw = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.constant(name, FLOAT, shape, raw)
    }

    /// Constant `f64` values. An empty shape is a scalar.
    pub(crate) fn doubles(&mut self, name: &str, shape: &[usize], values: &[f64]) -> Value {
        debug_assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "shape of `{name}`"
        );
        let raw = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.constant(name, DOUBLE, shape, raw)
    }

    /// Constant `i64` values. An empty shape is a scalar.
    pub(crate) fn integers(&mut self, name: &str, shape: &[usize], values: &[i64]) -> Value {
        debug_assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "shape of `{name}`"
        );
        let raw = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.constant(name, INT64, shape, raw)
    }

    /// One `f32`, as a scalar.
    pub(crate) fn float(&mut self, value: f32) -> Value {
        self.floats("float", &[], &[value])
    }

    /// One `i64`, as a scalar.
    pub(crate) fn integer(&mut self, value: usize) -> Value {
        self.integers("integer", &[], &[as_i64(value)])
    }

    /// Axis numbers for the operators that take them as an input.
    pub(crate) fn axes(&mut self, axes: &[i64]) -> Value {
        self.integers("axes", &[axes.len()], axes)
    }

    /// The size of one dimension of a value, as a scalar.
    pub(crate) fn size(&mut self, value: &Value, axis: usize) -> Value {
        let shape = self.op("Shape", &[value]);
        let axis = self.integer(axis);
        self.apply(
            "Gather",
            &[&shape, &axis],
            vec![Attribute::integer("axis", 0)],
        )
    }

    /// `0, 1, …, n - 1`.
    pub(crate) fn count_to(&mut self, n: &Value) -> Value {
        let (zero, one) = (self.integer(0), self.integer(1));
        self.op("Range", &[&zero, n, &one])
    }

    /// A sum over integers or floats, with broadcasting.
    pub(crate) fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.op("Add", &[a, b])
    }

    /// A difference, with broadcasting.
    pub(crate) fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.op("Sub", &[a, b])
    }

    /// A product, with broadcasting.
    pub(crate) fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.op("Mul", &[a, b])
    }

    /// Ends construction: what was gathered, with the graph's own name.
    pub(crate) fn finish(self, name: &str, outputs: &[(&Value, &str)]) -> proto::Graph {
        let mut nodes = self.nodes;
        for (value, output) in outputs {
            nodes.push(Node {
                inputs: vec![value.0.clone()],
                outputs: vec![(*output).into()],
                name: format!("output/{output}"),
                op_type: "Identity".into(),
                attributes: Vec::new(),
            });
        }
        proto::Graph {
            nodes,
            name: name.into(),
            initializers: self.initializers,
            ..proto::Graph::default()
        }
    }

    fn constant(&mut self, name: &str, data_type: i32, shape: &[usize], raw: Vec<u8>) -> Value {
        let dims: Vec<i64> = shape.iter().map(|&size| as_i64(size)).collect();
        let key = (data_type, dims.clone(), raw.clone());
        if let Some(known) = self.constants.get(&key) {
            return known.clone();
        }
        let value = Value(format!("{name}:{}", self.initializers.len()));
        self.initializers.push(Tensor {
            dims,
            data_type,
            name: value.0.clone(),
            raw,
        });
        self.constants.insert(key, value.clone());
        value
    }
}

/// A size as ONNX writes it.
///
/// # Panics
///
/// When the size does not fit; nothing in memory is that large.
pub(crate) fn as_i64(size: usize) -> i64 {
    i64::try_from(size).expect("sizes in memory are below 2^63")
}
