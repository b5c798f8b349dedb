//! Where the boxes of a layered picture go.
//!
//! Sugiyama's method in short: a box's layer is the length of the longest way to
//! it; an arrow over several layers gets a bend in each of them; within a layer
//! boxes are sorted by the mean place of their neighbors, back and forth a few
//! times, which removes most crossings.

use crate::graph::Graph;

/// How often the layers are sorted.
const SWEEPS: usize = 8;

/// Boxes in layers. Sources come first, then steps, as numbered in the graph.
pub(super) struct Layout {
    /// Layer and place within it, of each box and then of each bend.
    pub(super) places: Vec<Place>,
    /// Each arrow as the boxes and bends that it passes.
    pub(super) arrows: Vec<Vec<usize>>,
    pub(super) n_layers: usize,
    /// The largest number of places in a layer.
    pub(super) n_rows: usize,
}

/// A layer, and a row within it; rows are shifted so that layers are centered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) row: f64,
}

/// Lays out a graph that has been checked; one with a cycle would have no layers,
/// and gets all its boxes into one.
pub(super) fn layout(graph: &Graph) -> Layout {
    let edges = edges(graph);
    let n_boxes = graph.sources.len() + graph.steps.len();
    let mut layer_of = vec![0; n_boxes];
    for &step in &graph.check().unwrap_or_default() {
        let here = graph.sources.len() + step;
        let before = edges
            .iter()
            .filter(|edge| edge.1 == here)
            .map(|edge| layer_of[edge.0] + 1);
        layer_of[here] = before.max().unwrap_or(0);
    }
    let mut arrows = Vec::new();
    for (from, to) in edges {
        let mut arrow = vec![from];
        for layer in layer_of[from] + 1..layer_of[to] {
            arrow.push(layer_of.len());
            layer_of.push(layer);
        }
        arrow.push(to);
        arrows.push(arrow);
    }
    let n_layers = layer_of.iter().max().map_or(0, |layer| layer + 1);
    let mut layers = vec![Vec::new(); n_layers];
    for (node, &layer) in layer_of.iter().enumerate() {
        layers[layer].push(node);
    }
    sort_layers(&mut layers, &arrows, layer_of.len());
    let n_rows = layers.iter().map(Vec::len).max().unwrap_or(0);
    let mut places = vec![Place { layer: 0, row: 0.0 }; layer_of.len()];
    for (layer, nodes) in layers.iter().enumerate() {
        let shift = (n_rows - nodes.len()) as f64 / 2.0;
        for (row, &node) in nodes.iter().enumerate() {
            let row = row as f64 + shift;
            places[node] = Place { layer, row };
        }
    }
    Layout {
        places,
        arrows,
        n_layers,
        n_rows,
    }
}

/// From and to, each pair once.
fn edges(graph: &Graph) -> Vec<(usize, usize)> {
    let names = graph.sources.iter().map(|source| &source.name);
    let names: Vec<_> = names
        .chain(graph.steps.iter().map(|step| &step.name))
        .collect();
    let mut edges = Vec::new();
    for (step, spec) in graph.steps.iter().enumerate() {
        for input in &spec.inputs {
            let from = names.iter().position(|name| **name == input.from);
            let edge = from.map(|from| (from, graph.sources.len() + step));
            edges.extend(edge.filter(|edge| !edges.contains(edge)));
        }
    }
    edges
}

fn sort_layers(layers: &mut [Vec<usize>], arrows: &[Vec<usize>], n_nodes: usize) {
    let mut neighbors = vec![[Vec::new(), Vec::new()]; n_nodes];
    for pair in arrows.iter().flat_map(|arrow| arrow.windows(2)) {
        neighbors[pair[1]][0].push(pair[0]);
        neighbors[pair[0]][1].push(pair[1]);
    }
    let mut row = vec![0.0; n_nodes];
    let note_rows = |layer: &[usize], row: &mut [f64]| {
        for (index, &node) in layer.iter().enumerate() {
            row[node] = index as f64 - layer.len() as f64 / 2.0;
        }
    };
    layers.iter().for_each(|layer| note_rows(layer, &mut row));
    for sweep in 0..SWEEPS {
        let side = sweep % 2; // 0: by what lies before, from the left; 1: after, from the right
        for step in 0..layers.len() {
            let layer = if side == 0 {
                step
            } else {
                layers.len() - 1 - step
            };
            let mean = |node: usize| match &neighbors[node][side][..] {
                [] => row[node],
                near => near.iter().map(|&n| row[n]).sum::<f64>() / near.len() as f64,
            };
            layers[layer].sort_by(|&a, &b| mean(a).total_cmp(&mean(b)));
            note_rows(&layers[layer], &mut row);
        }
    }
}
